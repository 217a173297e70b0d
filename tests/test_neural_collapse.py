"""Neural collapse: closed forms against the free model's minima, frames, and streaming metrics against two passes."""

import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.analysis.collapse import (
    UnconstrainedFeatures,
    collapse_prediction,
    collapse_state,
    compute,
    general_orthogonal_frame,
    max_safe_decay,
    minority_threshold,
    orthogonal_frame,
    simplex_etf,
    solve_ufm,
    update,
)

COUNTS = (20, 10, 5, 5)


def close(a, b, **options):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=torch.float64), **options)


# -- prediction ------------------------------------------------------------------------------------------------------


def test_the_published_numbers():
    """N = 400, all decays 5e-4; and 0.02, where the two rare classes vanish: N²λ² = 64 > 50."""
    one = collapse_prediction((200, 100, 50, 50), 5e-4, 5e-4)
    close(one.product_sv2, [13.94213562, 9.8, 6.87106781, 6.87106781], rtol=1e-8, atol=0)
    close(one.mean_norm2, [0.06971068, 0.098, 0.13742136, 0.13742136], rtol=1e-6, atol=0)
    assert one.loss == pytest.approx(0.0189421356, abs=1e-10)
    two = collapse_prediction((200, 100, 50, 50), [5e-4] * 2, 5e-4)
    close(two.product_sv2[:3], [33.93259, 21.27726, 13.30476], rtol=1e-6, atol=0)
    three = collapse_prediction((200, 100, 50, 50), [5e-4] * 3, 5e-4)
    close(three.logits[:3], [0.99623229, 0.99365528, 0.98930607], rtol=1e-7, atol=0)
    rare = collapse_prediction((200, 100, 50, 50), 0.02, 0.02)
    close(rare.logits, [0.43431458, 0.2, 0, 0], atol=1e-8, rtol=0)
    assert rare.collapsed.tolist() == [False, False, True, True]
    assert rare.loss == pytest.approx(0.4478427125, abs=1e-10)
    biased = collapse_prediction((25,) * 4, 3e-3, 2e-3, bias=True).logit_matrix
    assert float(biased[0, 0]) == pytest.approx(0.7132577, abs=1e-7)
    assert float(biased[0, 1]) == pytest.approx(-0.2377526, abs=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_constructed_minimiser_has_the_predicted_loss_and_no_slope(depth):
    decays, feature_decay, dim = [2e-3, 1e-3, 4e-3][:depth], 3e-3, 7
    p = collapse_prediction(COUNTS, decays, feature_decay)
    model = UnconstrainedFeatures(COUNTS, dim, decays, feature_decay)
    frames = [orthogonal_frame(4, dim, seed) for seed in range(depth)]  # the layers' inner bases
    singular = [(decays[0] / d * p.first_layer_sv2).sqrt() for d in decays]  # balancedness
    with torch.no_grad():
        for j, layer in enumerate(model.layers):
            left = torch.eye(4).double() if j == depth - 1 else frames[j + 1]
            layer.copy_(left @ torch.diag(singular[j]) @ frames[j].T)
        model.features.copy_((frames[0] @ torch.diag(p.mean_norm2.sqrt()))[:, model.labels])
    loss = model.loss()
    assert float(loss.detach()) == pytest.approx(p.loss, abs=1e-12)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert max(float(s.abs().max()) for s in slopes) < 1e-10
    torch.testing.assert_close(model.product().detach() @ model.product().detach().T, p.gram_classifier)
    with torch.no_grad():
        here, generator = float(model.loss()), torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            kept = parameter.clone()
            parameter.add_(1e-3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            assert float(model.loss()) >= here
            parameter.copy_(kept)


@pytest.mark.parametrize(
    ("decays", "bias", "counts"),
    [([5e-3], False, COUNTS), ([5e-3], True, (8,) * 4), ([2e-3, 4e-3], False, COUNTS), ([0.04], False, COUNTS)],
)
def test_descent_ends_in_the_predicted_geometry(decays, bias, counts):
    p = collapse_prediction(counts, decays, 6e-3, bias=bias)
    found = solve_ufm(counts, 6, decays, 6e-3, bias=bias, seeds=(0, 1), steps=600)
    assert found.loss == pytest.approx(p.loss, abs=1e-9)
    torch.testing.assert_close(found.gram_classifier, p.gram_classifier, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(found.means @ found.means.T, p.gram_means, atol=2e-4, rtol=1e-3)
    expected = p.logit_matrix + (p.bias[:, None] if bias else 0)
    torch.testing.assert_close(found.logit_matrix, expected, atol=2e-4, rtol=1e-3)
    assert found.within < 1e-6
    if len(decays) == 2:
        first, last = found.model.layers
        balanced = decays[1] * last.T @ last - decays[0] * first @ first.T
        assert float(balanced.detach().norm()) < 1e-5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 500), min_size=2, max_size=6), st.integers(1, 4), st.floats(-4, -1.5), st.integers(2, 5))
