"""Networks: one architecture a file, registered under their names; logits out, any number of channels, any length.

Data, training and the sigmoid do not live here, nor any file but one of weights.
"""

from ecoscale.models.ecoscalenet import EcoScaleNet
from ecoscale.models.ecoscalenet_lean import lean_config
from ecoscale.models.ecoscalenet_radix import radix_config
from ecoscale.models.fcn import FCN
from ecoscale.models.inceptiontime import InceptionTime
from ecoscale.models.kernels import (
    gap_free_coverage,
    prime_kernels,
    radix_kernels,
    receptive_field_gaps,
    receptive_fields,
    required_receptive_field,
    stage_kernels,
)
from ecoscale.models.network import Network
from ecoscale.models.oscnn import OSCNN
from ecoscale.models.registry import create_model, describe_model, list_models, match_models
from ecoscale.models.resnet1d_wang import ResNet1dWang
from ecoscale.models.ribeiro import RibeiroResNet
from ecoscale.models.series import series_config
from ecoscale.models.xresnet1d import XResNet1d

__all__ = [
    "FCN",
    "OSCNN",
    "EcoScaleNet",
    "InceptionTime",
    "Network",
    "ResNet1dWang",
    "RibeiroResNet",
    "XResNet1d",
    "create_model",
    "describe_model",
    "gap_free_coverage",
    "lean_config",
    "list_models",
    "match_models",
    "prime_kernels",
    "radix_config",
    "radix_kernels",
    "receptive_field_gaps",
    "receptive_fields",
    "required_receptive_field",
    "series_config",
    "stage_kernels",
]
