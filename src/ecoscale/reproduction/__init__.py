"""A published comparison of networks, done again: split, stores, trainings by seed, thresholds, figures, differences.

What is compared, and what is claimed of it, lives in a folder of recipes with a `protocol.yaml` (`recipes/code15`), so
that another paper is another folder. No metric of its own lives here (`ecoscale.evaluation`), nor any network.
"""

from ecoscale.reproduction.comparison import Comparison, compare, write_comparison
from ecoscale.reproduction.estimate import Estimate, estimate
from ecoscale.reproduction.protocol import Plan, Protocol, list_protocols, load_protocol, make_plan
from ecoscale.reproduction.stages import reproduce

__all__ = [
    "Comparison",
    "Estimate",
    "Plan",
    "Protocol",
    "compare",
    "estimate",
    "list_protocols",
    "load_protocol",
    "make_plan",
    "reproduce",
    "write_comparison",
]