def test_order_scale_and_exchange(counts, depth, exponent, factor):
    lam = 10**exponent
    p = collapse_prediction(counts, [lam] * depth, lam)
    order = list(reversed(range(len(counts))))
    close(collapse_prediction([counts[i] for i in order], [lam] * depth, lam).logits, p.logits[order])
    for i, j in itertools.combinations(range(len(counts)), 2):
        if counts[i] == counts[j]:
            assert p.x[i] == p.x[j]
        elif counts[i] > counts[j]:
            assert p.logits[i] >= p.logits[j]
    assert torch.equal(p.collapsed, p.logits == 0)
    if depth == 1:
        close(collapse_prediction([factor * n for n in counts], lam / factor, lam).logits, p.logits)
        moved = collapse_prediction(counts, factor * lam, lam / factor)
        close(moved.logits, p.logits)
        close(moved.mean_norm2, factor * p.mean_norm2)
    mean = collapse_prediction(counts, [lam * len(counts)] * depth, lam * sum(counts), reduction="mean")
    close(mean.logits, p.logits)


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 40])
def test_at_the_threshold_collapse_and_the_larger_root_are_equally_good(depth):
    threshold = minority_threshold(depth)
    # the best x of the least ratio that does not collapse, by its own formula x^M = M − 1
    x = (depth - 1) ** (1 / depth)
    assert 1 / (x**depth + 1) + threshold * x == pytest.approx(1)
    counts, total = (10, 10), 20

    def with_ratio(ratio):  # b / n = ratio
        lam = ((ratio * 10 / (depth * total)) ** depth / total) ** (1 / (depth + 1))
        return collapse_prediction(counts, [lam] * depth, lam)

    below, above = with_ratio(threshold * (1 - 1e-6)), with_ratio(threshold * (1 + 1e-6))
    assert not below.collapsed.any() and above.collapsed.all()
    assert above.loss == pytest.approx(0.5) and below.loss < 0.5
    if depth > 1:
        assert float(below.x[0]) == pytest.approx(x, rel=1e-3)
    assert minority_threshold(400) == pytest.approx(1, abs=0.02)


def test_the_safe_decay_is_the_largest_that_collapses_nothing():
    for depth in (1, 2, 3):
        lam = max_safe_decay(COUNTS, depth)
        below, above = (collapse_prediction(COUNTS, [f * lam] * depth, f * lam).collapsed for f in (0.999, 1.001))
        assert not below.any() and above.tolist() == [False, False, True, True]
    assert max_safe_decay(COUNTS) == pytest.approx(math.sqrt(5) / 40)


def test_a_bottleneck_keeps_the_largest_classes():
    narrow = collapse_prediction(COUNTS, 5e-3, 5e-3, width=2)
    wide = collapse_prediction(COUNTS, 5e-3, 5e-3)
    close(narrow.logits, [*wide.logits[:2].tolist(), 0, 0])
    assert narrow.loss > wide.loss
    assert len(wide.plot().data) == 2


# -- frames ----------------------------------------------------------------------------------------------------------


