"""Explanations of the findings on steps: how far the optimiser goes, and what the loss has to give."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="learning-rate-too-high",
        title="steps promise more than the loss can give, and harm follows",
        what=(
            "A step is so long that the gradient it follows says nothing any more about where it ends. The loss "
            "jumps, units die or saturate, and the run ends up no better than a constant prediction, or in NaN."
        ),
        mathematics=(
            "To first order a step Δθ lowers the loss by −⟨g, Δθ⟩. Overshoot = −⟨g, Δθ⟩/(2L), for a loss L ≥ 0:\n"
            "  < 1  for a convex loss every such step comes nearer to every minimiser;\n"
            "  > 2  even in a quadratic bowl the step lands higher than it began (lr > 2/λ).\n"
            "Judged: predicted_decrease/(2·loss) and update_norm/weight_norm, together with the loss.\n"
            "Threshold: overshoot of ½ or steps of a tenth of the weights at two looks, and a loss a quarter above its "
            "first level (or a constant prediction's) beyond its noise; the docstring of the rule has the other ways. "
            "Overshoot alone condemns nothing."
        ),
        source="Polyak 1987, Introduction to Optimization, §5.3; the run's own losses for the harm",
        not_this=(
            "Healthy runs reach an overshoot of 1.2 in single steps, and normalisation forgives much. A loss that "
            "learns is left alone. Losses whose scale is not understood (returns, adversaries) need three times the "
            "highest of their first 16 values."
        ),
        remedies=("lower learning rate", "surefoot.optim.SafeStep", "torch.nn.utils.clip_grad_norm_"),
        severities="critical with harm; warning for two looks with overshoot 2 or more while the loss does not go down",
    ),
    Explanation(
        id="learning-rate-too-low",
        title="steps are too short to get anywhere",
        what=(
            "There is a gradient, but the steps are so short that the weights would need tens of thousands of them to "
            "move by their own size. The loss has not moved beyond its noise, and will not before the budget is spent."
        ),
        mathematics=(
            "Judged: update_norm/weight_norm (the share of their size that the weights move in a step) and elasticity "
            "‖g‖‖θ‖/L, which tells a missing gradient from a missing step.\n"
            "Threshold: a median below 2e-5 after 48 steps, every step promising less than 1e-4 of the loss, with "
            "elasticity 0.05 or more and a loss within 5 % (and twice its noise) of its first level."
        ),
        source="arithmetic: at 2e-5 more than 50,000 steps move the weights by their own size; healthy runs, also "
        "with a tenth of a good rate, need 20,000 at most",
        not_this=(
            "A warm-up (the rate still rises), a fine-tune (the loss began below a constant prediction's), a plateau "
            "about to end (the gradient has doubled)."
        ),
        remedies=("raise learning rate",),
        severities="warning",
    ),
    Explanation(
        id="divergence",
        title="the loss climbs away from where it has been",
        what=(
            "The loss has lost all that it had gained and as much again, and stays there. Something was true before "
            "and is not any more: look at what is ranked above it for the cause."
        ),
        mathematics=(
            "Judged: the lower quartile of the newest losses, so that three quarters of them are above.\n"
            "Threshold: first loss + all that was gained + 3 × noise, and twice what a constant prediction scores. "
            "Where the scale of the loss is not known, a hundred times the highest of the first 16 losses."
        ),
        source="the run's own history, and the loss of the best constant prediction",
        not_this=(
            "Policy-gradient losses grow with the return, a generator's loss grows while its critic learns, losses "
            "below zero have no floor: there only growth by orders of magnitude counts. A spike that comes back is "
            "none: three quarters of the newest losses must be high."
        ),
        remedies=("lower learning rate", "torch.nn.utils.clip_grad_norm_"),
        severities="critical",
    ),
)
"""What is said of each id of this family."""
