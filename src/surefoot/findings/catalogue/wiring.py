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
            "other modules get one, the module ran (with a graph, or without one inside a forward that trains), and "
            "its weights did not change. Or an optimiser has stepped at six looks and found no gradient at any; or no "
            "parameter at all gets one, though the script goes backward from a loss. Or a module of the one optimiser "
            "that there is had a gradient and has none at six looks over 32 steps, with no other optimiser since: it "
            "runs in each of them, or beside the steps alone (aside_calls) for a quarter of the run."
        ),
        source="autograd's graph; no matter of degree, so the threshold is zero",
        not_this=(
            "Frozen modules have nothing trainable. Target networks change otherwise, began as copies of a module that "
            "learns, or no optimiser holds them. Modules that did not run (an expert that was not chosen), or ran in "
            "evaluation mode without a graph, are an info at most."
        ),
        remedies=("no detach() on the way to the loss",),
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
            "Threshold: above 0 at three looks in a row, or at as many steps after a change of what takes a gradient, "
            "of the parameters of the model or of its optimisers."
        ),
        source="the graph of the loss; no matter of degree, so the threshold is zero",
        not_this=(
            "Frozen parameters (requires_grad is False) are none of the graph's trainable leaves. Parameters that the "
            "script updates by hand change, and are left out; so are those of an optimiser that has not stepped yet."
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
            "Judged: activation_before, the operation that made the loss's input (1 softmax, 3 sigmoid; 4 and 5 one of "
            "these of another), or rows that are non-negative and sum to one (row_sum_error < 1e-3). Of losses written "
            "by hand: what logsigmoid, softplus and x − logsumexp(x) are taken of.\n"
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
    Explanation(
        id="rank-desync",
        title="processes that train one model hold different weights",
        what=(
            "In data-parallel training each rank holds a copy of the model, and averaged gradients keep the copies "
            "equal bit by bit. Once they differ, gradients are averaged over models that are not the same, and what is "
            "saved is the copy of one rank. Usual reasons: the model was never wrapped, a parameter is changed by hand "
            "on one rank, a learning rate follows a number of the rank's own, or code bypasses the wrapper's forward."
        ),
        mathematics=(
            "c(θ) = ⟨s, θ⟩/√n for each layer, with the same random signs s on every rank: E (c(θ_a) − c(θ_b))² is "
            "‖θ_a − θ_b‖²/n.\n"
            "Judged: replica_distance = |c_a − c_b| / max(|c_a|, |c_b|), the largest over the ranks, at steps that all "
            "of them recorded.\n"
            "Threshold: above 1e-5 at two such steps in a row. Under DistributedDataParallel the same of "
            "learning_rate_spread, which tells before the weights do. gradient_spread, the same of the norms of "
            "gradients, says why: up to 1e-5 they are averaged, and something else moves the weights."
        ),
        source=(
            "random projections keep distances (Johnson & Lindenstrauss 1984); float32 rounding of 6e-8 a step walks "
            "6e-6 in 10⁴ steps"
        ),
        not_this=(
            "Losses differ from rank to rank, since each has its own batch. Shards (FSDP, tensor parallelism) and "
            "parameters that DistributedDataParallel is told to ignore are left out. Ranks without it, which share no "
            "process group, or began with different weights and are given different gradients, train models of their "
            "own. Local SGD, which averages weights now and then, drifts apart on purpose. Weights that differ at the "
            "very end alone (rank 0 has loaded its best ones) are no drift."
        ),
        remedies=(
            "start from rank 0's weights",
            "torch.nn.parallel.DistributedDataParallel",
            "one learning rate for all ranks",
            "gradients averaged over all ranks",
            "rank 0's weights after each step",
        ),
        severities="critical under DistributedDataParallel, else warning; judged when the joined record is read",
    ),
    Explanation(
        id="stale-batch",
        title="every step trains on one and the same batch",
        what=(
            "The loop asks for a batch in a way that begins anew each time, as next(iter(loader)) does without "
            "shuffling, or it has drawn one batch before it began. The loss falls, for the model learns these few rows "
            "by heart, and nothing else."
        ),
        mathematics=(
            "Judged: distinct_batches (sets of rows by their hashes); stale_loader_batches, how many batches of this "
            "size a live data loader has, or a tensor that holds its rows (eight at least); stale_loader_asked, "
            "whether the loop asks for one: an iterator that is alive has given more, or the loader's generator has "
            "drawn a seed (as when an iterator is begun) and the batch is a new tensor, or rows are taken anew from a "
            "tensor by indices or from one that is itself a part of the data; stale_tested, whether the model is run, "
            "outside of training, on rows of which most are not in what the batch is a part of.\n"
            "Threshold: one batch at six looks over 64 steps, while there are b ≥ 2; over 32 steps where it was asked "
            "for at k looks with b^−k ≤ 10⁻⁶, the chance that batches drawn at random were all the same. After other "
            "batches, if the steps of these looks have no common period: batches that come round are not the same one; "
            "and over 32 steps, at k looks with b^−(k−1) ≤ 10⁻⁶, where each step was seen to have had another. Without "
            "any other batch: stale_seeded at six looks over 32 steps, where it was made anew of nothing that was "
            "there before, and the text of the script seeds a generator in its training loop."
        ),
        source="identity of rows; no matter of degree",
        not_this=(
            "Full-batch training has no more batches of that size. Several updates on one batch go on to the next "
            "before 64 steps. A batch that is taken once and kept, as in a test that overfits one, is an info, for "
            "such a model is tested on nothing else; so are a few rows of the one tensor that holds the others "
            "for testing."
        ),
        remedies=("one iterator over the loader", "a generator that is seeded once"),
        severities="warning where the loop asks for batches, had others, or tests on others; info where it keeps one",
    ),
    Explanation(
        id="eval-mode-training",
        title="the model trains in evaluation mode",
        what=(
            "After an evaluation the script never called train() again. Dropout is off from then on, and batch "
            "normalisation uses the averages of an earlier model, which its own weights have long left behind."
        ),
        mathematics=(
            "Judged: eval_mode (the model's own flag) and eval_mode_share, the share of its dropout and batch "
            "normalisation layers, and of those that read self.training, in evaluation mode in a training step.\n"
            "Threshold: 1 for both at three looks in a row, after a look at which they were not; or at two, half of "
            "the run apart, after three; or from the start, where all normalisations that are in evaluation mode have "
            "a running mean of 0 and a variance of 1 to the last bit (unfed_norm_share): they normalise nothing; or "
            "where there is dropout (of a probability above 0), and none of it drops (eval_dropout_share)."
        ),
        source="the run's own first looks; no matter of degree",
        not_this=(
            "A frozen backbone in evaluation mode, or batch normalisation alone, is meant: the model itself is in "
            "training mode, or most of it takes no gradient. Inputs that are made in evaluation mode are made before "
            "the step, which ends in training mode."
        ),
        remedies=("model.train()",),
        severities="warning after training in training mode, or with normalisations that never saw a batch or dropout "
        "that never drops; info where it was so from the start",
    ),
    Explanation(
        id="frozen-parameters",
        title="parameters that are held, get a gradient, and never change",
        what=(
            "An optimizer holds these parameters, but it is never stepped, or with a learning rate of 0; or the "
            "layers run and their gradient is exactly zero at all times. They stay as they were initialised. Or they "
            "are stepped, and something puts them back after each step."
        ),
        mathematics=(
            "Judged: unchanged_share, the share of a layer's parameters that are bit for bit what they were at the "
            "first look though they have a gradient; restored_share; gradient_rms.\n"
            "Threshold: above 0 at two comparisons, or a gradient of 0 at eight looks or more (at three where no layer "
            "has any); over 64 steps. Or put back at four looks in a row over 32 steps, and not at one before. Or a "
            "layer whose weights are as torch draws them has requires_grad=False from the first look on, with layers "
            "that learn before and behind it and most dense layers among these, and the run is over above a third of "
            "a constant's loss."
        ),
        source="no matter of degree, so the threshold is zero",
        not_this=(
            "requires_grad=False is how one freezes what was learned before, a fixed map of the inputs, or most of a "
            "network, and is an info there even where an optimizer holds it; so is what nobody misses. A learning rate "
            "of 0 for some parameters while others learn is an info too, as long as a schedule, or a statement of the "
            "script, may still set another and the run goes on. Parameters in low precision may round their "
            "updates to nothing: see low-precision-underflow."
        ),
        remedies=(
            "one optimizer for all parameters",
            "surefoot.init.off_zero_",
            "a mask in the place of a copy",
            "optimizer.step()",
            "requires_grad_(True)",
        ),
        severities="critical where they are most of the model, else warning; info where it is likely meant",
    ),
)
"""What is said of each id of this family."""
