"""Explanations of the findings on data and loss."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="naive-loss-minimisation",
        title="the loss falls because the logits grow, and for nothing else",
        what=(
            "Once the data are fit, larger logits mean a smaller loss. For a network that is homogeneous in its "
            "weights, that is the direction of the weights themselves: the gradient turns along them, the function "
            "that the network computes stays what it is, and the logits grow until the softmax collapses."
        ),
        mathematics=(
            "f(aθ) = a^Q f(θ) for Q layers without biases, so that θ ← (1 + δ)θ multiplies the logits.\n"
            "Judged: nlm_alignment = −⟨g, θ⟩/(‖g‖‖θ‖) on batches that are fit (target_margin_min > 0).\n"
            "Threshold: ½ at three looks in a row; 0.7 to 0.8 is usual once a network overfits without decay, 0 for a "
            "random direction."
        ),
        source="Prieto, Barsbey, Mediano, Birdal 2025 (arXiv 2501.04697), §4",
        not_this=(
            "Any classifier that has fit its data goes this way for a while: an info, until rounding has taken the "
            "gradient because of it (see softmax-collapse)."
        ),
        remedies=("weight decay", "surefoot.optim.OrthogonalGrad", "surefoot.losses.stablemax_cross_entropy"),
        severities="warning where the softmax has collapsed by it, else info",
    ),
    Explanation(
        id="unscaled-inputs",
        title="inputs are far too large, too small or too uneven for the first layer",
        what=(
            "The first layer makes pre-activations of its inputs that are tens or thousands of times larger (or "
            "smaller) than the network was initialised for. Large ones make an absurd first loss and gradient, "
            "saturate or kill units, and leave no learning rate that is right; tiny ones drown in the biases. Features "
            "of very different scales leave the small ones unheard."
        ),
        mathematics=(
            "Weights that know nothing of x make pre-activations of size √(meanᵤ Σᵢ wᵤᵢ² E[xᵢ²]); critical "
            "initialisation keeps this at about 1. The curvature that the first layer sees is E[xxᵀ].\n"
            "Judged: preactivation_scale at the first look, feature_spread, and what comes of it.\n"
            "Threshold: 10, with a loss of the first 16 ten times a constant prediction's (or the mean square of real "
            "targets), a saturated or dead first layer, or a loss that has learned nothing in 64 rows. 0.01, or a "
            "spread of 100, or 0.01 as the share of what rows differ by (input_variation), with a loss that has "
            "learned nothing. An input_rms that grows with the run, from half of it on as before, to ten times what it "
            "was at first, with a step since that promises more than twice the loss."
        ),
        source="LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, §4.3; Roberts, Yaida, Hanin 2022 "
        "(arXiv 2106.10165) for criticality; the factor of ten is a bare constant: pixels 0 … 16 make 4 and train well",
        not_this=(
            "A normalisation layer before or right after the first layer takes the scale out again. One-hot and sparse "
            "features are measured where they are not zero. Embeddings have no scale to judge. Large inputs without "
            "harm are an info."
        ),
        remedies=("standardised inputs", "surefoot.nn.SameUnit", "surefoot.nn.Fences"),
        severities="critical where the loss is lost, warning with other harm, else info",
    ),
    Explanation(
        id="bad-batch",
        title="one batch upsets training because of its samples",
        what=(
            "The loss jumps at one step, and the step before is not to blame: the batch holds corrupted inputs or "
            "targets, wrong labels, or NaN. Its gradient moves the weights away from what they had learned; a single "
            "such batch can end a run."
        ),
        mathematics=(
            "Judged at a step whose loss is 8 mean deviations above its running mean:\n"
            "  input_rms or target_rms at least ten times that of any batch before, or twice that of eight alike, if "
            "the next ones are as before or the loss is three times a constant's; or\n"
            "  loss ≥ 1.5 × constant_loss of this very batch, half of its rows worse than that, while the median of "
            "the losses before is below half of it and the next three losses are back.\n"
            "In hindsight: few looks with an input_rms or target_rms ten times that of all others, and a loss that was "
            "lost, or tenfold its first at most two steps after one of them.\n"
            "NaN or infinities found in the data are critical at once."
        ),
        source="the run's own history; the loss of the best constant prediction on the same batch",
        not_this=(
            "After an unsafe step all batches are bad, and the next ones too. A single hard sample leaves the other "
            "rows of its batch well. A curriculum's new stage does not come back with the next batch. Heavy-tailed "
            "targets raise what a constant scores, too."
        ),
        remedies=("surefoot.optim.BadBatchGate", "torch.nn.utils.clip_grad_norm_"),
        severities=(
            "critical where the loss is lost after it or the data are not finite, else warning; info where a remedy in "
            "place has left the step out"
        ),
    ),
    Explanation(
        id="opposing-outliers",
        title="two small groups of samples pull against each other at every step",
        what=(
            "A few outliers share one strong feature but want opposite outputs. The network balances them in a narrow "
            "valley; each step helps one group and hurts the other, and the swing sets how large a step can be. They "
            "bring the edge of stability, and the loss spikes when the balance is lost."
        ),
        mathematics=(
            "dₜᵢ = ℓₜ₊₁,ᵢ − ℓₜ,ᵢ over 8 to 16 consecutive steps of the same samples; D = USVᵀ; groups are the samples "
            "above the knee of |Vᵢ₁|, by side.\n"
            "Judged: σ₁²/Σσ² ≥ ½, top 5 % of the samples carry ≥ 0.3 of all change, lag-1 of both groups ≤ −½ − "
            "1/√steps, correlation between them ≤ −½; all at once. For a warning also a loss of twice its best, and "
            "above it by a tenth of what was learned; or half of all change at three windows over 24 steps (three "
            "times the 8 changes that tell a swing), or at one where inputs of six times the usual size are among the "
            "data.\n"
            "Or, without a swing so far, a loss as far above its best, with nine tenths of all change one pattern and "
            "six tenths of it carried by the top 5 %; or with half of it one pattern, half carried by them, and a "
            "correlation ≤ −½ between the groups.\n"
            "Or, of batches drawn anew: rows with inputs four times the median row's in root mean square, a quarter of "
            "all at most, that carry half of the loss (far_loss_share) at three of four looks of the newest half of "
            "the run and score as badly as a constant (nine tenths of it) or worse, where three looks had 32 of them "
            "in all; or rows with targets beyond Tukey's outer fences, a tenth at most, a quarter on either side, "
            "that carry three quarters of the loss (far_target_loss_share) while half of a constant's is left."
        ),
        source="Rosenfeld, Risteski 2024 (arXiv 2311.04163); thresholds from independent noise",
        not_this=(
            "Ordinary learning has lag-1 near +1, noise −½. Ranking samples by change alone finds hard ones in every "
            "run. A swing needs the same samples at consecutive steps: full-batch training."
        ),
        remedies=("standardised inputs", "lower learning rate", "torch.nn.utils.clip_grad_norm_"),
        severities="warning while the loss is far above its best, or where half of all change is theirs; else info",
    ),
    Explanation(
        id="unshuffled-data",
        title="samples come in an order that has to do with their labels",
        what=(
            "Batches hold one class after the other, or targets in rising order. Each step fits what just came and "
            "forgets what came before: the loss is low within a class and jumps at the next one."
        ),
        mathematics=(
            "Purity of a batch: Σ n_c(n_c − 1)/(n(n − 1)), the chance that two rows have the same label; Σ p_c² over "
            "all labels seen if shuffled.\n"
            "Threshold: purity ≥ 0.8 in three quarters of at least four looks, with different majorities, where "
            "shuffled data would show 0.75 or less; or labels that only go one way within three quarters of the "
            "batches, over half of the classes at most.\n"
            "Real-valued targets: n Var(batch means)/Var(within) ≥ 10 over at least six batches, by medians, once "
            "batches have come again, and two of them with a loss 1.5 times that of their own mean. Labels: the same "
            "where (purity − Σ p_c²)/(1 − Σ p_c²) ≥ 0.2 in the median, and 4 standard deviations beyond chance. Or "
            "three quarters of eight looks see so few labels, neighbouring steps the same ones (by chance once in a "
            "thousand times), and a quarter of them a loss 1.5 times that of the batch's own mix."
        ),
        source="arithmetic: shuffled labels of 8 rows or more do this once in thousands of batches",
        not_this=(
            "Imbalanced classes are pure for the same class always. A stage of a curriculum has mixed batches. Real "
            "and fake, or P classes times K samples, side by side in one batch are made on purpose. Time series in "
            "their own order go up and down."
        ),
        remedies=("shuffled order of samples",),
        severities="warning; info where only the same batches come again in each epoch",
    ),
    Explanation(
        id="broadcast-loss",
        title="each prediction is compared with every target",
        what=(
            "Predictions of shape (n, 1) and targets of shape (n,) broadcast to (n, n). The loss is finite and falls a "
            "little, but the best it can do is to predict the targets' mean for all: the inputs do not matter."
        ),
        mathematics=(
            "Σᵢⱼ (fᵢ − yⱼ)²/n² = Σᵢ (fᵢ − ȳ)²/n + var y: the minimum is fᵢ = ȳ.\n"
            "Σᵢⱼ fᵢ aⱼ/n² = f̄ ā: of products (log-probabilities times advantages) only the averages are left.\n"
            "Judged: loss_expansion, the number of pairs over the number of predictions or targets.\n"
            "Threshold: above 1 at two looks."
        ),
        source="arithmetic; no matter of degree",
        not_this=(
            "One target for all rows, or one row for all targets, uses each number of the other side once. Pairwise "
            "losses subtract a tensor from itself, or make pairs of rows by [:, None]."
        ),
        remedies=("targets of the predictions' shape",),
        severities="critical where the loss learns nothing, else warning",
    ),
    Explanation(
        id="loss-term-imbalance",
        title="one term of the loss drowns another",
        what=(
            "The loss is a sum, and the gradient of one term is orders of magnitude larger than that of another which "
            "is meant to be learned as well: a physics-informed network that satisfies its equation and not its "
            "boundary values."
        ),
        mathematics=(
            "gᵢ = ∂Lᵢ/∂θ for each term of L = ΣLᵢ.\n"
            "Judged: ‖gᵢ‖/max ‖gⱼ‖ (term_gradient_norm) and term_value.\n"
            "Threshold: 0.01 or less at four fifths of six looks or more over 100 steps (so many of the smaller "
            "gradient's make one of the larger's), for a term whose weight is 1, or the other's, and whose value has "
            "neither halved after the first quarter of the steps nor come below a tenth of its first. Or 0.1 or "
            "less from the first look on, with a hundredth of the other's value or less, while the value rises tenfold "
            "over four looks and three doublings of the steps, or is a score above half of its first after 200 steps "
            "while an error fell to a tenth. Or 0.01 or less at the first looks, for an error or "
            "score that never fell by a tenth, though the other did to a tenth; and gᵢ·r/‖r‖² ≤ −½ now, r being the "
            "gradient of all other terms (−1 where they cancel), or as long again at what a constant scores. Or a "
            "weight four times what it was at half of the steps, while an error is back at 1.5 times its best.\n"
            "Of small weight by design, too, where at the end the term is ten times the other, and has been for three "
            "quarters of the steps. A policy's term: 0.01 or less of an error's in the layers that both share "
            "(term_shared_norm), or a bonus half as loud with an entropy of nine tenths of its highest, while a "
            "printed reward gains nothing. An output of a regression: targets ten times apart in scale "
            "(output_spread), all outputs together at a tenth of what their means score, and one above eight tenths."
        ),
        source="Wang, Teng, Perdikaris 2021, SIAM J. Sci. Comput. 43 (A3055)",
        not_this=(
            "Regularisers, entropy bonuses and auxiliary losses have a small weight: small by design. A penalty that "
            "starts at nothing and rises is doing its work."
        ),
        remedies=("terms weighted by their gradients", "another weight for the term"),
        severities="warning between errors or scores of predictions, or for one that was never learned, else info",
    ),
    Explanation(
        id="overfitting",
        title="the validation loss rises while the training loss falls",
        what=(
            "What training still gains is learned by heart: the loss on data that the model never saw was best long "
            "ago and has risen since. Seen only where the script evaluates as it goes, by a loss of "
            "torch.nn.functional without a gradient: of a model in evaluation mode or, without eval(), by the function "
            "that it trains with, of other targets than those of the steps before and after. Where there is none, what "
            "the script prints by a name of held-out data, or as an accuracy or an error, serves."
        ),
        mathematics=(
            "With v_i the i-th evaluation, b their minimum and C the loss of a constant prediction.\n"
            "Judged: the lowest of the last three v_i against b; the noise is 1.48 times the median deviation of "
            "v_i − v_{i−1}.\n"
            "Threshold: six evaluations after the best or more, above b by 5 % and four times the noise, and still "
            "rising, with the training loss at its best. Or, without weight decay, a training loss of v_i/100 beside "
            "v_i that are above C/2 and have not fallen in half of the evaluations; or, where weights hardly decay, "
            "one of C/2 below v_i which fell by C/10 in that half, v_i by nothing. A printed number: a quarter of what "
            "it had gained is lost, steadily, twelve values after its best; or an accuracy is half below 1 − L/ln 2, L "
            "being the training cross-entropy, which is what the training data's is at least, and stays."
        ),
        source="the run's own history",
        not_this=(
            "A small rise, and runs that were stopped early, are an info at most: a warning takes six evaluations "
            "after a best in the first half, a quarter of b (or of C − b) and a tenth of C; or a rise that at its "
            "pace will be so after as many evaluations again. A validation loss may come back (grokking, a stage that "
            "brings other data), so that it is never critical, and an info where it has by the end."
        ),
        remedies=("surefoot.optim.EarlyStopping",),
        severities="warning where much is lost or will be, or a constant would do better; else info",
    ),
    Explanation(
        id="zero-variance-groups",
        title="all rewards of a group are the same, so it teaches nothing",
        what=(
            "A policy gradient weights log-probabilities with advantages: reward minus the mean of the group. Where "
            "all rollouts of a group get the same reward every advantage is zero, and the group is paid for but has "
            "no gradient. Tasks are far too hard or too easy, or the reward does not depend on what was done."
        ),
        mathematics=(
            "A group of G rollouts with success rate p has a gradient with probability 1 − p^G − (1 − p)^G: 0.15 at "
            "p = 0.02, 0.99 at p = 0.5 (G = 8).\n"
            "Judged: zero_advantage_share, the share of samples whose advantage is exactly zero.\n"
            "Threshold: 1 at every look, four at least; or ¾ at every look, eight at least over 32 steps; "
            "or ¾ at the newest eight, under a policy whose entropy is above half of its first at each of them and had "
            "been below a quarter: it tries all kinds of things again, and they earn the same."
        ),
        source="Hu et al. 2025, VADE, arXiv 2511.18902 (effective gradient ratio)",
        not_this=(
            "A policy that has solved its tasks ends with zero advantages too: where some look saw fewer, it is an "
            "info. Masks and weights are never negative, and left out."
        ),
        remedies=("entropy bonus", "leave groups without variance out"),
        severities="critical where there is no gradient at all, warning from three quarters on, else info",
    ),
    Explanation(
        id="mode-collapse",
        title="the generator makes one sample, or a few kinds only",
        what=(
            "The generator has found what the discriminator likes just now and makes nothing else. Losses do not "
            "show it, for they go up and down in a healthy game too; the samples do."
        ),
        mathematics=(
            "Around each real sample of the batch lies a ball up to its 5th real neighbour. Coverage is the share of "
            "balls that hold a generated sample, precision the share of generated samples in some ball. One "
            "distribution on both sides gives a coverage of about 1 − 2^−5 = 0.97.\n"
            "Judged: generated_spread, √tr Cov of generated over real samples; coverage; precision.\n"
            "Threshold: spread < 0.1 though the mean of the samples has moved by half of the data's spread, or "
            "coverage < 0.3 with precision ≥ 0.5; at four looks in a row over half of the run and 300 steps. The first "
            "from step 100 on where the mean is within half a spread of the data's, and the spread, as a power of the "
            "step, would not be 0.1 at twice the steps either. Or spread below 0.7 (median of six looks over half of "
            "the run) and coverage below 0.3, where the samples move by the whole spread of the data between looks. Or "
            "coverage below 0.3 after 0.5, and a mean outside of the data that goes further off at each of four looks. "
            "Or noise (input_rms of the generator) that has shrunk to a third, look by look, and coverage with it."
        ),
        source="Naeem et al. 2020, Reliable Fidelity and Diversity Metrics; Kynkäänniemi et al. 2019",
        not_this=(
            "Every generator begins with samples that are alike; one that has not learned to make anything real yet "
            "has a low precision as well."
        ),
        remedies=("standardised inputs", "surefoot.losses.gradient_penalty", "a slower generator"),
        severities=(
            "critical where all samples are one; of a few kinds: warning once both players have "
            "moved by ten times their own size and coverage has stopped to grow, or where they jump about, else info"
        ),
    ),
    Explanation(
        id="adversarial-rotation",
        title="the two players of a game go in circles",
        what=(
            "Each player answers the other, and finite steps of both turn the game round its equilibrium, or away "
            "from it, instead of into it. The generated samples wander over the data as one, from place to place."
        ),
        mathematics=(
            "For min over φ, max over θ of E the step's Jacobian has eigenvalues 1 + h(−ε ± i): outside the unit "
            "circle as soon as h(1 + ε²) > 2ε, however small h. The drift of simultaneous steps raises the other "
            "player's gradient norm.\n"
            "Judged: how the joint gradient (each player at unit size) turned over 16 looks: rotation_turns in the "
            "plane that holds most of it, rotation_coherence = |Σ Δφ|/Σ |Δφ|, rotation_share of its energy in the "
            "plane, rotation_growth. Threshold: a full turn, 0.9 in one direction, half of the energy, no shorter "
            "(0.8), both "
            "players in it, at all looks of half of the run (noise does this once in a thousand looks; healthy games "
            "turn for some looks before the players have found each other).\n"
            "Or generated_move, how far the mean of the samples goes from look to look, in units of the data's spread: "
            "median above 0.5 over six looks that are half of the run (two batches of 128 of one distribution differ "
            "by √(2/128) = 0.125), with coverage below 0.3 at each.\n"
            "Or the losses of all players: half of the variance of each in one line of its spectrum, three periods or "
            "more over a quarter of the run, its spread no less than 0.8 of what it was; two periods of one are enough "
            "beside three or more of the other that are as long, or half as long.\n"
            "Or such a turn at one look, or a joint gradient four times as long as 16 looks before at three in a row, "
            "and a number that the script prints, whose direction its name tells, that had got better and is worse "
            "than it was at first."
        ),
        source="Rosca et al. 2021, Discretization Drift in Two-Player Games, arXiv 2105.13922",
        not_this="Samples that wander and cover the data all the same are an info.",
        remedies=(
            "surefoot.losses.gradient_penalty",
            "surefoot.optim.OptimisticGradient",
            "less momentum",
            "surefoot.optim.DriftCancellingGame",
            "a slower generator",
        ),
        severities=(
            "warning where the data are not covered meanwhile; where the samples wander only, once both players have "
            "moved by ten times their own size and coverage has stopped to grow; else info"
        ),
    ),
    Explanation(
        id="posterior-collapse",
        title="the latent variables say nothing of the input",
        what=(
            "The encoder gives the prior whatever it sees, and the decoder does without it: it draws the same average "
            "every time. Usual reasons: a KL term that weighs too much, or is summed where the other is averaged; a "
            "decoder so strong that it needs no code."
        ),
        mathematics=(
            "KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − ln σ²) for each dimension; a dimension is active if the "
            "variance of μ over the data is above 0.01.\n"
            "Judged: active_units_share.\n"
            "Threshold: 0 at three looks in a row or more, over half of the run and 500 steps (64, where it fell to "
            "0.005 nats over three doublings of the time), with a divergence below 0.1 nats that does not rise. Before "
            "step 500 where L/β < 0.1 nats: of a loss L = error + β KL with an error that is never below 0, no code of "
            "more nats than that lowers L. β = (L − error)/KL is measured "
            "where the loss is a visible sum, and must be the same at three looks."
        ),
        source="Burda, Grosse, Salakhutdinov 2016, Importance Weighted Autoencoders, §5.2",
        not_this=(
            "Some inactive dimensions are healthy: they are those that the data do not need. All are inactive in the "
            "first steps of many runs."
        ),
        remedies=("divergence and likelihood in one unit", "a KL weight that grows from 0", "free nats"),
        severities="critical where the loss fell without them, else warning; info before that",
    ),
)
