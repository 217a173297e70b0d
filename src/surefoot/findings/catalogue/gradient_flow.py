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
            "the first cannot move by one rounding error. Where nothing was learned for longer than 24 steps and the "
            "gradient does not grow, less is enough, evenly in the logarithm of the steps down to e^-3 = 2^-4.3 at "
            "128: networks train down to six times the depth over which the squared gradient falls to 1/e (Schoenholz "
            "et al. 2017, arXiv 1611.01232).\n"
            "Updates that do not decay are forgiven a decay of 2^-18, and three bits less with each time that 64 steps "
            "in which nothing was learned are doubled.\n"
            "Through time: e^{λT} (bptt_rate, bptt_length) at or below 2^-24 at three looks, in a run that learns "
            "nothing for 128 steps; three bits less, down to 2^-12, with each doubling of these.\n"
            "Through a discriminator: the generator's gradient is 2^-6 of its first, or less, and its samples are off "
            "the data by their spread or more and come no nearer (Arjovsky & Bottou 2017, arXiv 1701.04862)."
        ),
        source=f"{_PRINCIPLES}; Adam's ε: Wortsman et al. 2024 (arXiv 2309.14322), §3.4",
        not_this=(
            "Adam divides the magnitude out: a gradient that decays under updates that do not is forgiven for some "
            "time, down to 2^-24. Residual networks and trained networks decay a little and learn: no finding where "
            "the loss goes down, unless the decay was beyond 2^-24 from the first look on."
        ),
        remedies=(
            "surefoot.init.critical_",
            "torch.nn.LayerNorm after each block",
            "torch.nn.ReLU in place of torch.nn.Sigmoid",
            "surefoot.init.open_forget_gates_",
            "surefoot.losses.gradient_penalty",
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
            "constant's; or the gradient, and what each layer adds to the elasticity, grow by 2^6 towards the input "
            "and elasticity is 300 or more; or elasticity is 1000 or more and steps overshoot (after 16 losses, unless "
            "the loss has come back by then). Later: 100 times the median of the looks before, twice in a row, with "
            "steps that overshoot; or layers that join, and the loss leaps to ten times all of the 16 rows before, "
            "above three times a constant's, and is not made good in as many rows, with such a gradient."
        ),
        source=f"{_PRINCIPLES}; the run's own history for a jump",
        not_this=(
            "A large gradient under clipping or Adam makes no long steps: overshoot is asked for. The first "
            "convolutions of a ResNet have few weights that many places share, so each has a large gradient. Near the "
            "end of a fit single batches dominate and the gradient is ragged: no finding where the loss is below half "
            "of its first value."
        ),
        remedies=(
            "surefoot.init.critical_",
            "torch.nn.LayerNorm after each block",
            "torch.nn.ReLU in place of torch.nn.Sigmoid",
            "torch.nn.utils.clip_grad_norm_",
            "surefoot.optim.adaptive_clip_grad_",
        ),
        severities="critical where the loss is lost already or activations grow by 2^20, else warning",
    ),
    Explanation(
        id="off-critical-initialisation",
        title="the weights start at a size at which nothing passes through the depth",
        what=(
            "In a deep network without norms or skip connections each layer multiplies signal and gradient by a factor "
            "that the size of its weights sets. Off the critical size both die out or blow up geometrically before "
            "the first step; the vanishing or exploding gradient that follows is a consequence."
        ),
        mathematics=(
            "K' = C_b + C_W ⟨σ²⟩ for the signal, χ = C_W ⟨σ'²⟩ for the squared gradient, C_W the variance of the "
            "weights times the fan-in. Critical: χ = 1; C_W = 2 for ReLU, 1 for tanh, 1.983 for GELU, 1.988 for SiLU. "
            "PyTorch's default has C_W = 1/3.\n"
            "Judged: activation_rms and gradient_rms over depth at the first two looks, as straight lines of the "
            "logarithm.\n"
            "Threshold: 2^6 over the whole depth for an info; above, what the consequence's own rule says of a start "
            "at which the gradient falls by 2^6 or the signal changes by 2^10 and more; or a decay to 2^-18 at the "
            "start and a loss that has learned nothing for 128 steps since. In few layers: weights of four times the "
            "critical variance with a first loss of three times a constant's, and units lost or a loss at rest after "
            "64 steps; or a fiftieth of it, a signal that halves five times, and nothing learned."
        ),
        source=_PRINCIPLES,
        not_this=(
            "Networks of a few layers, normalised or with skip connections, forgive most sizes: their profile over "
            "depth is no straight line, or the size of the weights explains less than half of it. A deep network that "
            "learns all the same gets an info. An activation without a critical point, such as the sigmoid, is not "
            "cured by other weights: that is vanishing-gradient alone."
        ),
        remedies=("surefoot.init.critical_", "torch.nn.LayerNorm after each block"),
        severities="warning or critical with the vanishing or exploding gradient it is the start of, warning where "
        "nothing is learned after it, else info",
    ),
    Explanation(
        id="bptt-explosion",
        title="the gradient explodes on its way back through time",
        what=(
            "A recurrent network multiplies the gradient by a Jacobian with every time step back. Where its trajectory "
            "is chaotic the product grows geometrically, and the gradient of the weights is that of the first time "
            "steps alone. Clipping bounds its length; its direction stays that of the noise at the beginning."
        ),
        mathematics=(
            "∂L/∂h_t = Σ_s J_{t+1}ᵀ … J_sᵀ ∂L_s/∂h_s with J = ∂h_t/∂h_{t−1}; the product grows like e^{λ(s−t)}, λ the "
            "largest Lyapunov exponent. For tanh(W h): J = diag(1 − h²) W.\n"
            "Judged: λT, with λ = bptt_rate, the median slope of ln |∂L/∂h_t| back in time, and T = bptt_length.\n"
            "Threshold: e^{λT} = 2^12 at three looks in a row, half of the bits of float32; 2^24 is a rounding error "
            "of the sum in which the last time steps' terms are lost, and one look is enough for it where the loss was "
            "lost after that. Or 2^6 at the first look, with an elasticity ‖g‖‖θ‖/L of 300 or more. Or more than T at "
            "the first looks, and λ > 0 at each look since, where the loss is above a fifth of a constant's after 128 "
            "steps. Or 2^6 at the newest look where sequences have become twice as long since the first, gradients "
            "2^6 times as long, and the loss higher than it began; or 2^24 there, and the loss is no number any more."
        ),
        source="Mikhaeil, Monfared, Durstewitz 2022 (arXiv 2110.07238); rounding of float32 for the threshold",
        not_this=(
            "A loss at every time step adds up to a gradient that is level in time; gated cells that learn stay within "
            "a factor of ten or so. A gradient that dies out through time while the loss learns nothing is "
            "vanishing-gradient."
        ),
        remedies=("surefoot.init.orthogonal_recurrent_", "torch.nn.utils.clip_grad_norm_"),
        severities="critical from 2^24 on where the loss learns nothing or is lost, else warning",
    ),
    Explanation(
        id="rank-collapse",
        title="over depth the tokens of a sequence become one vector",
        what=(
            "Attention replaces tokens by averages of tokens. Without skip connections, or with a norm after each sum, "
            "what tells tokens apart decays from layer to layer until all positions look alike. The layers above can "
            "then give no more than one prediction for all of them."
        ),
        mathematics=(
            "With ρ the part of the tokens that differs from their mean, relative to the whole, mean cosine ≈ 1 − ρ². "
            "Attention alone contracts ρ doubly exponentially in depth; post-norm blocks geometrically.\n"
            "Judged: 1 − token_cosine of the outputs of the norms, over depth.\n"
            "Threshold: a decay by 2^8 to 2^-10 or less at three looks in a row (or at the first two), up to four "
            "times the step of the newest, while the loss learns nothing for 24 steps. At 2^-16 ρ = 2^-8, a rounding "
            "error of bfloat16. Or the answers are one for all tokens to 2^-16 from the first look on, and the loss is "
            "not down by half."
        ),
        source="Dong, Cordonnier, Loukas 2021 (arXiv 2103.03404); rounding of bfloat16 for the threshold",
        not_this=(
            "The output of an attention is an average and may be nearly the same for all tokens; norms of the stream "
            "are judged. Under sigmoids and without norms any two vectors become one, tokens or not: that is a "
            "vanishing gradient. A trained classifier may make its last tokens alike, and trained language models are "
            "anisotropic: no finding where the loss goes down. That features of one class become alike while the "
            "classes' means stay apart is neural collapse, and no fault: surefoot.analysis.collapse measures it."
        ),
        remedies=(
            "norm_first=True",
            "skip connections around attention",
            "surefoot.nn.mgt.rewire_",
            "smaller residual branches",
        ),
        severities="critical from 2^-16 on, else warning",
    ),
    Explanation(
        id="dead-units",
        title="units whose ReLU is off for every input",
        what=(
            "A unit that is off for every input gives zero and gets no gradient, so that it stays off. A large "
            "negative bias, or one step that was too long, can kill most of a layer; a narrower network is left."
        ),
        mathematics=(
            "With weights that are symmetric about zero and no bias, a ReLU is on for half of all directions. Even "
            "if all inputs pointed the same way, a unit would be off for all of them with probability ½ at most.\n"
            "Judged: dead_share, the share of a layer's units that gave 0 for every row of the last four looks.\n"
            "Threshold: ¾ at three looks, from the start, or later in a run that learns nothing; ½ where an eighth at "
            "most was dead at the start and the loss has lost a quarter of what it had gained."
        ),
        source="symmetry of the initialisation (P(off for all) ≤ ½, with binomial scatter); the run's own start",
        not_this=(
            "Trained networks are sparse: units that died later in a run that learns are an info. Half of a layer "
            "may be off where inputs are not centred. A branch that starts at zero is not dead: no numbers have come."
        ),
        remedies=(
            "torch.nn.LeakyReLU in place of torch.nn.ReLU",
            "surefoot.init.zero_bias_",
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
            "Threshold: ½ at three looks from the start, in layers that together, Π(1 − share), leave a fifth of all "
            "paths open or less; ¾ later, in a run that learns nothing; ½ where an eighth at most was flat at the "
            "start and the loss has lost a quarter of what it had gained."
        ),
        source=f"the normal distribution at criticality ({_PRINCIPLES}); the run's own start",
        not_this=(
            "A first layer of steep ridges is flat nearly everywhere as it is meant to be, and leaves a quarter of its "
            "paths open. Trained units saturate: networks that learn well reach 70 %, so that later it counts only "
            "where the loss learns nothing. Gates and a sigmoid at the output are meant to saturate; the output's is "
            "not counted."
        ),
        remedies=(
            "surefoot.init.critical_",
            "torch.nn.init.orthogonal_",
            "surefoot.init.zero_bias_",
            "lower learning rate",
        ),
        severities="critical from 90 % of a layer on in a run that learns nothing, else warning; info in a run that "
        "learns where they saturated later",
    ),
    Explanation(
        id="hyperbolic-collapse",
        title="norms shrink to the origin of the Poincaré ball",
        what=(
            "Layers on the Poincaré ball shrink vectors a little each, and after many of them all points are at the "
            "origin: the outputs are equal for all inputs and no gradient comes back."
        ),
        mathematics=(
            "Near the origin a fully connected layer is y = 2Zx. Weights of N(0, 1/(2nm)) give E|y|² = (2/n)|x|²: norm "
            "falls by √(2/n) a layer, 0.18 at n = 64. Z = ½·1 is exactly the identity on all of the ball.\n"
            "Judged: hyperbolic_factor of each surefoot.nn.hyperbolic layer, norm out over norm in.\n"
            "Threshold: a geometric mean below 0.7 over at least eight layers, at three looks in a row."
        ),
        source="van Spengler, Berkhout, Mettes, ICCV 2023 (arXiv 2303.14027)",
        not_this="A shallow network whose layers shrink norms trains well; so do convolutions before a batch norm.",
        remedies=("surefoot.nn.hyperbolic.PoincareLinear",),
        severities="warning; info in a run that learns",
    ),
    Explanation(
        id="surrogate-mismatch",
        title="the surrogate gradient behind sign serves no more",
        what=(
            "A layer with 1-bit weights trains through a function that stands in for sign in the backward pass. Made "
            "too sharp, its slope is concentrated on the few weights next to zero, which jump to and fro while the "
            "others wait. And weights that drifted beyond its reach get no gradient any more."
        ),
        mathematics=(
            "φ is the slope that the gradient of a weight is multiplied by. (E φ)²/E φ² = 1/(1 + u), u = Var φ/(E φ)², "
            "is the effective share of the weights that take part. For ReSTE, f(z) = sign(z)|z|^(1/o) with the secant "
            "slope below m, and z uniform on (0, 1): u = m^p + (1 − m^p)/(p o²) − 1, p = 2/o − 1: 0 at o = 1, 1.5 at "
            "o = 3, at most 9 for m = 0.1 and any o; without the truncation infinite from o = 2 on.\n"
            "Judged: surrogate_unevenness and surrogate_frozen of each surefoot.nn.binary layer; of any other layer "
            "beyond_reach_share, the share of weights that are larger than each one with a gradient.\n"
            "Threshold: fewer than 1 % of the weights in effect, or more than 90 % frozen or beyond reach, at three "
            "looks in a row."
        ),
        source="Wu, Zheng, Liu, Zheng, ICCV 2023 (arXiv 2308.06689), sections 3 and 4",
        not_this=(
            "An estimator that is sharpened over the training as schedules do stays far from the threshold: at o = 10 "
            "a seventh of the weights share the gradient."
        ),
        remedies=(
            "weights back within the estimator's reach",
            "surefoot.nn.binary.set_sharpness",
            "latent weights clamped after each step",
        ),
        severities="warning; of an estimator that the script wrote, info where the loss is fit",
    ),
    Explanation(
        id="unstable-gating",
        title="gates add up along the paths of a grid",
        what=(
            "A recurrence over a grid or graph reaches a node on many paths, each with its own product of gates. Gates "
            "of at most 1 keep a sequence from exploding, for it has one path; here the sum over paths can still grow "
            "with a power of two a step, forwards and in the gradient."
        ),
        mathematics=(
            "G(n, n') = Σ over paths of S · Π T · M. With all T = 1 on a grid G = C(x + y, x), 4^k/√(πk) at x = y = k: "
            "3432 on 8 × 8, beyond float32 at k = 66. If for every incoming edge Σ |T| over outgoing ones is ≤ 1 "
            "(P-mode), ‖T‖₁ ≤ 1 and no sum over paths exceeds 1; if one path joins any two edges (D-mode), |T| ≤ 1 is "
            "enough.\n"
            "Judged: gating_gain, the sum over paths of |T| from the first corner, of each surefoot.nn.plstm layer; or "
            "of the sigmoids by which a script's own recurrence weighs its states (single or a diagonal at a time).\n"
            "Threshold: above 2, twice the bound (8 for a script's own), growing with distance, three looks in a row."
        ),
        source="Pöppel, Freinschlag, Schmied, Lin, Hochreiter, NeurIPS 2025 (arXiv 2506.11997), section 3",
        not_this="P- and D-mode layers cannot get there. A column sum above 1 alone is not it: D-mode's is up to 2.",
        remedies=("surefoot.nn.plstm.PLSTM2d",),
        severities="critical where the sum is not finite, else warning",
    ),
)
"""What is said of each id of this family."""
