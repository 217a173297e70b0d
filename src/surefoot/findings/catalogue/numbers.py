"""Explanations of the findings on numbers: what floating point can hold, and what it loses."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="non-finite",
        title="NaN or infinity in the loss or the weights",
        what=(
            "A NaN or an infinity spreads through every operation that reads it. Once a weight holds a NaN, every "
            "later output that uses the weight is NaN, and the run is lost from there on. Surefoot looks for the first "
            "culprit, module and operation, while the weights are still intact."
        ),
        mathematics=(
            "IEEE 754: NaN ∘ x = NaN for every arithmetic operation; ∞ − ∞, 0 · ∞, 0/0 and the logarithm of a negative "
            "number are NaN; log 0 is −∞, and so is the result of an overflow (3.4e38 in float32, 65504 in float16).\n"
            "Judged: loss, weight_rms, gradient_nonfinite (share of a layer's parameters with a non-finite gradient).\n"
            "Threshold: one NaN in loss or weights; two infinite losses in a row. Ahead of it: at two looks "
            "edge_roundings (of what arccos, arcsin or artanh is taken of, to ±1) of 32 or less."
        ),
        source="IEEE 754; dynamic loss scaling: Micikevicius et al. 2018 (arXiv 1710.03740)",
        not_this=(
            "Dynamic loss scaling tries scales until a gradient overflows and skips those steps; scripts that guard "
            "their step do the same. A non-finite gradient alone is an info as long as loss and weights stay finite."
        ),
        remedies=(
            "surefoot.nn.safe_softmax",
            "torch.bfloat16 in the place of torch.float16",
            "arguments off the edge of a domain",
            "skip steps with a non-finite gradient",
            "torch.autograd.set_detect_anomaly",
        ),
        severities="critical for NaN in loss or weights and for a second infinite loss in a row; warning for one "
        "infinite loss, and ahead of a NaN; info for gradients alone",
    ),
    Explanation(
        id="attention-logit-growth",
        title="attention logits so large that the softmax over them is a maximum",
        what=(
            "Queries and keys grow together, and their product with the square of the weights, faster than anything "
            "else in the model. Once one logit is far ahead, each query looks at one key only, no gradient comes back "
            "to queries and keys, and the loss climbs slowly or at once."
        ),
        mathematics=(
            "z = ⟨q, k⟩/√d, p = softmax(z); ∂L/∂z = p ∘ (g − ⟨p, g⟩), which is 0 where p is 0 or 1. float32 has 0 for "
            "exp(−104). With normalised queries and keys |z| ≤ √d.\n"
            "Judged: attention_logit_max, the largest logit of a visible key, and attention_entropy, entropy over the "
            "logarithm of the number of visible keys.\n"
            "Threshold: 10^3 at two looks in a row; or 104 and eight times the first size, or 50 at every look from "
            "the first on, with an entropy of 0.1 or less and a loss that has risen from its best by a tenth of what "
            "it had gained, or has half of a constant prediction's still to lose; in the latter case, or rests above "
            "a fifth of where it began. Where only the weights of the keys are known: an entropy of 0.1 or less from "
            "the first look on, or of 0.3 then and 0.1 since while nothing is learned for 128 steps."
        ),
        source="Wortsman et al. 2024 (arXiv 2309.14322), §3.1: harm from about 10^3, all models beyond 10^4 diverged",
        not_this=(
            "Heads that copy or look at the token before have low entropy and logits of 20 to 50, and learn. Growth "
            "from 1 to 20 in the first hundred steps is learning."
        ),
        remedies=(
            "surefoot.optim.qk_clip_",
            "surefoot.nn.QKNorm",
            "lower learning rate",
            "surefoot.optim.warmup_factor",
        ),
        severities="critical from 10^4 on, and from 10^3 where the loss has risen from its best; else warning; info "
        "from 50 on where it is eight times the first size",
    ),
    Explanation(
        id="softmax-collapse",
        title="the softmax is rounded to 1, and the gradient is gone",
        what=(
            "Once the right logit leads by more than the dtype can add to 1, the cross-entropy is exactly 0 and so is "
            "its gradient on the right class, while the wrong ones keep theirs. The run prints a loss and learns "
            "nothing more; under Adam what is left of rounding is blown up to full steps, and the loss may jump."
        ),
        mathematics=(
            "Σ_k exp(z_k − max z) = 1 exactly when the lead reaches ln(2/eps): 5.5 nats in bfloat16, 7.6 in float16, "
            "16.6 in float32, 36.7 in float64.\n"
            "Judged: softmax_rounding_share = Σ_i |Σ_k p_ik − 1| / Σ_i Σ_{k≠y} p_ik. The gradient p − y of a row sums "
            "to 0 but for rounding; in a collapsed row the error is all there is.\n"
            "Threshold: 0.9, as the median over the last quarter of the run (64 steps and two looks at least); or "
            "0.5 at three looks, after which all logits drifted together to 10 and four times what they were: rows "
            "that do not sum to 0 push them; or 0.5 at twice the steps, as a power of the step over the newest half "
            "and quarter of the run, where the data come whole at each step, every row is right and no weight decays: "
            "the loss then has no minimum (Soudry et al. 2018, arXiv 1710.10345).\n"
            "Of a policy: an entropy of a hundredth of its highest at three looks, while half of what a printed reward "
            "had gained is lost, or nothing was gained; or a 32nd of its first within 16 steps and since.\n"
            "Of a temperature: right classes behind by 16.6 nats at the first look, in the mean, with a first loss of "
            "three times a constant's, and after 64 steps one above half of that."
        ),
        source="Prieto, Barsbey, Mediano, Birdal 2025, Grokking at the Edge of Numerical Stability (arXiv 2501.04697)",
        not_this=(
            "Confident rows collapse in many healthy classifiers: as long as some row of the batch is not fit, its "
            "gradient is all that counts, and the lost share is near 0. A network that has just fit its data to the "
            "last digit is an info."
        ),
        remedies=(
            "logits in float32",
            "weight decay",
            "surefoot.losses.stablemax_cross_entropy",
            "surefoot.optim.OrthogonalGrad",
            "softmax in float64",
            "a higher temperature",
            "advantages in the place of rewards",
            "entropy bonus",
        ),
        severities="warning; info from half of the gradient at three looks in a row on, or nine tenths at two",
    ),
    Explanation(
        id="output-logit-divergence",
        title="all logits drift away from 0 together",
        what=(
            "The softmax does not see a number that is added to all logits, so that nothing holds them. They can drift "
            "until their dtype can no longer tell them apart, and the loss rises slowly."
        ),
        mathematics=(
            "log Z = log Σ_k exp(z_k) moves with a common shift of the logits, and the loss does not. Rounding at "
            "magnitude |z| is eps/2 · |z| nats, and of that size, relative to itself, is the error of its row's "
            "gradient: ⅛ at 32 in bfloat16, at 256 in float16.\n"
            "Judged: |log Z| and the logits' mean, the smaller of them, so that neither a wide margin nor a masked "
            "class counts; logit_rounding.\n"
            "Threshold: above 10, four times the first level, and still drifting by 1 in a tenth of the run; with a "
            "loss that has risen above its best, or is below zero and falls ever faster; or with a rounding of ⅛ "
            "(what float8, E5M2, rounds gradients by: no coarser format is trained in). Or a rounding of "
            "⅛ at twice the steps, along the newest half of the run, if the drift is above 10 at two looks and was no "
            "slower there than over the quarter before, nor has slowed down over the newest quarter."
        ),
        source="Wortsman et al. 2024, Small-scale proxies (arXiv 2309.14322), §3.2; the levels are ours",
        not_this=(
            "Contrastive losses divide by a small temperature: large logits, but apart, not together. Pre-trained "
            "language models have log Z of tens: it does not grow fourfold in a fine-tune."
        ),
        remedies=("surefoot.losses.z_loss", "weight decay"),
        severities="warning where rounding reaches ⅛, or will, or the loss rises; else info",
    ),
    Explanation(
        id="epsilon-dominated-update",
        title="Adam's ε decides the length of the step",
        what=(
            "Adam divides by √v̂ + ε, so that the size of a gradient does not matter while √v̂ is above ε. Below it, "
            "steps shrink with the gradient: a layer whose gradient has become small stands still. Gradients of the "
            "first layers shrink as models and learning rates grow."
        ),
        mathematics=(
            "|Δ| = lr · |m̂|/(√v̂ + ε): half of Adam's step at √v̂ = ε, a sixteenth at ε/15.\n"
            "Judged: epsilon_share, the share of a layer's elements with √v̂ < ε (those that ever had a gradient), and "
            "epsilon_factor, the mean of √v̂/(√v̂ + ε).\n"
            "Threshold: half of the elements over 32 steps, and at most 1/16 of the step left; and a loss that learns "
            "nothing, or layers with update_ratio below 2e-5 while the others move ten times faster. Or ⅛ of the step, "
            "with √v̂ < ε in most layers from the first looks on, where the run ends (or its rate falls to a tenth) "
            "before the weights moved by their own size, a loss is above a tenth of a constant's, and whole steps "
            "would have been within Polyak's bound."
        ),
        source="Wortsman et al. 2024 (arXiv 2309.14322), §3.4",
        not_this=(
            "A large ε on purpose makes Adam a momentum SGD: an info where it learns. Rows of an embedding that never "
            "had a gradient do not count, and a network that has fit its data has small gradients by right."
        ),
        remedies=("smaller eps",),
        severities="warning where the loss or some layers stand still for it, or the run ends before they moved; else "
        "info",
    ),
    Explanation(
        id="amp-step-skipping",
        title="the gradient scaler skips steps at any scale",
        what=(
            "A gradient scaler halves its scale and skips the step when a gradient is not finite. If that goes on "
            "below a scale of 1, scaling is not what makes the gradients overflow: they are NaN, or overflow by "
            "themselves."
        ),
        mathematics=(
            "scale ≤ init · 2^(steps taken / growth_interval) · ½^(steps skipped).\n"
            "Judged: loss_scale, and the bound above, which needs no word from the device; steps skipped in a row.\n"
            "Threshold: a scale below 1; 32 steps in a row."
        ),
        source="dynamic loss scaling: Micikevicius et al. 2018 (arXiv 1710.03740), §3.2",
        not_this=(
            "A scaler finds its scale by skipping: about 16 steps at the start, more if it starts higher, and one in "
            "growth_interval after. The scale stays above 1 then."
        ),
        remedies=(
            "surefoot.nn.safe_softmax",
            "arguments off the edge of a domain",
            "torch.bfloat16 in the place of torch.float16",
            "torch.autograd.set_detect_anomaly",
            "look for the NaN without scaling",
        ),
        severities="critical from 32 steps in a row on, else warning",
    ),
    Explanation(
        id="low-precision-underflow",
        title="gradients or updates too small for the number format",
        what=(
            "float16 ends at 2⁻²⁴, and loses bits from 2⁻¹⁴ on: small gradients become zeros. In bfloat16 and float16 "
            "weights an update below half a unit in the last place leaves the weight as it is. Either way the layer "
            "stands still though it has a gradient."
        ),
        mathematics=(
            "Judged: gradient_subnormal_share/(1 − gradient_zero_share), the share of the non-zero gradients below "
            "2⁻¹⁴, as float16 held them; swallowed_share, the share of elements with a gradient that the update left "
            "unchanged (|Δ| < ½ ulp, 2⁻⁹ of the weight in bfloat16).\n"
            "Threshold: 0.9 at three looks in a row, in a run that learns nothing; for updates also steps that would "
            "move float32 weights by 2e-5. In a run that is not fit and hardly falls: 0.9 of all elements at three "
            "looks, at a quarter of the highest rate or more, and predicted_decrease over rate and gradient at a "
            "sixteenth of what it was at the first looks (averaging alone leaves a tenth). Of a loss that falls no "
            "more (an adaptive optimizer's, fit or not): 0.9 of all elements since a quarter of the highest rate or "
            "more, half as long as they had moved. In a run that learns: 0.9 "
            "in all layers at the first looks, without a loss scaler, and three bits (8 · 2⁻²⁴) or less in half of the "
            "layers by now."
        ),
        source="IEEE 754; Micikevicius et al. 2018 (arXiv 1710.03740), §3",
        not_this=(
            "Exact zeros alone are ReLUs that are off and rows that were not used. Training in pure bfloat16 swallows "
            "many updates and learns all the same: an info."
        ),
        remedies=("torch.bfloat16 in the place of torch.float16", "torch.amp.GradScaler"),
        severities="warning where the loss, or some layers from the start on, stand still for it, or next to no bits "
        "are left; else info",
    ),
    Explanation(
        id="low-precision-overflow",
        title="activations or gradients at the end of float16",
        what=(
            "float16 ends at 65504. An activation beyond it is infinite, and the next normalisation or softmax makes "
            "it NaN."
        ),
        mathematics=(
            "Judged: activation_peak and gradient_peak, the largest magnitude of a layer over 65504; overflowed_share, "
            "of the sums and products of a forward.\n"
            "Threshold: infinite, or ½ (one doubling away) at two looks in a row; any infinity that a sum or product "
            "makes of finite numbers, at two looks; or what the loss is computed from is "
            "infinite in float16 as data: a conversion has made it so of a number beyond 65504."
        ),
        source="IEEE 754 binary16",
        not_this="Under a gradient scaler gradients are meant to come near: it raises its scale until they do.",
        remedies=("torch.bfloat16 in the place of torch.float16", "torch.nn.utils.clip_grad_norm_"),
        severities="critical where the loss is not finite any more or data are infinite, else warning",
    ),
)
"""What is said of each id of this family."""
