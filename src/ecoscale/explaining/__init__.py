"""Which leads and which moments speak for a finding: maps over leads and time, and what they sum up to.

`occlusion` and `insertion` need the ONNX runtime alone. `gradients`, the one module that needs torch, is imported by
those who ask for it. A map says what moves this network's output, not what the heart did.
"""

from ecoscale.explaining.explanation import Explanation, Span
from ecoscale.explaining.insertion import explain_by_insertion
from ecoscale.explaining.occlusion import explain_ecg

__all__ = ["Explanation", "Span", "explain_by_insertion", "explain_ecg"]
