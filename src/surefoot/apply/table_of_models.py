"""The remedies that act on losses and models: what each does, when to use it, its settings, its class."""

from __future__ import annotations

from surefoot.apply.settings import Entry, Key, number, one_of, size_or_auto, term_and_factor

_POSITIVE = "a positive number"
ACTIVATIONS = (
    "auto", "relu", "leaky_relu", "tanh", "gelu", "silu", "elu", "selu", "sin", "erf", "linear"
)  # fmt: skip

OF_MODELS = (
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
        "term-weight",
        "multiplies the weight of one term of a loss",
        "one term of the loss drowns another, and both have weights of the script's own",
        "term_weight:TermWeight",
        (Key("term", "squared_error*1", "term, and by how much", term_and_factor, "a name, *, and a positive number"),),
    ),
    Entry(
        "dropout",
        "sets a share of what enters each layer but the first to zero at random, in training",
        "the model overfits",
        "dropout:Dropout",
        (Key("p", 0.5, "share that is dropped", number(0.0, 0.95), "a number in (0, 0.95]"),),
    ),
    Entry(
        "unit-targets",
        "lets the layer that makes predictions learn targets far from size one in a unit of their own",
        "targets are in raw units: prices, pixels, milliseconds",
        "unit_targets:UnitTargets",
        (Key("factor", 10.0, "by which targets are off one", number(1.0), "a number above 1"),),
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
        "entropy-bonus",
        "rewards a policy's entropy with coef",
        "a policy is too sure of itself to try anything else",
        "entropy_bonus:EntropyBonus",
        (Key("coef", 0.01, "weight of the entropy, in the loss's own units", number(0.0), _POSITIVE),),
    ),
    Entry(
        "baseline",
        "brings rewards that weigh log-probabilities and are never negative to mean 0 and variance 1 over the batch",
        "a policy is rewarded for whatever it tries, and decides at once",
        "baseline:Baseline",
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
        "temper",
        "multiplies logits that go into cross_entropy by one factor, such that the first differ by no more than rms",
        "a temperature is so low that answers are certain before anything was learned",
        "temper:Temper",
        (Key("rms", 2.0, "of the first logits about the mean of their row", number(0.0), _POSITIVE),),
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
        "attention-cap",
        "scales what enters an attention's softmax down to a size at which it passes a gradient",
        "attention logits grow by inputs, or by a factor in front, that no clip of weights keeps up with",
        "attention_cap:AttentionCap",
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
        "wide-surrogate",
        "gives steps that a script has its own autograd.Function for a slope as wide as what enters them scatters",
        "what stands for the slope of a spike or sign is so narrow that nothing learns",
        "wide_surrogate:WideSurrogate",
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
)  # fmt: skip
