"""Networks: one architecture a file, registered under their names; logits out, any number of leads, any length.

Data, training, files and the sigmoid do not live here.
"""

from ecoscale.models.ecoscalenet import EcoScaleNet
from ecoscale.models.kernels import gap_free_coverage, prime_kernels, receptive_fields, stage_kernels
from ecoscale.models.oscnn import OSCNN
from ecoscale.models.registry import create_model, describe_model, list_models

__all__ = [
    "OSCNN",
    "EcoScaleNet",
    "create_model",
    "describe_model",
    "gap_free_coverage",
    "list_models",
    "prime_kernels",
    "receptive_fields",
    "stage_kernels",
]
