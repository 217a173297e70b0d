"""Every public signal: what it measures, in what unit, and what its ``where`` names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signal:
    """One signal of the record.

    Attributes
    ----------
    name : its name in rows and evidence
    family : the family of rows that it is in
    where : what its ``where`` names: ``"layer"``, ``"optimizer"``, ``"loss"``, ``"run"``, …
    unit : unit, or "1" for shares and ratios
    title : its name on an axis
    about : what it is, in a sentence; whether before or after clipping where that matters
    """

    name: str
    family: str
    where: str
    unit: str
    title: str
    about: str


_STEP = (
    Signal("loss", "step", "optimizer", "that of the loss", "loss",
           "The loss as the script's backward gets it, unscaled; summed over micro-batches."),
    Signal("learning_rate", "step", "optimizer", "1", "learning rate",
           "Highest learning rate of the parameter groups."),
    Signal("step_time", "step", "run", "s", "step time (s)",
           "Time of a step of the main optimizer, without what watching took."),
    Signal("constant_loss", "step", "optimizer", "that of the loss", "loss of a constant prediction",
           "Loss of the best constant prediction for this batch: entropy of the labels, variance of the targets."),
)  # fmt: skip
_GRADIENTS = (
    Signal("gradient_rms", "gradients", "layer", "loss / weight", "gradient RMS, before clipping",
           "Root mean square of the gradient over the layer's own parameters; before clipping, unscaled."),
    Signal("gradient_share", "gradients", "layer", "1", "share of parameters with a gradient",
           "Share of the layer's trainable parameters that got a gradient at all."),
    Signal("gradient_nonfinite", "gradients", "layer", "1", "share of non-finite gradients",
           "Share of the layer's parameters whose gradient holds a NaN or an infinity; before clipping."),
    Signal("gradient_norm", "gradients", "optimizer", "loss / weight", "gradient norm, before clipping",
           "L2 norm of the gradient over all parameters; before clipping, unscaled."),
)  # fmt: skip
_WEIGHTS = (
    Signal("weight_rms", "weights", "layer", "weight", "weight RMS",
           "Root mean square of the layer's own parameters, before the step."),
    Signal("update_rms", "weights", "layer", "weight", "update RMS",
           "Root mean square of what the optimizer added in this step; after clipping, since it is what was done."),
    Signal("weight_norm", "weights", "optimizer", "weight", "weight norm",
           "L2 norm of all parameters, before the step."),
    Signal("update_norm", "weights", "optimizer", "weight", "update norm",
           "L2 norm of what the optimizer added in this step, over all parameters; after clipping."),
    Signal("predicted_decrease", "weights", "optimizer", "loss", "predicted decrease of the loss",
           "−⟨gradient, update⟩ over all parameters: how much this step lowers the loss to first order; the gradient "
           "before clipping, the update as it was done."),
)  # fmt: skip
_ACTIVATIONS = (
    Signal("activation_mean", "activations", "layer", "that of the output", "activation mean",
           "Mean of the layer's output."),
    Signal("activation_rms", "activations", "layer", "that of the output", "activation RMS",
           "Root mean square of the layer's output."),
    Signal("dead_share", "activations", "layer", "1", "share of dead units",
           "Share of the layer's units whose ReLU-like activation gave 0 for every row of the last four looks."),
    Signal("saturated_share", "activations", "layer", "1", "share of saturated outputs",
           "Share of outputs of a bounded activation where its derivative is below 2 % of its maximum."),
    Signal("active_share", "activations", "layer", "1", "share of active outputs",
           "Share of the outputs of a ReLU-like activation that are not 0."),
    Signal("closed_share", "activations", "layer", "1", "share of closed outputs",
           "As saturated_share, of a bounded activation that ends the model or is multiplied with something."),
    Signal("called", "activations", "layer", "1", "ran in the forward",
           "1 where the layer ran in the forward that was looked at; missing where that is not known."),
)  # fmt: skip
_LOGITS = (
    Signal("softmax_collapse_share", "logits", "loss", "1", "share of collapsed softmax rows",
           "Share of rows whose largest probability is exactly 1 in the precision at hand: no gradient is left."),
    Signal("logit_max", "logits", "loss", "1", "largest logit", "Largest absolute logit of the batch."),
    Signal("logit_rms", "logits", "loss", "1", "logit RMS", "Root mean square of the logits."),
    Signal("row_sum_error", "logits", "loss", "1", "largest |row sum − 1|",
           "Largest distance of a row's sum from 1; near 0 with non-negative entries, rows are probabilities already."),
    Signal("nonnegative_share", "logits", "loss", "1", "share of non-negative logits",
           "Share of entries of the loss's input that are not negative."),
    Signal("num_classes", "logits", "loss", "classes", "number of classes", "Width of the loss's input."),
    Signal("activation_before", "logits", "loss", "code", "activation in front of the loss",
           "What made the loss's input: 0 none of these, 1 softmax, 2 log-softmax, 3 sigmoid; 4 a softmax, 5 a sigmoid "
           "of either."),
)  # fmt: skip
_WIRING = (
    Signal("stale_gradient_share", "wiring", "optimizer", "1", "share of stale gradients",
           "Share of probed parameters whose gradient of the step before was still there and was added to."),
    Signal("missed_parameters", "wiring", "run", "parameters", "parameters that no optimizer holds",
           "Number of trainable parameter tensors in the loss's graph that no optimizer holds and nobody updates."),
)  # fmt: skip
_RANKS = (
    Signal("weight_projection", "ranks", "layer", "weight", "projection of the weights",
           "Scalar product of the layer's weights with random signs, the same on every rank, over √n; after the step."),
    Signal("replica_distance", "replicas", "layer", "1", "distance between ranks",
           "Largest relative difference between rank 0's projection of the layer's weights and another rank's; made "
           "when the records of several ranks are read."),
    Signal("learning_rate_spread", "replica_steps", "optimizer", "1", "spread of learning rates",
           "Largest relative difference between rank 0's learning rate and another rank's."),
    Signal("gradient_spread", "replica_steps", "optimizer", "1", "spread of gradient norms",
           "Largest relative difference between the norm of rank 0's gradients and another rank's, as the optimizer "
           "is given them."),
    Signal("replica_rank", "replicas", "run", "rank", "rank that is farthest away",
           "The rank whose weights differ most from rank 0's."),
)  # fmt: skip
_FORWARD = (
    Signal("attention_logit_max", "attention", "layer", "1", "largest attention logit",
           "Largest absolute logit of a visible key, over sampled batch entries, heads and queries of the attention "
           "that the layer feeds queries to."),
    Signal("attention_entropy", "attention", "layer", "1", "attention entropy",
           "Entropy of the attention weights over the logarithm of the number of visible keys, mean over sampled "
           "queries: 1 spread evenly, 0 all on one key."),
    Signal("query_norm", "attention", "layer", "1", "length of queries",
           "Mean L2 norm of the same queries. Logits that explode do so by lengths that grow, not by cosines."),
    Signal("key_norm", "attention", "layer", "1", "length of keys", "Mean L2 norm of the same attention's keys."),
    Signal("stable_rank", "rank", "layer", "1", "stable rank",
           "‖X‖_F² / ‖X‖₂² of sampled rows of the layer's output: tokens of a sequence, or samples. Not centred."),
    Signal("effective_rank", "rank", "layer", "1", "effective rank",
           "exp of the entropy of the singular values' shares, of the same rows."),
    Signal("token_cosine", "rank", "layer", "1", "cosine between tokens",
           "Mean cosine between two tokens of one sequence in the layer's output; missing where there are no tokens."),
    Signal("bptt_rate", "recurrence", "layer", "1 / time step", "growth of the gradient back through time",
           "λ: by how many nats |∂loss/∂state| grows with each time step back; before clipping."),
    Signal("bptt_length", "recurrence", "layer", "time steps", "time steps",
           "How many time steps the layer ran in one forward."),
)  # fmt: skip

_SAFE_STEP = (
    Signal("safe_ratio", "safe_step", "optimizer", "1", "step in radii of convergence, r",
           "Length of the step that was taken over the radius of convergence of the cross-entropy along it, the "
           "largest over the samples of the step's first forward: below 1 the step is inside. The radius is exact "
           "for two "
           "classes and yes/no outputs, a lower bound for more. After clipping: the update as it was done."),
    Signal("safe_ratio_median", "safe_step", "optimizer", "1", "median r over samples",
           "The same for half of the samples: one outlier can make the largest one large."),
    Signal("safe_radius", "safe_step", "optimizer", "weight", "radius of convergence",
           "How far the weights may go along this step's direction, ρ."),
    Signal("step_length", "safe_step", "optimizer", "weight", "length of the step",
           "L2 norm of the update over the model's parameters, τ; every element counted, unlike update_norm."),
    Signal("finite_difference", "safe_step", "optimizer", "1", "by a finite difference",
           "1 where the model has no forward-mode derivative and a finite difference along 1 % of the step served."),
)  # fmt: skip
_CURVATURE = (
    Signal("sharpness", "curvature", "optimizer", "loss / weight²", "sharpness",
           "Largest eigenvalue of the Hessian of the step's first batch loss, found from below by a few "
           "Hessian-vector products; for Adam and RMSprop that of the Hessian preconditioned as they do."),
    Signal("sharpness_residual", "curvature", "optimizer", "1", "relative residual of the sharpness",
           "|A v − λ v| / |λ|: some eigenvalue lies within that share of the sharpness; large: not yet converged."),
    Signal("stability_coefficient", "curvature", "optimizer", "1", "curvature over what the optimizer can stand",
           "Sharpness over the limit beyond which small oscillations grow: 2/η for SGD, (2 + 2β)/η with momentum, "
           "(2 + 2β₁)/((1 − β₁)η) for Adam's preconditioned Hessian. At 1 is the edge of stability."),
    Signal("sharpest_share", "curvature", "optimizer", "1", "share of the gradient along the sharpest direction",
           "|⟨g, e⟩| / |g| for the sharpest direction e (in the optimizer's own metric); before clipping."),
    Signal("principal_flow_rate", "curvature", "optimizer", "1", "change of the loss along the sharpest direction",
           "log|1 − ηλ|/(ηλ) · ⟨g, e⟩²/|g|², for SGD without momentum: positive where a step raises the loss there."),
)  # fmt: skip

_SURROGATES = (
    Signal("surrogate_error", "surrogates", "layer", "1", "distance of the surrogate from sign",
           "Root mean square of sign(W) − f(W) over a binary layer's weights, f the estimator at its present "
           "sharpness."),
    Signal("surrogate_unevenness", "surrogates", "layer", "1", "unevenness of the surrogate's slope",
           "Var φ / (E φ)² over a binary layer's weights: 1/(1 + it) is the share among which the gradient is spread."),
    Signal("surrogate_frozen", "surrogates", "layer", "1", "share of frozen binary weights",
           "Share of a binary layer's weights where the estimator's slope is zero: no gradient moves them."),
    Signal("slope_share", "slopes", "layer", "1", "share that a script's own slopes let through",
           "(Σ φ)² / (n Σ φ²) over the entries of a script's own autograd.Function, φ what it gives back over what it "
           "gets: among this share the gradient is spread."),
)  # fmt: skip

_HYPERBOLIC = (
    Signal("hyperbolic_norm", "hyperbolic", "layer", "1", "tangent norm on the Poincaré ball",
           "Mean of √c times the norm of a layer's tangent vectors: half the distance from 0, in units of 1/√c."),
    Signal("hyperbolic_factor", "hyperbolic", "layer", "1", "factor of norms on the Poincaré ball",
           "Mean tangent norm of a layer's outputs over that of its inputs: below 0.7 deep nets collapse."),
    Signal("hyperbolic_rim_share", "hyperbolic", "layer", "1", "share of vectors at the rim",
           "Share of a layer's vectors that a projection into the ball would clip in this precision."),
    Signal("hyperbolic_distance", "distances", "layer", "1", "largest hyperbolic distance",
           "Largest value of an arcosh or artanh in the batch: a distance in units of the curvature's radius. Far "
           "below 1 the space is flat."),
)  # fmt: skip

_GATING = (
    Signal("gating_gain", "gating", "layer", "1", "largest sum over paths",
           "Of a surefoot.nn.plstm layer over a grid: the largest sum over paths of the product of |transitions| from "
           "the first corner on, and of a script's own gates those from the first state on. At most 1 in P- and "
           "D-mode."),
    Signal("gating_exponent", "gating", "layer", "1", "decay of gates over distance",
           "p where these sums fall as distance^(−p): ½ for critical P-mode, 0 for critical D-mode, negative where "
           "they grow."),
    Signal("gating_column_sum", "gating", "layer", "1", "largest sum of transitions at a node",
           "Largest |T| to the right plus |T| down, over the edges that come to a node. At most 1 in P-mode."),
)  # fmt: skip

_NUMBERS = (
    Signal("edge_roundings", "edges", "function", "1", "roundings to the edge of a domain",
           "Smallest distance to ±1 of what an arccosine, an arcsine or an artanh is taken of, in units of what "
           "numbers just below 1 are rounded to; none where it is clamped to less."),
    Signal("softmax_rounding_share", "logits", "loss", "1", "share of rounding in the gradient",
           "Σ |Σ p − 1| over rows, over the Σ of the wrong classes' p: how much of the gradient on the logits is "
           "rounding. 1 where all rows have collapsed."),
    Signal("softmax_headroom", "logits", "loss", "nats", "headroom of the softmax",
           "Nats that the median row has left before its softmax is rounded to 1 in the dtype of the training."),
    Signal("logit_margin", "logits", "loss", "nats", "lead of the largest logit",
           "Largest logit less the runner-up, mean over rows."),
    Signal("target_margin", "logits", "loss", "nats", "lead of the right class",
           "Logit of the right class less the best other, mean over rows; negative where a row is misclassified."),
    Signal("target_margin_min", "logits", "loss", "nats", "smallest lead of the right class",
           "The same of the worst row: above 0 the batch is fit."),
    Signal("log_partition_mean", "logits", "loss", "nats", "log Z", "logsumexp of the logits, mean over rows."),
    Signal("log_partition_max", "logits", "loss", "nats", "largest |log Z|", "Largest |log Z| over rows."),
    Signal("logit_shift", "logits", "loss", "nats", "mean logit", "Mean over all logits: what the softmax cannot see."),
    Signal("logit_rounding", "logits", "loss", "nats", "rounding of the logits",
           "eps/2 of the logits' dtype times the smaller of |log Z| and |mean logit|."),
    Signal("nlm_alignment", "weights", "optimizer", "1", "cosine of −gradient and weights",
           "−⟨g, θ⟩/(‖g‖‖θ‖) over all parameters: near 1 the step only rescales the weights; before clipping."),
    Signal("update_ratio", "weights", "layer", "1", "update over weights",
           "update_rms over weight_rms: the share of their size that the layer's weights moved by; after clipping."),
    Signal("swallowed_share", "weights", "layer", "1", "share of swallowed updates",
           "Share of float16 and bfloat16 elements with a gradient that the step left as they were: the update was "
           "below half a unit in the last place."),
    Signal("beyond_reach_share", "weights", "layer", "1", "share of weights beyond reach",
           "Share of a layer's weights that are larger than every one of them that has a gradient: an estimator that "
           "stands for a step, or a clamp, has no slope for them."),
    Signal("overflowed_share", "overflow", "operation", "1", "share of float16 results that overflowed",
           "Of the sums and products of a forward that give infinity in float16 though all that went in was finite: "
           "the largest share of such elements in one result."),
    Signal("restored_share", "weights", "layer", "1", "share of parameters that are put back",
           "Share of the layer's parameters that the last look's step moved, and that this step finds bit for bit as "
           "that one had found them (64 elements of each are compared)."),
    Signal("clip_ratio", "gradients", "optimizer", "1", "clip ratio",
           "Gradient norm as the step got it over that which the backward left, unscaled both: how much the script "
           "shortened it by clipping of whichever kind."),
    Signal("epsilon_share", "adaptivity", "layer", "1", "share of elements below ε",
           "Share of the layer's elements whose √v̂ is below the optimizer's ε, of those that ever had a gradient."),
    Signal("epsilon_factor", "adaptivity", "layer", "1", "share that ε leaves of the step",
           "Mean of √v̂/(√v̂ + ε) over the same elements."),
    Signal("gradient_zero_share", "precision", "layer", "1", "share of zero gradients in float16",
           "Share of exact zeros in the gradient of a layer that runs in float16; before unscaling and clipping."),
    Signal("gradient_subnormal_share", "precision", "layer", "1", "share of subnormal gradients in float16",
           "Share of non-zero gradients below 2⁻¹⁴, where float16 loses bits; before unscaling and clipping."),
    Signal("gradient_peak", "precision", "layer", "1", "largest gradient over float16's largest number",
           "Largest |gradient| over 65504, of layers that run in float16; before unscaling and clipping."),
    Signal("activation_peak", "activations", "layer", "1", "largest output over float16's largest number",
           "Largest |output| of a layer over 65504, where the output is float16."),
    Signal("loss_scale", "scaler", "optimizer", "1", "loss scale", "What the gradient scaler multiplied the loss by."),
    Signal("skipped_steps", "scaler", "optimizer", "steps", "skipped steps",
           "Steps that the gradient scaler has skipped so far; counted at every step."),
    Signal("scheduler_steps", "schedule", "scheduler", "steps", "steps of the scheduler",
           "How often a learning-rate scheduler was stepped (its last_epoch)."),
)  # fmt: skip

_DATA = (
    Signal("input_mean", "inputs", "layer", "input", "mean input", "Mean of the data that enter this layer."),
    Signal("input_rms", "inputs", "layer", "input", "input RMS", "Root mean square of the data that enter this layer."),
    Signal("input_max", "inputs", "layer", "input", "largest |input|", "Largest magnitude of the data that enter it."),
    Signal("feature_spread", "inputs", "layer", "1", "spread of the features' scales",
           "Largest over median amplitude of the features (root mean square of what is not zero)."),
    Signal("preactivation_scale", "inputs", "layer", "1", "size of the pre-activations",
           "Root mean square of Wx for weights that know nothing of x: √(meanᵤ Σᵢ wᵤᵢ² E[xᵢ²]); none where a "
           "normalization follows."),
    Signal("input_variation", "inputs", "layer", "1", "what differs in the inputs",
           "Root mean square of what features have beside their own means over the batch, over that of all of it."),
    Signal("batch_rows", "samples", "optimizer", "rows", "rows of the batch", "Rows of the model's first input."),
    Signal("distinct_batches", "samples", "optimizer", "batches", "different batches",
           "How many different sets of rows were seen at looks so far (4,096 at most)."),
    Signal("batch_returned", "samples", "optimizer", "1", "batch seen before", "1 where this very set of rows was."),
    Signal("distinct_samples", "samples", "optimizer", "rows", "different samples",
           "How many different rows were seen at looks: exact up to 4,096, estimated beyond."),
    Signal("repeated_share", "samples", "optimizer", "1", "share of rows seen before",
           "Of those small enough by hash."),
    Signal("sample_loss_change", "samples", "optimizer", "loss", "change of the same samples' loss",
           "Root mean square of what the losses of rows seen before have changed by since."),
    Signal("sample_loss_risen", "samples", "optimizer", "1", "share of samples whose loss rose",
           "Of rows seen before."),
    Signal("row_loss_median", "samples", "optimizer", "loss", "median loss of a row",
           "From what the loss function saved."),
    Signal("row_loss_max", "samples", "optimizer", "loss", "largest loss of a row",
           "From what the loss function saved."),
    Signal("top_loss_share", "samples", "optimizer", "1", "share of the top 5 % of rows",
           "Share of the batch's loss that its 5 % highest rows carry (one row at least)."),
    Signal("far_row_share", "samples", "optimizer", "1", "share of rows with far inputs",
           "Rows of a batch whose inputs are four times as large as its median row's, as root mean squares."),
    Signal("far_loss_share", "samples", "optimizer", "1", "their share of the loss", "Of all rows of the batch."),
    Signal("far_target_share", "samples", "optimizer", "1", "share of rows with far targets",
           "Rows of a batch with targets beyond Tukey's outer fences, three interquartile ranges off the quartiles."),
    Signal("far_target_loss_share", "samples", "optimizer", "1", "share of the loss of rows with far targets",
           "Of all rows of the batch."),
    Signal("far_target_above", "samples", "optimizer", "1", "share of them above", "Too high, not too low."),
    Signal("far_target_unlearned", "samples", "optimizer", "1", "loss of rows with far targets over a constant's",
           "Of the median of all targets: 1 where nothing was learned of these rows."),
    Signal("output_spread", "samples", "optimizer", "1", "largest deviation of an output's targets over the smallest",
           "Of a regression with several outputs (2 to 64) and a loss by a distance."),
    Signal("outputs_left", "samples", "optimizer", "1", "squared error of all outputs over that of their means",
           "Of all outputs together, so that those of a large scale decide."),
    Signal("output_left_most", "samples", "optimizer", "1", "the same of the output of which least is learned",
           "1 where nothing was learned of it but its mean."),
    Signal("target_rms", "samples", "optimizer", "target", "target RMS", "Root mean square of real-valued targets."),
    Signal("target_mean", "samples", "optimizer", "target", "mean target", "Of real-valued targets, one a row."),
    Signal("target_deviation", "samples", "optimizer", "target", "deviation of targets",
           "Standard deviation of a batch's real-valued targets, one a row, about their own mean."),
    Signal("loss_expansion", "samples", "optimizer", "1", "pairs compared per number given",
           "How many times more differences the loss takes than it has numbers: 1 is right, n is (n, 1) against (n,)."),
    Signal("dead_output_share", "samples", "optimizer", "1", "outputs that are dead",
           "Share of a last ReLU's outputs that are 0 for every row, where a constant would be better by a tenth."),
    Signal("saturated_error_share", "samples", "optimizer", "1", "error at flat outputs",
           "Squared error where a last tanh or sigmoid is in its flat part, or a last ReLU at 0 with the target below, "
           "over the spread of the targets."),
    Signal("stale_loader_batches", "samples", "optimizer", "batches", "batches that there are",
           "While one batch alone is seen: how many the data loader has that makes batches of this size, or the "
           "tensor of which its rows are a part; 0 if none."),
    Signal("stale_loader_asked", "samples", "optimizer", "1", "asked for a batch since the last look",
           "While one batch alone is seen: 1 where the loop asks for a batch again and again, 0 where it keeps one."),
    Signal("stale_tested", "samples", "optimizer", "1", "tested on other rows",
           "While one batch alone is seen and kept: 1 where the model is run, outside of training, on rows that are "
           "not in the data set that the batch is a part of."),
    Signal("stale_seeded", "samples", "optimizer", "1", "drawn by one seed again",
           "While one batch alone is seen: 1 where it is made anew, of nothing that was there before, and the script's "
           "text has its training loop seed a generator."),
    Signal("label_runs", "samples", "optimizer", "1", "neighbours with the same label",
           "Share of neighbouring rows with the same label; of real targets, the lag-1 autocorrelation."),
    Signal("label_runs_expected", "samples", "optimizer", "1", "the same if shuffled",
           "Σ p² over the labels seen so far; 0 for real targets."),
    Signal("label_rising", "samples", "optimizer", "1", "labels in order",
           "1 where labels only go one way in the batch."),
    Signal("label_purity", "samples", "optimizer", "1", "purity of the batch",
           "The chance that two rows of the batch have the same label."),
    Signal("label_majority", "samples", "optimizer", "label", "most frequent label", "Of this batch."),
    Signal("label_classes", "samples", "optimizer", "labels", "labels in the batch", "How many different ones."),
    Signal("label_classes_seen", "samples", "optimizer", "labels", "labels seen so far", "How many different ones."),
    Signal("opposing_energy_share", "samples", "optimizer", "1", "share of one pattern",
           "σ₁²/Σσ² of the changes of the same samples' losses over consecutive steps."),
    Signal("opposing_concentration", "samples", "optimizer", "1", "share of the top 5 % of samples",
           "Of all movement of losses over these steps."),
    Signal("opposing_lag1", "samples", "optimizer", "1", "swing of the groups",
           "Lag-1 autocorrelation of the slower group's mean change: −1 swings at every step."),
    Signal("opposing_correlation", "samples", "optimizer", "1", "correlation of the groups", "−1 is antiphase."),
    Signal("term_value", "terms", "term", "loss", "value of the term", "With its weight; a scaler's factor included."),
    Signal("term_weight", "terms", "term", "1", "weight of the term", "The constant that the script multiplies it by."),
    Signal("term_gradient_norm", "terms", "term", "loss / weight", "gradient norm of the term",
           "L2 norm over all parameters of this term's own gradient; before clipping, a scaler's factor included."),
    Signal("term_alignment", "terms", "term", "1", "cosine with the whole gradient",
           "Between this term's gradient and the sum of all terms'."),
    Signal("term_shared_norm", "terms", "term", "loss / weight", "the same where terms meet",
           "L2 norm of this term's own gradient over the parameters that another term reaches, too."),
)  # fmt: skip

_PHASES = (
    Signal("validation_loss", "validation", "loss", "that of the loss", "validation loss",
           "Mean over rows of a loss without a gradient: of a model in evaluation mode, or else by the function that "
           "is trained with, of other targets than those of the steps before and after; of the last step before."),
    Signal("printed_number", "printed", "name", "its own", "number that the script prints",
           "A number of a line that the script writes to sys.stdout, by the name before it; of the last step before. "
           "Names of settings, of the run's place and of training data are left out."),
    Signal("eval_mode", "mode", "model", "1", "model in evaluation mode",
           "1 where the model itself is in evaluation mode in a training step that trains most of it."),
    Signal("eval_mode_share", "mode", "model", "1", "share of layers in evaluation mode",
           "Share of the model's dropout and batch normalisation layers in evaluation mode in a training step."),
    Signal("eval_dropout_share", "mode", "model", "1", "share of dropout in evaluation mode",
           "Share of the dropout layers (of a probability above 0) that are in evaluation mode in a training step."),
    Signal("unfed_norm_share", "mode", "model", "1", "share of fixed normalisations that never saw a batch",
           "Share of the normalisations in evaluation mode whose running mean is 0 and variance 1 to the last bit: "
           "what they were made with."),
    Signal("frozen_share", "frozen", "layer", "1", "share of parameters told to stay",
           "Share of the layer's parameters that an optimizer holds and that have requires_grad=False."),
    Signal("aside_calls", "asides", "layer", "calls", "calls of a layer without a gradient",
           "Calls without a graph since the last look, of layers whose optimizer steps and finds no gradient for them; "
           "−1 where a call was with one."),
    Signal("unchanged_share", "frozen", "layer", "1", "share of parameters that never changed",
           "Share of the layer's parameters that an optimizer holds, that have a gradient, and that are bit for bit "
           "what they were at the first look (64 elements of each are compared)."),
)  # fmt: skip
_FIELDS = (
    Signal("generated_spread", "game", "model", "1", "spread of generated samples",
           "Root of the total variance of a batch of generated samples over that of a real batch."),
    Signal("generated_offset", "game", "model", "1", "distance of the means",
           "Distance between the means of a generated and a real batch, in units of the real batch's spread."),
    Signal("generated_move", "game", "model", "1", "move of the generated mean",
           "How far the mean of the generated samples went since the last look, in units of the real batch's spread."),
    Signal("coverage", "game", "model", "1", "coverage of the data",
           "Share of real samples with a generated one nearer than their fifth real neighbour; 0.97 is expected where "
           "both come from one distribution."),
    Signal("precision", "game", "model", "1", "precision of generated samples",
           "Share of generated samples nearer to some real one than that one's fifth real neighbour."),
    Signal("discriminator_auc", "game", "model", "1", "discriminator: real above generated",
           "Probability that the discriminator scores a real sample above a generated one: ½ if it can't tell them."),
    Signal("rotation_turns", "rotation", "run", "turns", "turns of the players' gradient",
           "Over the last 16 looks at both of two players: full turns of their joint gradient (each at unit size) in "
           "the plane where most of it lies. After clipping: gradients are those that the optimizers' steps find."),
    Signal("rotation_coherence", "rotation", "run", "1", "one way only",
           "|sum of the turns| over the sum of |turns|: 1 where the gradient only ever turned one way."),
    Signal("rotation_share", "rotation", "run", "1", "share in the plane",
           "Share of the gradients' energy in that plane: 1 for a pure rotation, about 2/16 for noise."),
    Signal("rotation_growth", "rotation", "run", "1", "growth of the joint gradient",
           "Its largest length in the newer half of those looks, over that in the older half."),
    Signal("rotation_balance", "rotation", "run", "1", "both players take part",
           "Smaller of the two players' shares of the energy in the plane: ½ for a pure rotation."),
    Signal("idle_steps", "players", "optimizer", "steps", "steps since a player's last",
           "Of exactly two optimisers: how many of the run's steps ago each stepped last."),
    Signal("latent_kl", "latent", "layer", "nats", "divergence from the prior",
           "KL divergence of the latent posterior from a standard normal: sum over dimensions, mean over the batch."),
    Signal("active_units_share", "latent", "layer", "1", "share of active latent dimensions",
           "Share of latent dimensions whose posterior mean has a variance above 0.01 over the batch."),
    Signal("latent_size", "latent", "layer", "1", "latent dimensions", "Number of latent dimensions."),
    Signal("zero_advantage_share", "policy", "optimizer", "1", "share of samples without advantage",
           "Share of samples whose log-probabilities are weighted with exactly zero in a policy gradient."),
    Signal("policy_entropy", "policy", "optimizer", "nats", "policy entropy",
           "Mean entropy of the categorical distributions whose log-probabilities a policy gradient weights."),
    Signal("weighted_choice_entropy", "policy", "optimizer", "nats", "entropy of a weighted choice",
           "The same where the weights are never negative, and more than a mask: rewards without a baseline, say."),
    Signal("choice_entropy", "choices", "layer", "1", "entropy of a choice",
           "Mean entropy of a softmax whose result weighs something, and that is no attention, over that of a free "
           "choice: 0 where it is decided."),
    Signal("choice_certain_share", "choices", "layer", "1", "share of choices rounded to certainty",
           "Share of the rows of such a softmax in which one probability is exactly 1: they pass no gradient."),
)  # fmt: skip

_ALL: tuple[Signal, ...] = (
    *_PHASES,
    *_FIELDS,
    *_DATA,
    *_SURROGATES,
    *_GATING,
    *_HYPERBOLIC,
    *_STEP,
    *_GRADIENTS,
    *_WEIGHTS,
    *_ACTIVATIONS,
    *_LOGITS,
    *_NUMBERS,
    *_WIRING,
    *_RANKS,
    *_SAFE_STEP,
    *_CURVATURE,
    *_FORWARD,
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _ALL}
"""All signals by name, family by family."""
