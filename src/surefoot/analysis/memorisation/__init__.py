"""Has a network learnt the rule, memorised the labels, or both, and which neurons do which?

Instruments for controlled tests with partly wrong labels, after Doshi et al. 2024, "To grok or not to grok" (arXiv
2310.13061): periodicity of neurons, pruning by it, accuracies on corrupted and clean rows, and the named phases.
"""

from surefoot.analysis.memorisation.diagram import PhaseDiagram, phase_diagram
from surefoot.analysis.memorisation.neurons import (
    HiddenLayer,
    hidden_layer,
    neuron_frequency,
    neuron_ipr,
    neuron_rows,
    norm_weight_correlation,
    prune_neurons,
)
from surefoot.analysis.memorisation.phases import PHASES, Phase, PhaseThresholds, classify_phase
from surefoot.analysis.memorisation.pruning import PruningSweep, pruning_sweep
from surefoot.analysis.memorisation.report import (
    CorruptedData,
    MemorizationReport,
    memorization_report,
    one_hot_squared_error,
)
from surefoot.analysis.memorisation.spectra import (
    discrete_log_order,
    fourier_frequency,
    fourier_spectrum,
    inverse_participation_ratio,
)

__all__ = [
    "PHASES",
    "CorruptedData",
    "HiddenLayer",
    "MemorizationReport",
    "Phase",
    "PhaseDiagram",
    "PhaseThresholds",
    "PruningSweep",
    "classify_phase",
    "discrete_log_order",
    "fourier_frequency",
    "fourier_spectrum",
    "hidden_layer",
    "inverse_participation_ratio",
    "memorization_report",
    "neuron_frequency",
    "neuron_ipr",
    "neuron_rows",
    "norm_weight_correlation",
    "one_hot_squared_error",
    "phase_diagram",
    "prune_neurons",
    "pruning_sweep",
]
