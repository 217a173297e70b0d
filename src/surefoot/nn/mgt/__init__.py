"""Residual connections for very deep Transformers: gates, delta rules, several streams; blocks and stacks of them."""

from surefoot.nn.mgt.birkhoff import birkhoff_from_permutations, composite_gain, sinkhorn_knopp
from surefoot.nn.mgt.connections import MGTConnection, NormConnection
from surefoot.nn.mgt.delta import DeltaResidual, delta_update
from surefoot.nn.mgt.gates import BetaGate, DirectionErase, LeakyErase, TangentGate
from surefoot.nn.mgt.hyper import HyperConnection, expand_streams, reduce_streams
from surefoot.nn.mgt.rewire import RewiredDecoderLayer, RewiredEncoderLayer, rewire_
from surefoot.nn.mgt.transformer import WIRINGS, DeepStack, MGTBlock, TransformerBlock, Wiring

__all__ = [
    "WIRINGS",
    "BetaGate",
    "DeepStack",
    "DeltaResidual",
    "DirectionErase",
    "HyperConnection",
    "LeakyErase",
    "MGTBlock",
    "MGTConnection",
    "NormConnection",
    "RewiredDecoderLayer",
    "RewiredEncoderLayer",
    "TangentGate",
    "TransformerBlock",
    "Wiring",
    "birkhoff_from_permutations",
    "composite_gain",
    "delta_update",
    "expand_streams",
    "reduce_streams",
    "rewire_",
    "sinkhorn_knopp",
]
