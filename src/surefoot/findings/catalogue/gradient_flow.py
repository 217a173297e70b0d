"""Explanations of the findings on gradient flow: what is left of signal and gradient over depth."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

_PRINCIPLES = "Roberts, Yaida, Hanin 2022, The Principles of Deep Learning Theory (arXiv 2106.10165), chapter 5"

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="vanishing-gradient",
        title="the gradient dies out on its way to the first layers",
        what=(
            "Going back, each layer multiplies the gradient by about the same factor. Where that factor is below one "
            "it compounds, and the first layers get next to nothing: they stay as they were initialised, and the last "
            "layers learn on random features."
        ),
        mathematics=(
            "One layer multiplies the squared gradient by χ = C_W ⟨σ'(z)²⟩, where C_W is the variance of the weights "
            "times the fan-in. L layers multiply it by χ^L: a straight line of log gradient over depth, level at "
            "χ = 1 only. For the sigmoid ⟨σ'²⟩ ≤ 1/16.\n"
            "Judged: gradient_rms of the first quarter of the layers over that of the last quarter.\n"
            "Threshold: 2^-12 at three looks in a row, as a geometric decay, with updates that decay too, while the "
            "loss learns nothing. 2^-24 is one rounding error of float32: while the last layer moves by its own size, "
            "the first cannot move by one rounding error."
        ),
        source=f"{_PRINCIPLES}; Adam's ε: Wortsman et al. 2024 (arXiv 2309.14322), §3.4",
        not_this=(
            "Adam divides the magnitude out: a gradient that decays under updates that do not is forgiven down to "
            "2^-24. Residual networks and trained networks decay a little and learn: no finding where the loss goes "
            "down, unless the decay was beyond 2^-24 from the first look on."
        ),
        remedies=(
            "torch.nn.ReLU in place of torch.nn.Sigmoid",
            "torch.nn.init.orthogonal_",
            "torch.nn.init.kaiming_normal_",
        ),
        severities="critical beyond 2^-24 in a run that learns nothing, else warning",
    ),
    Explanation(
        id="exploding-gradient",
        title="signal or gradient grows from layer to layer, or beyond all bounds",
        what=(
            "Above criticality, signal and gradient grow by a factor with every layer. The first loss is absurd, a "
            "tiny change of the weights changes it by more than all of it, and the first steps throw the weights "
            "about. Later in a run: a gradient that jumps to a hundred times its usual size."
        ),
        mathematics=(
            "χ = C_W ⟨σ'(z)²⟩ > 1 compounds to χ^L over L layers.\n"
            "Judged: activation_rms and gradient_rms over depth; elasticity ‖g‖‖θ‖/L, by how many per cent the loss "
            "changes when the weights change by one per cent (about the depth in a healthy start, by Euler's "
            "identity for homogeneous networks: 0.5 to 120 were measured).\n"
            "Threshold at the start: activations grow by 2^10 over depth and the first loss is ten times a "
            "constant's; or the gradient grows by 2^6 towards the input and elasticity is 300 or more; or elasticity "
            "is 1000 or more and steps overshoot. Later: 100 times the median of the looks before, twice in a row, "
            "with steps that overshoot."
        ),
        source=f"{_PRINCIPLES}; the run's own history for a jump",
        not_this=(
            "A large gradient under clipping or Adam makes no long steps: overshoot is asked for. Near the end of a "
            "fit single batches dominate and the gradient is ragged: no finding where the loss is below half of its "
            "first value."
        ),
        remedies=(
            "torch.nn.init.kaiming_normal_",
            "torch.nn.init.orthogonal_",
            "torch.nn.utils.clip_grad_norm_",
        ),
        severities="critical where the loss is lost already or activations grow by 2^20, else warning",
    ),
    Explanation(
        id="dead-units",
        title="units whose ReLU is off for every input",
        what=(
            "A unit that is off for every input gives zero and gets no gradient, so that it stays off. A large "
            "negative bias, or one step that was too long, can kill most of a layer; what is left is a narrower network."
        ),
        mathematics=(
            "With weights that are symmetric about zero and no bias, a ReLU is on for half of all directions. Even "
            "if all inputs pointed the same way, a unit would be off for all of them with probability ½ at most.\n"
            "Judged: dead_share, the share of a layer's units that gave 0 for every row of the last four looks.\n"
            "Threshold: ¾ at three looks, from the start, or later in a run that learns nothing."
        ),
        source="symmetry of the initialisation (P(off for all) ≤ ½, with binomial scatter); the run's own start",
        not_this=(
            "Trained networks are sparse: units that died later in a run that learns are an info. Half of a layer "
            "may be off where inputs are not centred."
        ),
        remedies=(
            "torch.nn.LeakyReLU in place of torch.nn.ReLU",
            "biases at zero",
            "torch.nn.init.kaiming_normal_",
        ),
        severities="critical from 90 % of a layer on in a run that learns nothing, else warning; info in a run that "
        "learns where they died later",
    ),
    Explanation(
        id="saturated-units",
        title="units stuck in the flat part of tanh or sigmoid",
        what=(
            "In its flat part an activation passes on next to no gradient, whatever comes from above. Weights or "
            "inputs that are too large put most of a layer there from the start; steps that are too long push it there."
        ),
        mathematics=(
            "At a critical start pre-activations have variance 1 at most, and z ~ N(0, 1) is in the flat part of tanh "
            "(|z| > 2.65, derivative below 2 % of its maximum) with probability 0.8 %. Half of the outputs there mean "
            "a standard deviation near 4.\n"
            "Judged: saturated_share, the share of a layer's outputs with a derivative below 2 % of its maximum.\n"
            "Threshold: ½ at three looks from the start; ¾ later, in a run that learns nothing."
        ),
        source=f"the normal distribution at criticality ({_PRINCIPLES}); the run's own start",
        not_this=(
            "Trained units saturate: networks that learn well reach 70 %, so that later it counts only where the "
            "loss learns nothing. Gates and a sigmoid at the output are meant to saturate; the output's is not counted."
        ),
        remedies=("torch.nn.init.orthogonal_", "biases at zero", "lower learning rate"),
        severities="critical from 90 % of a layer on in a run that learns nothing, else warning; info in a run that "
        "learns where they saturated later",
    ),
)
"""What is said of each id of this family."""
