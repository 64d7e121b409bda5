"""The synthetic ECGs that demonstrate: one without and one with each finding. They are no evidence of accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecoscale.datasets.synthetic import synthetic_ecg

if TYPE_CHECKING:
    from ecoscale.datasets.synthetic import SyntheticECG

EXAMPLES = {"normal": 0, "AF": 1, "LBBB": 2, "RBBB": 3, "1dAVb": 4, "SB": 2, "ST": 6}
"""What is made, with the seed. SB at 44 beats a minute: PTB-XL's readers call few bradycardias between 50 and 60."""


def example_ecg(name: str) -> SyntheticECG:
    """One of `EXAMPLES`, 10 s at 500 Hz, as the record `synthetic-NAME`."""
    return synthetic_ecg(() if name == "normal" else (name,), seed=EXAMPLES[name], record=f"synthetic-{name}")
