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
            "first level (or a constant prediction's) beyond its noise; or steps that overshot three times, or moved "
            "the weights by twice their own size in 16 steps, and a loss that rests far from a fit from 64 steps on "
            "(or wherever it stands still, where it rose a hundredfold and units were lost on the way); or steps that "
            "each turn over a fiftieth of the weights, while the loss rests above half of a constant's; "
            "the docstring of the rule has the other ways. Overshoot alone condemns nothing."
        ),
        source="Polyak 1987, Introduction to Optimization, §5.3; the run's own losses for the harm",
        not_this=(
            "Healthy runs reach an overshoot of 1.2 in single steps, and normalisation forgives much. A loss that "
            "learns is left alone. Losses whose scale is not understood (returns, adversaries) need three times the "
            "highest of their first 16 values."
        ),
        remedies=(
            "lower learning rate",
            "no higher learning rate than before",
            "surefoot.optim.SafeStep",
            "torch.nn.utils.clip_grad_norm_",
            "surefoot.optim.warmup_factor",
            "surefoot.optim.DAL",
        ),
        severities=(
            "critical with harm; warning for two looks with overshoot 2 or more while the loss does not go down; both "
            "after 16 losses, for a jump of the first steps may heal by itself; warning for a run that learned "
            "something after such a jump and rests there"
        ),
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
            "elasticity 0.05 or more and a loss within 5 % (and twice its noise) of its first level. (A step may "
            "promise more where the loss is above a constant prediction's and would not be down to it by twice the "
            "steps, by all that they promise: what is sure and wrong has a large gradient.)\n"
            "Or, where the weights moved by less than a tenth of their size: Σ −⟨g, Δθ⟩/L, what all steps together "
            "promised, which bounds what a convex loss can have lost: below a fifth at the end of a run that learned "
            "nothing. Or a stability coefficient below 1/500 at every reading, and a loss at rest far from a fit, "
            "or a run that is over with a fifth of it left."
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
            "Where the scale of the loss is not known, a hundred times the largest of the first 16, signs apart.\n"
            "Where the loss began near minus what a constant prediction scores, it is the negative of a loss function: "
            "then it must not fall below twice that, and the sign is what is wrong.\n"
            "Where every step is on one and the same batch, so that nothing but the steps can raise the loss: a "
            "hundred times its best for a quarter of the run, with a spread of a quarter of itself, for a warning.\n"
            "A loss of a known scale that climbs back to twice its best and half of its first, higher with each eighth "
            "of the run, beyond its noise and twice as far as it ever climbed before: a warning. So is any loss that "
            "climbs so to twice its best, where an error that the script prints has doubled: the lowest of the newest "
            "quarter of its values against the highest of the first; or of which each third of nine values or more is "
            "above the one before by no smaller share, and by that share once more has doubled.\n"
            "Ahead of all this: weights that became three times as long by one and the same share of themselves a step "
            "(each quarter of the run within a quarter of the mean), which is two thirds of the length of a step or "
            "more. A gradient moves mostly across the weights; such growth feeds itself and has no end: a warning."
        ),
        source="the run's own history, and the loss of the best constant prediction",
        not_this=(
            "Policy-gradient losses grow with the return, a generator's loss grows while its critic learns, losses "
            "below zero have no floor: there only growth by orders of magnitude counts. A spike that comes back is "
            "none: three quarters of the newest losses must be high. Nor is a sum that grows by terms which began next "
            "to nothing, while the one that was most of it falls: a codebook that is being found."
        ),
        remedies=(
            "lower learning rate",
            "no higher learning rate than before",
            "steps down the loss",
            "torch.nn.utils.clip_grad_norm_",
        ),
        severities="critical; a warning for what is lost on one batch, or slowly",
    ),
    Explanation(
        id="unsafe-step",
        title="a step went far beyond where its own model of the loss holds",
        what=(
            "An optimiser follows a local model of the loss. A softmax cross-entropy has complex singularities, and no "
            "Taylor model along a step reaches farther than the nearest of them. A step that goes several times as far "
            "lands where nothing was known of the loss; one such step can undo a run."
        ),
        mathematics=(
            "Along θ + t·v with linearised logits the loss is −z_y − a_y·t + log F(t), F(t) = Σ exp(z_k + a_k·t). F "
            "has complex zeros; none is nearer than ρ = π/(max a − min a), and with two classes ρ = √(δ² + π²)/|a₁ − "
            "a₂| is exact.\n"
            "Judged: r = τ/ρ, with τ the length of the step as it was taken, by one Jacobian-vector product at the old "
            "weights on the step's own inputs; the largest r over the batch.\n"
            "Threshold: 1 for an info; for a warning 4, four times the running median, and out of nothing: a learning "
            "rate four times what it ever was in the older half of the rows, or four times the largest of at least "
            "eight readings right before.\n"
            "Ahead of it: where a StepLR or MultiStepLR has a rise to four times the rate or more in store, and the "
            "curvature just measured is then twice what the optimizer can stand, a warning before the step is taken."
        ),
        source="P. Sao, Ghosts of Softmax, arXiv 2603.13552 (2026), sections 3 and 4",
        not_this=(
            "r ≥ 1 gives no guarantee, and promises no harm either: SGD near the edge of stability was measured at 4 "
            "to 17 in healthy runs, growing there from step to step. Warm-ups, cycles and restarts have had their "
            "rates before."
        ),
        remedies=("surefoot.optim.SafeStep", "no higher learning rate than before", "lower learning rate"),
        severities="info at r ≥ 1; warning as above; critical when the loss is then above where the run began",
    ),
    Explanation(
        id="edge-of-stability",
        title="the sharpest direction is as curved as the optimiser can stand",
        what=(
            "Training sharpens the loss until oscillations along the sharpest direction no longer die out, and hovers "
            "there: the loss goes down over many steps, not over each. This is how much of training with a constant "
            "rate goes, and no fault; it tells that the rate has no room upwards."
        ),
        mathematics=(
            "On a quadratic of curvature λ the optimiser is stable below 2/η (SGD), (2 + 2β)/η (momentum), and for "
            "Adam, with the Hessian preconditioned as it does, below (2 + 2β₁)/((1 − β₁)η), 38/η at β₁ = 0.9.\n"
            "Judged: stability_coefficient = λ over that limit, by Lanczos on Hessian-vector products of the batch's "
            "loss; a few products give a value from below.\n"
            "Threshold: the last three readings between 0.7 and 2, their median 0.8 or above, while the loss learns."
        ),
        source="Cohen et al., arXiv 2103.00065 (2021) and arXiv 2207.14484 (2022)",
        not_this=(
            "Small batches have sharper losses than the whole set: the coefficient of a batch overstates. Curvature "
            "beyond the limit raises the loss only where the gradient points along it (signals sharpest_share, "
            "principal_flow_rate; surefoot.analysis.drift.stability_coefficients for several directions, surefoot "
            "inspect --curvature for the whole spectrum). surefoot.optim.DAL holds the rate at this edge by itself."
        ),
        remedies=(),
        severities="info only",
    ),
    Explanation(
        id="loss-spike",
        title="the loss jumped up for several steps in a row",
        what=(
            "The loss rose within a few steps by half or more of all that had been gained. Many spikes heal by "
            "themselves; each costs the steps until then, and some do not heal."
        ),
        mathematics=(
            "Judged: three rows of the loss in a row.\n"
            "Threshold: the median of the 16 rows before, plus the largest of half of the gain since the start, half "
            "of that level, and 8 times the noise (interquartile range / 1.349 of those rows).\n"
            "Where an optimizer takes the place of one of its kind over the same parameters (Adam's first step is "
            "lr · sign(g) whatever the gradient): of the eight rows after, two above 1.5 times the highest of the 16 "
            "rows before, or one above 2.25 times, for the second time.\n"
            "Where all steps are on one and the same batch: three times in the newest half of the run above ten times "
            "the median of that half, and back below twice it in between, while the loss is above 0.7 of what it was "
            "at half of the run.\n"
            "Again and again: five leaps to three times the three rows before (twice in the two after), the last in "
            "the newest half of the run, whose median is three times the best level; no new labels, no new optimizers."
        ),
        source="the run's own history",
        not_this=(
            "One high row is a batch, not a spike. A curriculum that turns harder and full-batch training at the edge "
            "of stability jump and recover as well: a spike alone is an info."
        ),
        remedies=(
            "one optimizer for the whole run",
            "no higher learning rate than before",
            "surefoot.optim.SafeStep",
            "lower learning rate",
            "torch.nn.utils.clip_grad_norm_",
        ),
        severities=(
            "info; warning where the learning rate had just risen fourfold over all it was before, after an unsafe "
            "step, where layers that were frozen before bring it, for the third spike above the first loss that other "
            "data do not explain, or where new optimizers bring it again and again, or the steps on one batch do"
        ),
    ),
    Explanation(
        id="stalled",
        title="the weights move and nothing is learned",
        what=(
            "Gradients are there and no step is too long, but the loss never left what a constant prediction scores: "
            "the model makes no use of its inputs. Mostly the data are to blame: targets that do not belong to their "
            "inputs, or inputs that are all alike."
        ),
        mathematics=(
            "Judged: the lowest median of the loss against the best constant prediction's, the movement Σ ‖Δθ‖/‖θ‖, "
            "overshoot −⟨g, Δθ⟩/(2L) and elasticity ‖g‖‖θ‖/L.\n"
            "Threshold: 97 % of the constant's loss after 200 steps and movement 1, overshoot below 1, elasticity "
            "0.01 or more; warning after 1000 steps and movement 10, if the gradient is not growing, and at the end of "
            "a run that never came 1 % below the constant's, on the same batches."
        ),
        source="the loss of the best constant prediction; the run's own movement",
        not_this=(
            "Plateaus that end by themselves (parity, deep tanh, long before generalisation) look the same while they "
            "last, hence an info first. A loss that is flat at a level of its own is not judged: it may be all that "
            "the data give."
        ),
        remedies=("look at one batch",),
        severities="info; warning after a long time, or at the end of the run",
    ),
    Explanation(
        id="always-clipping",
        title="clipping sets the length of every step",
        what=(
            "Where every gradient is clipped, and hard, the learning rate is not what it says: SGD steps by ratio · lr "
            "along a normalised gradient. With a threshold far below the usual norm nothing moves any more."
        ),
        mathematics=(
            "Judged: clip_ratio = ‖g‖ as the step gets it over ‖g‖ as the backward left it, whichever way the script "
            "clips.\n"
            "Threshold: below 1 at the last four looks, 0.1 by the median, and a loss that has learned nothing in 48 "
            "steps because of it: SGD's steps below 2e-5 of the weights that would be above without clipping; or ε "
            "leaving 1/16 of an adaptive optimiser's step, and half without clipping. Or the run is over, 0.01 was "
            "left, and the loss was still falling, far from a fit, under a rate that no schedule had lowered and whose "
            "steps would have kept Polyak's bound without clipping, too: −⟨g, Δθ⟩/(2L) below clip_ratio. Or the share "
            "that is left of SGD's gradient is 0.01 at most, a thirtieth of what it was when clipping began: the bound "
            "follows what it clips."
        ),
        source="arithmetic (see learning-rate-too-low); scale invariance of Adam up to its ε",
        not_this=(
            "Language models are often trained with clipping in every step: with SGD the rate is chosen for it, and "
            "Adam divides a steady ratio out again. An info as long as the loss learns."
        ),
        remedies=("wider clipping",),
        severities="warning where nothing is learned, or the run comes to no end, for it; else info",
    ),
    Explanation(
        id="scheduler-misuse",
        title="the learning rate does not follow the schedule that was meant",
        what=(
            "A schedule counts calls of scheduler.step(). Made for epochs and stepped once a batch it is over at once, "
            "or a cosine swings up and down; made for batches and stepped once an epoch it hardly begins; or nobody "
            "steps it, or it serves an optimizer that never steps, or no more since another took over, or it takes "
            "what gets better for what gets worse."
        ),
        mathematics=(
            "Judged: scheduler_steps of the schedulers that are alive, against T_max, total_iters or total_steps; the "
            "series of learning_rate.\n"
            "Threshold: CosineAnnealingLR at 1.25 T_max; another schedule at ten times its end (the last milestone), "
            "with a quarter of the rate left at most and no fit; a rate below 1e-4 of its highest for half of the "
            "run, or below 1e-2 and ever lower where all steps so far add up to 32, or an eighth of them, at the "
            "highest; a MultiplicativeLR whose factors fall; no step in a run that ended well; a quarter of the "
            "horizon where the horizon is the number of steps taken (of a scheduler that is gone by then, as often as "
            "the last look saw). A scheduler called twice for each step of its optimizer, or more, and a rate below "
            "1e-4 of its highest for a fifth of the run (zero: an eleventh). A player of a game with a hundredth of "
            "its highest rate for a fifth of the run, and a hundredth of what another has of its own. A "
            "ReduceLROnPlateau whose best number is the first that it was given, after more calls than its patience, "
            "where that number is printed under a name that says it got better."
        ),
        source="the schedulers' own counts",
        not_this=(
            "Cyclical rates and warm restarts rise by design. Step decay to a thousandth is usual. A plateau scheduler "
            "that ends low, or a rate that faded when the loss was fit, is an info."
        ),
        remedies=(
            "scheduler.step() less often",
            "scheduler.step()",
            "a schedule as long as the run",
            "ReduceLROnPlateau in mode 'max'",
            "ReduceLROnPlateau in mode 'min'",
            "no much lower learning rate than before",
            "make the scheduler after the optimizer",
        ),
        severities="warning; info for a faded rate where the loss is fit or a plateau scheduler set it",
    ),
)
"""What is said of each id of this family."""
