"""The remedies that ``--apply`` knows, and how those are read that a command line asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from surefoot.apply.settings import (
    Choice,
    Entry,
    Key,
    count,
    count_or_auto,
    number,
    one_of,
    size_or_auto,
    text_of,
    yes_or_no,
)  # fmt: skip

_SCOPE = one_of("tensor", "global")
_POSITIVE = "a positive number"
ACTIVATIONS = (
    "auto", "relu", "leaky_relu", "tanh", "gelu", "silu", "elu", "selu", "sin", "erf", "linear"
)  # fmt: skip

ENTRIES = (
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
        "lr_cap:LearningRateCap",
        (Key("max", 0.1, "highest rate of a step", number(0.0), _POSITIVE),),
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
        "match-shapes",
        "brings predictions (n, 1) and targets (n,), or numbers and their weights, to one shape",
        "each prediction is compared with every target",
        "match_shapes:MatchShapes",
    ),
    Entry(
        "log-probabilities",
        "gives logarithms to cross_entropy, nll_loss and binary_cross_entropy_with_logits where they get probabilities",
        "a softmax or sigmoid in front of a loss that has its own",
        "log_probabilities:LogProbabilities",
    ),
    Entry(
        "balance-terms",
        "brings the gradient of each term of a loss to the length of the largest",
        "one term of the loss drowns another",
        "balance_terms:BalanceTerms",
    ),
    Entry(
        "weight-cap",
        "bounds the weights that the terms of a loss are given",
        "a weight that is multiplied again and again outgrows all that was learned",
        "weight_cap:WeightCap",
        (Key("max", 1.0, "highest weight of a term, but for one that began higher", number(0.0), _POSITIVE),),
    ),
    Entry(
        "kl-scale",
        "weighs a variational divergence against the likelihood as the evidence bound does",
        "the latent variables of an autoencoder say nothing",
        "kl_scale:KLScale",
    ),
    Entry(
        "gradient-penalty",
        "adds gamma/2 · ‖∂D/∂x‖² to the loss of a game's critic D, at its own inputs x",
        "two players go round in circles",
        "gradient_penalty:GradientPenalty",
        (Key("gamma", 10.0, "weight of the penalty", number(0.0), _POSITIVE),),
    ),
    Entry(
        "two-rates",
        "divides the learning rate of a game's generator by a factor, and multiplies that of its critic by it",
        "a generator runs ahead of a critic that cannot follow",
        "two_rates:TwoRates",
        (Key("factor", 3.0, "of each rate", number(1.0), "a number above 1"),),
    ),
    Entry(
        "non-saturating",
        "gives a generator the gradient of −log D where it has that of log(1 − D)",
        "a critic that is sure of itself leaves the generator no gradient",
        "non_saturating:NonSaturating",
    ),
    Entry(
        "vary-noise",
        "draws a row of noise for each sample where a generator gets the same one for all of a batch",
        "all samples of a batch are one",
        "vary_noise:VaryNoise",
    ),
    Entry(
        "game-search",
        "takes those of several remedies that bring samples nearest to the data in branches of the script",
        "two players go round in circles, samples are all alike, or one player gets no gradient",
        "game_search:GameSearch",
        (
            Key("of", ("gradient-penalty", "two-rates:factor=3", "two-rates:factor=10", "non-saturating"),
                "remedies, each as ID or ID:key=value, with / between", lambda text: several(text),
                "two or more that there are"),
            Key("seconds", 120.0, "that the trials may take", number(0.0), _POSITIVE),
        ),
    ),
    Entry(
        "entropy-bonus",
        "rewards a policy's entropy with coef",
        "a policy is too sure of itself to try anything else",
        "entropy_bonus:EntropyBonus",
        (Key("coef", 0.01, "weight of the entropy, in the loss's own units", number(0.0), _POSITIVE),),
    ),
    Entry(
        "spread-rewards",
        "draws actions where the likeliest is taken, draws rollouts by other seeds where all have one, gives credit "
        "for parts where all or nothing counts, or rewards entropy where none of these is met",
        "the rewards of a group of rollouts are all the same",
        "spread_rewards:SpreadRewards",
        (Key("coef", 0.1, "weight of the entropy, in the loss's own units", number(0.0), _POSITIVE),),
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
        "keep-graph",
        "passes over a detach(), .data or no_grad() that cuts an optimiser's parameters off from the loss",
        "parameters never get a gradient",
        "keep_graph:KeepGraph",
    ),
    Entry(
        "train-mode",
        "puts a model that trains in evaluation mode back into training mode",
        "nobody called train() after an evaluation",
        "train_mode:TrainMode",
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
        "z-loss",
        "adds coef · (log Z)² to cross_entropy, Z the sum of the exponentials of the logits",
        "output logits that drift or diverge",
        "z_loss:ZLoss",
        (Key("coef", 1e-4, "weight of the term", number(0.0, closed=True), "a number, 0 or more"),),
    ),
    Entry(
        "stablemax",
        "puts StableMax in the place of softmax in cross_entropy",
        "softmax collapse: gradients of a fitted classifier round to zero",
        "stablemax:StableMax",
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
        "leaky-relu",
        "puts leaky ReLUs in the place of ReLUs",
        "units are off for every input and get no gradient",
        "leaky_relu:LeakyReLU",
        (Key("slope", 0.1, "below zero", number(0.0, 1.0), "a number in (0, 1]"),),
    ),
    Entry(
        "relu",
        "puts ReLUs in the place of sigmoids between layers, and draws the weights for them",
        "signal or gradient vanishes over depth in a network of sigmoids",
        "relu:ReLU",
    ),
    Entry(
        "attention-skip",
        "puts a skip connection around attentions that have none, and norms of torch's Transformer layers first",
        "the tokens of a sequence become one vector over depth",
        "attention_skip:AttentionSkip",
    ),
    Entry(
        "saturation-cap",
        "scales what enters a tanh or sigmoid down to a size at which its slope is not lost",
        "units saturate as weights, or a factor in front of them, grow",
        "saturation_cap:SaturationCap",
        (Key("rms", 1.5, "largest root mean square of what enters", number(0.0), _POSITIVE),),
    ),
    Entry(
        "qk-clip",
        "makes queries and keys shorter after a step whose attention logits went beyond tau",
        "attention logits grow until each query looks at one key only",
        "qk_clip:QKClip",
        (Key("tau", 20.0, "largest attention logit", number(0.0), _POSITIVE),),
    ),
    Entry(
        "safe-softmax",
        "gives zeros, not NaN, for rows of a softmax that are masked throughout",
        "a query that may look at no key makes the loss or the gradient NaN",
        "safe_softmax:SafeSoftmax",
    ),
    Entry(
        "safe-domain",
        "keeps arguments of sqrt, log, acos, asin, exp and of powers below 1 to where value and slope are finite",
        "a gradient is NaN though the loss is not, or the first NaN is one of these functions'",
        "safe_domain:SafeDomain",
    ),
    Entry(
        "float32-logits",
        "takes cross_entropy and log_softmax of logits in half precision in float32",
        "softmax collapse in bfloat16 or float16",
        "float32_logits:Float32Logits",
    ),
    Entry(
        "bfloat16",
        "turns autocast from float16 to bfloat16, and weights in half precision into float32 under autocast",
        "float16 over- or underflows, or weights in half precision swallow their updates",
        "bfloat16:BFloat16",
    ),
    Entry(
        "float32",
        "turns autocast off, and weights in half precision into float32",
        "half precision has too few bits or too little range, and the model is small",
        "float32:Float32",
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
        "wider-clip",
        "raises the bound of clip_grad_norm_ and clip_grad_value_, and widens what a script clips itself",
        "clipping acts in every step and leaves next to nothing of the gradient",
        "wider_clip:WiderClip",
        (Key("bound", 1.0, "least bound to clip at", number(0.0), _POSITIVE),),
    ),
    Entry(
        "layer-norm",
        "normalises what each block of a network makes over its features, without parameters",
        "signal or gradient vanishes or explodes over depth, and weights of another size do not help",
        "layer_norm:LayerNorm",
    ),
    Entry(
        "skip-connection",
        "adds what enters each block of a network to what comes out of it, where both have one shape",
        "signal or gradient vanishes over depth, and weights of another size do not help",
        "skip:SkipConnection",
    ),
    Entry(
        "zero-bias",
        "sets the biases of a model that was just drawn to zero",
        "units are off, or saturated, for every input from the start",
        "starts:ZeroBias",
    ),
    Entry(
        "orthogonal-recurrent",
        "makes recurrent weights of a model that was just drawn orthogonal",
        "signal or gradient explodes or vanishes through time",
        "starts:OrthogonalRecurrent",
        (Key("layers", "", "of the script's own that a loop calls at every time step, with + between", str, "names"),),
    ),
    Entry(
        "forget-gates",
        "opens the forget gates of LSTMs and GRUs for times up to the length of the sequences",
        "the gradient vanishes through time",
        "starts:ForgetGates",
        (Key("length", 100.0, "of the sequences, in time steps", number(2.0), "a number above 2"),),
    ),
    Entry(
        "off-zero",
        "draws weights that are zero throughout",
        "two factors of a product are zero, and keep each other there",
        "starts:OffZero",
    ),
    Entry(
        "straight-through",
        "lets the gradient pass round and sign as if they were not there",
        "codes or weights are rounded, and nothing behind them learns",
        "straight_through:StraightThrough",
    ),
    Entry(
        "critical-init",
        "draws the weights anew, at the critical point of the activation",
        "signal or gradient vanishes or explodes over depth from the first step",
        "critical_init:CriticalInit",
        (
            Key("activation", "auto", "of the network", one_of(*ACTIVATIONS), f"one of {', '.join(ACTIVATIONS)}"),
            Key("gamma", 0.0, "factor of the skip connection", number(0.0, 0.999, closed=True), "a number in [0, 1)"),
            Key("input_rms", None, "size of the inputs' entries", size_or_auto, "auto or a positive number"),
        ),
    ),
    Entry(
        "best-of",
        "takes that of several remedies which brings the script furthest in branches of it",
        "there are several ways to cure what is wrong",
        "best_of:BestOf",
        (
            Key("of", ("critical-init", "layer-norm"),
                "remedies, each as ID or ID:key=value; + joins those of one choice, / parts choices",
                lambda text: several(text), "two or more that there are"),
            Key("seconds", 120.0, "that the trials may take", number(0.0), _POSITIVE),
        ),
    ),
)  # fmt: skip
KNOWN = {entry.id: entry for entry in ENTRIES}


def parse(text: str) -> Choice:
    """Read ``ID[:key=value,…]``.

    Raises
    ------
    ValueError
        For an unknown id or key, or a value out of range; the message lists what would do, in one line.
    """
    id, colon, rest = text.strip().partition(":")
    entry = KNOWN.get(id)
    if entry is None:
        close = get_close_matches(id.lower().replace("_", "-"), list(KNOWN), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}? there are" if close else "there are"
        raise ValueError(f"there is no remedy {id!r}; {hint} {', '.join(KNOWN)}")
    keys = {key.name: key for key in entry.keys}
    settings = {key.name: key.default for key in entry.keys}
    given: set[str] = set()
    for part in rest.split(",") if colon else ():
        name, equals, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        key = keys.get(name)
        if key is None:
            raise ValueError(f"{id} has no setting {name!r}; {_settings_of(entry)}")
        if name in given:
            raise ValueError(f"{id}: {name} is given twice")
        given.add(name)
        try:
            settings[name] = key.read(value)
        except (ValueError, KeyError, OverflowError):
            got = value if equals else part.strip()
            raise ValueError(f"{id}: {name} ({key.meaning}) wants {key.wants}, not {got!r}") from None
    return Choice(id, tuple(settings.items()))


def several(text: str) -> tuple[str, ...]:
    """Read ``ID[:key=value]/ID[:key=value]…``, remedies to choose from, each one or several with ``+`` between.

    Raises
    ------
    ValueError
        For fewer than two, an unknown one, one that chooses itself, or one that is given twice in one choice.
    """
    texts = tuple(text.split("/"))
    ids = [[choice.id for choice in chosen(together(one))] for one in texts]
    if len(texts) < 2 or any({"best-of", "game-search"} & set(those) for those in ids):
        raise ValueError(text)
    return texts


def together(text: str) -> list[str]:
    """The remedies of one choice, with ``+`` between; a ``+`` in a setting is followed by no id."""
    return re.split(rf"\+(?=(?:{'|'.join(KNOWN)})(?:[:+]|$))", text)


def _settings_of(entry: Entry) -> str:
    if not entry.keys:
        return "it has none"
    return "it has " + "; ".join(f"{key.name}={text_of(key.default)} ({key.meaning})" for key in entry.keys)


def chosen(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read several; each remedy at most once, for two of a kind would act on each other.

    Raises
    ------
    ValueError
        As :func:`parse`, and for a remedy that is given twice.
    """
    choices = tuple(map(parse, texts))
    for choice in choices:
        if sum(other.id == choice.id for other in choices) > 1:
            raise ValueError(f"{choice.id} is given twice; once with all its settings will do")
    if {"z-loss", "stablemax"} <= {choice.id for choice in choices}:
        raise ValueError("z-loss and stablemax exclude each other: StableMax has no log Z; leave one away")
    return choices
