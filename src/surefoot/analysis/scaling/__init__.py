"""From small runs to a larger one: how much a size minds its learning rate, and where a number of it will be.

Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training instabilities", ICLR 2024, arXiv
2309.14322.
"""

from surefoot.analysis.scaling.extrapolation import Crossing as Crossing
from surefoot.analysis.scaling.extrapolation import Extrapolation as Extrapolation
from surefoot.analysis.scaling.extrapolation import Prediction as Prediction
from surefoot.analysis.scaling.extrapolation import extrapolate as extrapolate
from surefoot.analysis.scaling.extrapolation import will_diverge as will_diverge
from surefoot.analysis.scaling.sensitivity import LRSweep as LRSweep
from surefoot.analysis.scaling.sensitivity import lr_sensitivity as lr_sensitivity
from surefoot.analysis.scaling.sensitivity import lr_sweep as lr_sweep