def test_frames():
    etf = simplex_etf(5, 7, seed=1)
    close(etf.T @ etf, 5 / 4 * (torch.eye(5).double() - 1 / 5), atol=1e-12, rtol=0)
    close(etf.sum(dim=1), torch.zeros(7), atol=1e-12, rtol=0)
    assert simplex_etf(5, 4).shape == (4, 5)
    frame = general_orthogonal_frame([3.0, 1.0, 0.0], 6)
    close(frame.T @ frame, torch.diag(torch.tensor([9.0, 1.0, 0.0])), atol=1e-12, rtol=0)
    assert not torch.equal(orthogonal_frame(3, 6, 0), orthogonal_frame(3, 6, 1))


# -- metrics ---------------------------------------------------------------------------------------------------------


def sample(classes=4, dim=6, rows=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (rows - classes,), generator=generator)])
    centres = 3 * torch.randn(classes, dim, generator=generator, dtype=torch.float64)
    return centres[labels] + torch.randn(rows, dim, generator=generator, dtype=torch.float64), labels


def seen(features, labels, classes=4, pieces=1):
    state = collapse_state(classes, features.shape[1])
    for x, y in zip(features.tensor_split(pieces), labels.tensor_split(pieces), strict=True):
        state = update(state, x, y)
    return state


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(0, 5))
def test_any_split_into_batches_gives_the_two_pass_result(pieces, seed):
    x, y = sample(seed=seed)
    state = seen(x, y, pieces=pieces)
    means = torch.stack([x[y == k].mean(dim=0) for k in range(4)])
    rest = x - means[y]
    close(state.means, means, atol=1e-10, rtol=0)
    close(state.scatter, rest.T @ rest, atol=1e-10, rtol=0)
    close(state.spread, [float(rest[y == k].square().sum()) for k in range(4)], atol=1e-10, rtol=0)
    close(state.counts, torch.bincount(y).double())


def test_features_that_have_almost_collapsed_keep_their_digits_in_float32():
    """Means a million times as far apart as the spread: differences of sums of squares would be noise alone."""
    y = torch.arange(4).repeat(50)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    x = (1e2 * torch.eye(4, 6)[y] + 1e-4 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1))).float()
    state = collapse_state(4, 6, torch.float32)
    for part, labels in zip(x.split(20), y.split(20), strict=True):
        state = update(state, part, labels)
    assert compute(state).nc1_trace == pytest.approx(compute(seen(x.double(), y)).nc1_trace, rel=1e-3)


def test_metrics_by_their_definitions():
    x, y = sample()
    found = compute(seen(x, y, pieces=3), weight := torch.randn(4, 6).double())
    means = torch.stack([x[y == k].mean(dim=0) for k in range(4)])
    m = means - means.mean(dim=0)
    within, between = (x - means[y]).T @ (x - means[y]) / len(x), m.T @ m / 4
    assert found.nc1 == pytest.approx(float(torch.trace(within @ torch.linalg.pinv(between, rtol=1e-10))) / 4)
    assert found.nc1_trace == pytest.approx(float(torch.trace(within) / torch.trace(between)))
    v = torch.stack([(x[y == k] - means[k]).square().sum(dim=1).mean() for k in range(4)])
    pairs = [(v[k] + v[j]) / (2 * (means[k] - means[j]).square().sum()) for k, j in itertools.permutations(range(4), 2)]
    assert found.cdnv == pytest.approx(float(torch.stack(pairs).mean()))
    gram = m @ m.T
    eye = torch.eye(4).double()
    simplex = eye - 1 / 4
    assert found.nc2_etf == pytest.approx(float((gram / gram.norm() - simplex / simplex.norm()).norm()))
    assert found.nc2_of == pytest.approx(float((gram / gram.norm() - eye / eye.norm()).norm()))
    assert found.nc3 == pytest.approx(float((weight / weight.norm() - m / m.norm()).norm()))
    assert found.nc4 == float(((means @ weight.T).argmax(dim=1) == torch.arange(4)).double().mean())
    lengths = m.norm(dim=1)
    assert found.equinorm_cv == pytest.approx(float(lengths.std(correction=0) / lengths.mean()))


