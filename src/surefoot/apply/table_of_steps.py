"""The remedies that act on data, gradients and steps: what each does, when to use it, its settings, its class."""

from __future__ import annotations

from surefoot.apply.settings import Entry, Key, count, count_or_auto, number, one_of, yes_or_no

_POSITIVE = "a positive number"
_SCOPE = one_of("tensor", "global")

OF_STEPS = (
    Entry(
        "lr-scale",
        "multiplies the learning rate",
        "the rate is too high or too low; a scheduler goes on writing its own",
        "lr_scale:LearningRateScale",
        (Key("factor", 0.1, "times the script's own rate", number(0.0), _POSITIVE),),
    ),
    Entry(
        "lr-search",
        "multiplies the learning rate by a factor that branches of the script find",
        "the rate is too high or too low, and nobody knows by how much",
        "lr_search:LearningRateSearch",
        (
            Key("factor", 1.0, "where it can't be searched for; above or below 1, the way to search", number(0.0),
                _POSITIVE),
            Key("seconds", 120.0, "that the search may take", number(0.0), _POSITIVE),
        ),
    ),
    Entry(
        "safe-step",
        "shortens each step to the radius of convergence of the cross-entropy",
        "spikes and divergence of a classifier or language model",
        "safe_step:SafeSteps",
        (Key("r_max", 1.0, "longest step in radii; 1 is the bound", number(0.0), _POSITIVE),),
    ),
    Entry(
        "lr-cap",
        "bounds the learning rate",
        "a jump of the rate in the middle of a run undoes what was learned",
        "lr_bounds:LearningRateCap",
        (Key("max", 0.1, "highest rate of a step", number(0.0), _POSITIVE),),
    ),
    Entry(
        "lr-floor",
        "keeps the learning rate from falling below a bound",
        "a stage of a run has next to none of the rate with which the rest went well",
        "lr_bounds:LearningRateFloor",
        (Key("min", 1e-3, "lowest rate of a step", number(0.0), _POSITIVE),),
    ),
    Entry(
        "anneal",
        "lets the rate warm up and fall to zero as a cosine over the run, in the place of the script's own schedule",
        "a schedule of another length than the run, or a rate that is good at first and too high at the end",
        "anneal:Anneal",
        (Key("steps", 1000, "of the run", count(2), "a number of steps, 2 or more"),),
    ),
    Entry(
        "descend",
        "takes steps down the loss where they go up",
        "the optimiser maximises a loss, or is given the negative of one",
        "descend:Descend",
    ),
    Entry(
        "warmup",
        "lets the learning rate grow from near zero over the first steps",
        "training is lost within the first steps, mostly with Adam",
        "warmup:WarmUp",
        (Key("steps", 100, "steps until the script's own rate", count(1), "a number of steps, 1 or more"),),
    ),
    Entry(
        "adam-eps",
        "sets epsilon of Adam-like optimisers",
        "epsilon outweighs the gradients' own size, so that updates vanish",
        "adam_eps:AdamEpsilon",
        (Key("eps", 1e-15, "the new epsilon", number(0.0), _POSITIVE),),
    ),
    Entry(
        "skip-bad-batch",
        "leaves out the step of a batch whose loss or gradient is far outside the run's past",
        "single corrupt or mislabelled batches, NaN in the data",
        "skip_bad_batch:SkipBadBatch",
        (
            Key("factor", 3.0, "times the past's own range above its median", number(1.0), "a number above 1"),
            Key("window", 128, "steps that make the past", count(8), "a number of steps, 8 or more"),
        ),
    ),
    Entry(
        "early-stopping",
        "holds the weights of the best evaluation, once the validation loss has been rising for a while",
        "the model overfits; what is evaluated and saved from then on are the best weights",
        "early_stopping:HeldAtBest",
        (Key("patience", 6, "evaluations since the best before a rise counts", count(1), "a number of evaluations"),),
    ),
    Entry(
        "standardize",
        "brings inputs to mean 0 and variance 1 where a first layer gets them far too large, small or uneven",
        "inputs in raw units",
        "standardize:Standardize",
        (Key("factor", 10.0, "by which pre-activations are off 1, for a layer to be meant", number(1.0, closed=True),
             "a number, 1 or more"),),
    ),
    Entry(
        "same-unit",
        "brings samples ten deviations and more from the first ones to mean and deviation of those",
        "inputs come in another unit after a while, with a second file or sensor",
        "same_unit:OneUnit",
    ),
    Entry(
        "bound-inputs",
        "keeps each feature that enters a first layer within Tukey's outer fences",
        "few samples with inputs far beyond all others say how long a step may be",
        "bound_inputs:BoundInputs",
    ),
    Entry(
        "skip-outliers",
        "lets rows send no gradient back of which an input lies beyond Tukey's outer fences",
        "few samples that are far from all others and want opposite things swing the loss",
        "skip_outliers:SkipOutliers",
    ),
    Entry(
        "shuffle",
        "lets data loaders and streams give training samples in a random order that gave them in their own",
        "samples come sorted by their labels",
        "shuffle:Shuffle",
    ),
    Entry(
        "fresh-batches",
        "lets iter(loader) go on where the loader's last iterator was left, in training",
        "every step gets the first batch, as of next(iter(loader))",
        "fresh_batches:FreshBatches",
    ),
    Entry(
        "two-rates",
        "divides the learning rate of a game's generator by a factor, and multiplies that of its critic by it",
        "a generator runs ahead of a critic that cannot follow",
        "two_rates:TwoRates",
        (Key("factor", 3.0, "of each rate", number(1.0), "a number above 1"),),
    ),
    Entry(
        "zero-grad",
        "clears gradients that a step has used before the next backward",
        "gradients are never cleared",
        "zero_grad:ZeroGradients",
    ),
    Entry(
        "all-parameters",
        "gives trainable parameters of the loss that nobody updates to the optimiser",
        "an optimiser was not given all of the model",
        "all_parameters:AllParameters",
    ),
    Entry(
        "step-all",
        "steps an optimiser that is never stepped along with the others",
        "parameters get a gradient and never change",
        "step_all:StepAll",
    ),
    Entry(
        "optimism",
        "steps along g + strength · (g − the step before's g)",
        "the gradients of two players turn and lead nowhere",
        "optimism:Optimism",
        (Key("strength", 1.0, "steps that are looked ahead", number(0.0), _POSITIVE),),
    ),
    Entry(
        "clip",
        "shortens the gradient of each step to a bound on its norm",
        "single gradients are many times as long as all others",
        "clip:Clip",
        (Key("max_norm", 1.0, "largest norm of a step's gradient", number(0.0), _POSITIVE),),
    ),
    Entry(
        "agc",
        "clips the gradient of each unit to a share of its weights' norm",
        "exploding gradients, large batches, networks without normalisation",
        "agc:AdaptiveGradientClipping",
        (
            Key("clip", 0.01, "largest gradient norm, as a share of the weights'", number(0.0), _POSITIVE),
            Key("eps", 1e-3, "least norm that weights count with", number(0.0), _POSITIVE),
        ),
    ),
    Entry(
        "orthogonal-grad",
        "takes out of each gradient its part along the weights",
        "naive loss minimisation: the loss falls only because logits grow",
        "orthogonal_grad:OrthogonalGradients",
        (
            Key("restore_norm", False, "scale what is left to the norm before", yes_or_no, "true or false"),
            Key("scope", "tensor", "project each tensor, or all as one", _SCOPE, "tensor or global"),
        ),
    ),
    Entry(
        "weight-decay",
        "shrinks weights by lr · decay after each step, as AdamW does",
        "a network that has fit its data goes on only by growing its weights, until the softmax collapses",
        "weight_decay:WeightDecay",
        (Key("decay", 0.1, "AdamW's weight_decay", number(0.0), _POSITIVE),),
    ),
    Entry(
        "schedule",
        "steps learning-rate schedulers once in so many steps of their optimiser; the script's own calls do nothing",
        "a schedule is stepped once a batch and was made for epochs, or the other way round, or never",
        "schedule:Schedule",
        (Key("every", 1, "steps of the optimiser for one of the schedule", count_or_auto,
             "a number of steps, or auto for the script's own calls"),),
    ),
    Entry(
        "plateau-mode",
        "tells ReduceLROnPlateau which way its number gets better",
        "an accuracy is given to it in the mode for losses, or a loss in the mode for accuracies",
        "plateau_mode:PlateauMode",
        (Key("mode", "max", "of an accuracy max, of a loss min", one_of("min", "max"), "min or max"),),
    ),
    Entry(
        "wider-clip",
        "raises the bound of clip_grad_norm_ and clip_grad_value_, and widens what a script clips itself",
        "clipping acts in every step and leaves next to nothing of the gradient",
        "wider_clip:WiderClip",
        (Key("bound", 1.0, "least bound to clip at", number(0.0), _POSITIVE),),
    ),
)  # fmt: skip
