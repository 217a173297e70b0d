"""Explanations of the findings on wiring: what the loop connects, and what it leaves unconnected."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="missing-zero-grad",
        title="gradients are never cleared",
        what=(
            "Each backward adds its gradient to what is in .grad already, and nothing clears it between two steps of "
            "the optimiser. Every step then follows the sum of the gradients of all steps before. Training looks "
            "alive at first; then the steps grow longer and longer, and it overshoots or explodes."
        ),
        mathematics=(
            "A step moves along the sum of g_i over i ≤ t: SGD with a momentum of one, which forgets nothing. Where "
            "gradients are noise the sum grows like √t, where they agree like t.\n"
            "Judged: stale_gradient_share, the share of probed parameters whose gradient of the step before was still "
            "there and was added to.\n"
            "Threshold: above 0 at three looks in a row."
        ),
        source="autograd's accumulation into .grad; no matter of degree, so the threshold is zero",
        not_this=(
            "Gradient accumulation adds up between two steps of the optimiser and clears after it: nothing is stale "
            "at the next step. In a GAN one network's backward leaves gradients in the other that are cleared before "
            "use: where only some optimisers are stale, their gradient must have grown fourfold as well."
        ),
        remedies=("optimizer.zero_grad()",),
        severities="critical where the loss learns nothing, else warning",
    ),
    Explanation(
        id="detached-parameters",
        title="no gradient reaches parameters that the optimiser holds",
        what=(
            "Modules run in the forward and are in the optimiser, but the graph is cut between them and the loss, by "
            "detach(), .data, .item(), numpy() or no_grad(). They stay as they were initialised while the rest learns "
            "around them."
        ),
        mathematics=(
            "∂L/∂θ does not exist, which is not the same as ∂L/∂θ = 0.\n"
            "Judged: gradient_share, the share of a module's trainable parameters that got a gradient.\n"
            "Threshold: 0 at the first look and at each since, three at least (eight with several optimisers), while "
            "other modules get one, the module ran, and its weights did not change."
        ),
        source="autograd's graph; no matter of degree, so the threshold is zero",
        not_this=(
            "Frozen modules have nothing trainable. Target networks change otherwise, or no optimiser holds them. "
            "Modules that did not run (an expert that was not chosen) are an info at most."
        ),
        remedies=("list the parameters without a gradient",),
        severities="critical where they are most of the model, else warning; info where nothing says that they run",
    ),
    Explanation(
        id="optimizer-misses-parameters",
        title="trainable parameters that no optimiser holds",
        what=(
            "The loss depends on parameters that are trainable, but no optimiser was given them: their gradient is "
            "computed at every step and thrown away. Usual reasons: the optimiser was built before a layer was added "
            "or replaced, or it was given the parameters of one part of the model."
        ),
        mathematics=(
            "Judged: missed_parameters, the number of trainable leaves of the loss's graph that no optimiser holds "
            "and that nobody updates.\n"
            "Threshold: above 0 at three looks in a row."
        ),
        source="the graph of the loss; no matter of degree, so the threshold is zero",
        not_this=(
            "Frozen parameters (requires_grad is False) are none of the graph's trainable leaves. Parameters that the "
            "script updates by hand change, and are left out."
        ),
        remedies=("optimizer.add_param_group", "requires_grad_(False)"),
        severities="critical where they are most of the model and the loss learns nothing, else warning",
    ),
    Explanation(
        id="double-softmax",
        title="softmax or sigmoid in front of a loss that has its own",
        what=(
            "cross_entropy applies a log-softmax and binary_cross_entropy_with_logits a sigmoid. Given probabilities, "
            "they take them for logits: the loss has a floor far above zero and its gradient is shrunk by the inner "
            "Jacobian, so that the model learns slowly, or stops short. nll_loss of probabilities that are not "
            "logarithms is the same confusion the other way round."
        ),
        mathematics=(
            "Logits in [0, 1] can favour the right one of C classes by a factor e at most:\n"
            "    L ≥ ln(1 + (C − 1)/e)     (1.46 for ten classes)\n"
            "A sigmoid of a number in [0, 1] is at least ½: a negative scores no less than ln 2.\n"
            "Judged: activation_before, the operation that made the loss's input (1 softmax, 3 sigmoid), or rows that "
            "are non-negative and sum to one (row_sum_error < 1e-3).\n"
            "Threshold: at two looks in a row."
        ),
        source="arithmetic of the softmax; no matter of degree",
        not_this="A log-softmax in front is harmless: the log-softmax of a log-softmax is itself.",
        remedies=(
            "raw logits to the loss",
            "torch.nn.functional.nll_loss on log-probabilities",
            "torch.nn.functional.binary_cross_entropy",
        ),
        severities="critical where the loss learns nothing, else warning",
    ),
)
"""What is said of each id of this family."""
