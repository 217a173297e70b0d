"""Layers with 1-bit weights and activations, and the estimators that stand in for the gradient of sign."""

from surefoot.nn.binary.binarize import binarize, surrogate_gradient, surrogate_value
from surefoot.nn.binary.estimators import EDE, STE, ApproxSign, Estimator, ReSTE, SignSwish
from surefoot.nn.binary.layers import BinaryConv2d, BinaryLayer, BinaryLinear, binary_layers, set_sharpness
from surefoot.nn.binary.packed import PackedLinear, pack_signs, packed_matmul
from surefoot.nn.binary.schedules import EDESchedule, ReSTESchedule

__all__ = [
    "EDE",
    "STE",
    "ApproxSign",
    "BinaryConv2d",
    "BinaryLayer",
    "BinaryLinear",
    "EDESchedule",
    "Estimator",
    "PackedLinear",
    "ReSTE",
    "ReSTESchedule",
    "SignSwish",
    "binarize",
    "binary_layers",
    "pack_signs",
    "packed_matmul",
    "set_sharpness",
    "surrogate_gradient",
    "surrogate_value",
]