def test_a_collapsed_net_measures_zero():
    etf = simplex_etf(4, 6).T
    y = torch.arange(4).repeat(5)
    found = compute(seen(etf[y], y), etf, target=etf @ etf.T)
    for value in (
        found.nc1,
        found.nc1_trace,
        found.cdnv,
        found.nc2_etf,
        found.nc2_target,
        found.nc3,
        found.equinorm_cv,
    ):
        assert value == pytest.approx(0, abs=1e-7)
    assert (
        found.nc4 == 1 and found.angle_mean == pytest.approx(-1 / 3) and found.angle_std == pytest.approx(0, abs=1e-7)
    )
    frame = general_orthogonal_frame([2.0, 1.0, 0.5, 0.5], 6).T
    orthogonal = compute(seen(frame[y], y), frame, target=frame @ frame.T, center="none")
    assert orthogonal.nc2_target == pytest.approx(0, abs=1e-12) and orthogonal.nc3 == pytest.approx(0, abs=1e-12)
    assert orthogonal.nc2_of > 0.15


def test_metrics_do_not_see_rotation_or_scale_and_nc1_no_linear_map():
    x, y = sample(dim=4, classes=5, rows=80)
    plain = compute(seen(x, y, 5))
    turned = compute(seen(7 * x @ orthogonal_frame(4, 4, 3), y, 5))
    for name in ("nc1", "nc1_trace", "cdnv", "nc2_etf", "nc2_of", "equinorm_cv", "angle_mean", "angle_std"):
        assert getattr(turned, name) == pytest.approx(getattr(plain, name), abs=1e-9)
    bent = compute(seen(x @ (torch.randn(4, 4).double() + 3 * torch.eye(4).double()), y, 5))
    assert bent.nc1 == pytest.approx(plain.nc1, rel=1e-6)


def test_classes_absent_from_a_batch_and_single_samples():
    x, y = sample()
    order = torch.argsort(y, stable=True)
    close(seen(x[order], y[order], pieces=10).means, seen(x, y).means, atol=1e-12, rtol=0)
    single = collapse_state(2, 2)
    single = update(single, torch.tensor([[1.0, 0], [0, 1], [0, 3]]), torch.tensor([0, 1, 1]))
    with pytest.warns(UserWarning, match="one sample"):
        assert compute(single).nc1_trace > 0
    close(update(single, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).means, single.means)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse_prediction((3, 0), 0.1, 0.1), "class_counts"),
        (lambda: collapse_prediction((3, 2), 0.0, 0.1), "weight_decays, feature_decay"),
        (lambda: collapse_prediction((3, 2), 0.1, -1.0), "weight_decays, feature_decay"),
        (lambda: collapse_prediction((3, 2), [], 0.1), "depth"),
        (lambda: collapse_prediction((3, 2), 0.1, 0.1, width=0), "width"),
        (lambda: collapse_prediction((3, 2), 0.1, 0.1, bias=True), "bias"),
        (lambda: collapse_prediction((3, 2), 0.1, 0.1, reduction="max"), "reduction"),
        (lambda: minority_threshold(0), "depth"),
        (lambda: orthogonal_frame(4, 3), "dim"),
        (lambda: general_orthogonal_frame([-1.0], 3), "lengths"),
        (lambda: simplex_etf(4, 2), "dim"),
        (lambda: collapse_state(1, 3), "classes, dim"),
        (lambda: update(collapse_state(2, 3), torch.zeros(2, 4), torch.zeros(2, dtype=torch.long)), "features"),
        (lambda: update(collapse_state(2, 3), torch.zeros(2, 3), torch.zeros(3, dtype=torch.long)), "labels"),
        (lambda: update(collapse_state(2, 3), torch.zeros(2, 3), torch.tensor([0, 2])), "labels"),
        (lambda: compute(collapse_state(2, 3)), "state"),
        (lambda: compute(seen(*sample()), torch.zeros(3, 6)), "weight"),
        (lambda: compute(seen(*sample()), target=torch.zeros(3, 3)), "target"),
        (lambda: compute(seen(*sample()), center="mean"), "center"),
        (lambda: UnconstrainedFeatures((), 3, [0.1], 0.1), "class_counts, dim"),
        (lambda: UnconstrainedFeatures((2,), 3, [], 0.1), "weight_decays, feature_decay"),
        (lambda: solve_ufm((2, 2), 3, [0.1], 0.1, seeds=()), "seeds"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}:"):
        call()
