"""Energy-based networks whose answer is a resting point, and learning by equilibrium propagation."""

from surefoot.nn.eqprop.costs import CrossEntropyReadout, SquaredError
from surefoot.nn.eqprop.energies import EnergyModel, State
from surefoot.nn.eqprop.gradients import EqPropResult, bptt_grad, contrast, eqprop_grad, implicit_grad, stdp_trace
from surefoot.nn.eqprop.hopfield import ConvHopfield, HopfieldModel, LayeredHopfield
from surefoot.nn.eqprop.settle import SettleError, SettleResult, Settling, settle
from surefoot.nn.eqprop.trainer import EqPropTrainer

__all__ = [
    "ConvHopfield",
    "CrossEntropyReadout",
    "EnergyModel",
    "EqPropResult",
    "EqPropTrainer",
    "HopfieldModel",
    "LayeredHopfield",
    "SettleError",
    "SettleResult",
    "Settling",
    "SquaredError",
    "State",
    "bptt_grad",
    "contrast",
    "eqprop_grad",
    "implicit_grad",
    "settle",
    "stdp_trace",
]
