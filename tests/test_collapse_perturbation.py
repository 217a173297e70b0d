"""The model near collapse: closed forms against dense second derivatives, true minimisers and flows."""

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from surefoot.analysis.collapse import (
    PerturbationOperator,
    Spread,
    anchored_minimizer,
    central_path_flow,
    central_path_loss,
    decay_sensitivity,
    depthwise_collapse,
    effective_beta,
    near_collapse_spectrum,
    optimal_classifier,
    orthogonal_frame,
    predicted_spread,
    spread,
    ufm_loss,
    ufm_minimizer,
)
from surefoot.analysis.collapse.anchored import class_means

K, D, N = 3, 5, 3
LW, LH, BETA = 0.8, 0.2, 4.0
LABELS = torch.repeat_interleave(torch.arange(K), N)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def anchored_loss(weight, features, anchor, beta=BETA):
    return ufm_loss(weight, features, LABELS, LW, LH) + beta / (2 * K * N) * (features - anchor).square().sum()


def test_the_collapsed_pair_is_a_minimum_of_both_models():
    pair = ufm_minimizer(K, N, D, LW, LH)
    w, h = pair.weight.requires_grad_(), pair.features.requires_grad_()
    for loss in (ufm_loss(w, h, LABELS, LW, LH), anchored_loss(w, h, h.detach())):
        assert max(float(g.abs().max()) for g in torch.autograd.grad(loss, (w, h))) < 1e-14
    means = class_means(h.detach(), LABELS)
    torch.testing.assert_close(w.detach() @ means, (1 - pair.c) * torch.eye(K).double())
    assert float(means[:, 0].square().sum()) == pytest.approx(pair.rho)
    found_w, found_h = anchored_minimizer(h.detach(), LABELS, LW, LH, BETA)
    torch.testing.assert_close(found_h, h.detach(), atol=1e-10, rtol=0)
    torch.testing.assert_close(found_w, w.detach(), atol=1e-10, rtol=0)


def test_the_best_classifier_and_the_envelope():
    h = draw(D, K * N).requires_grad_()
    w = optimal_classifier(h.detach(), LABELS, LW).requires_grad_()
    (slope,) = torch.autograd.grad(ufm_loss(w, h.detach(), LABELS, LW, LH), w)
    assert float(slope.abs().max()) < 1e-14
    (found,) = torch.autograd.grad(central_path_loss(h, LABELS, LW, LH), h)
    y = torch.nn.functional.one_hot(LABELS).T.double()
    expected = (w.T @ (w @ h - y) + LH * h) / (K * N)
    torch.testing.assert_close(found, expected.detach())


def dense_answer(w, h):
    """β/Kn (f_HH − f_HW f_WW⁻¹ f_WH)⁻¹ by autograd's Hessian, features stacked by columns."""
    anchor = draw(D, K * N, seed=9)

    def f(vector):
        weight, columns = vector[: K * D].reshape(K, D), vector[K * D :].reshape(K * N, D)
        return anchored_loss(weight, columns.T, anchor)

    hessian = torch.autograd.functional.hessian(f, torch.cat([w.reshape(-1), h.T.reshape(-1)]))
    ww, wh, hh = hessian[: K * D, : K * D], hessian[: K * D, K * D :], hessian[K * D :, K * D :]
    return BETA / (K * N) * torch.linalg.inv(hh - wh.T @ torch.linalg.solve(ww, wh))


def test_the_operator_is_the_dense_answer_anywhere():
    h = draw(D, K * N)
    w = optimal_classifier(h, LABELS, LW)
    operator = PerturbationOperator(w, h, LABELS, LW, LH, BETA)
    torch.testing.assert_close(operator.dense(), dense_answer(w, h), atol=1e-10, rtol=0)
    block = operator.block(1, 0)
    torch.testing.assert_close(block, operator.dense()[N * D : 2 * N * D, : N * D])


def test_the_operator_predicts_how_the_true_minimiser_moves():
    anchor, change = draw(D, K * N, seed=1), 1e-4 * draw(D, K * N, seed=2)
    w, h = anchored_minimizer(anchor, LABELS, LW, LH, BETA, tol=1e-15)
    w2, h2 = anchored_minimizer(anchor + change, LABELS, LW, LH, BETA, tol=1e-15)
    w1, h1 = anchored_minimizer(anchor - change, LABELS, LW, LH, BETA, tol=1e-15)
    operator = PerturbationOperator(w, h, LABELS, LW, LH, BETA)
    moved = operator.matvec(change)
    assert float((moved - (h2 - h1) / 2).norm()) < 1e-6 * float(moved.norm())
    turned = operator.classifier_change(moved)
    assert float((turned - (w2 - w1) / 2).norm()) < 1e-5 * float(turned.norm())


def test_the_spectrum_at_collapse():
    beta = 100.0
    pair = ufm_minimizer(K, N, D, LW, LH)
    expected = near_collapse_spectrum(K, D, N, LW, LH, beta)
    assert sum(times for _, times in expected) == D * N
    values = sorted(value for value, times in expected for _ in range(times))
    first = PerturbationOperator(pair.weight, pair.features, LABELS, LW, LH, beta, expand=True)
    own, other = first.block(0, 0), first.block(0, 1)
    torch.testing.assert_close(
        torch.linalg.svdvals(own).sort().values, torch.tensor(values, dtype=torch.float64), atol=1e-12, rtol=0
    )
    assert float(torch.trace(own)) == pytest.approx(sum(values))
    singular = torch.linalg.svdvals(other)
    assert float(singular[0]) == pytest.approx(2 * LH * (1 - pair.c) / beta, abs=1e-12)
    assert float(singular[1:].max()) < 1e-12
    exact = PerturbationOperator(pair.weight, pair.features, LABELS, LW, LH, beta).block(0, 0)
    assert float((exact - own).abs().max()) < 4 * (math.sqrt(LH / LW) / beta) ** 2


def test_spread_within_classes_leaves_the_classifier_and_shrinks_as_predicted():
    pair = ufm_minimizer(K, N, D, LW, LH)
    change = 1e-3 * draw(D, K * N, seed=3)
    change -= class_means(change, LABELS)[:, LABELS]
    operator = PerturbationOperator(pair.weight, pair.features, LABELS, LW, LH, BETA)
    assert float(operator.cross(change).abs().max()) < 1e-16
    before = spread(pair.features + change, LABELS, pair.weight)
    after = spread(pair.features + operator.matvec(change), LABELS, pair.weight)
    told = predicted_spread(before, LW, LH, BETA)
    assert after.inside == pytest.approx(told.inside, rel=1e-9)
    assert after.outside == pytest.approx(told.outside, rel=1e-9)
    assert effective_beta(before, after, LW, LH) == pytest.approx(BETA, rel=1e-3)
    assert effective_beta(after, before, LW, LH) == math.inf


def test_what_decay_does():
    before = Spread(2.0, 1.0, 5.0)
    by_feature, by_weight = decay_sensitivity(before, LW, LH, BETA)
    step = 1e-6

    def log_nc1(lw, lh):
        return math.log(predicted_spread(before, lw, lh, BETA).nc1)

    base = log_nc1(LW, LH)
    assert by_feature == pytest.approx((log_nc1(LW, LH * (1 + step)) - base) / step, rel=1e-4)
    assert by_weight == pytest.approx((log_nc1(LW * (1 + step), LH) - base) / step, rel=1e-4)
    assert by_feature < 0 < by_weight


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_the_flow_tightens_at_every_moment(method):
    found = central_path_flow(draw(10, 40), torch.repeat_interleave(torch.arange(4), 10), 0.05, 0.02, 4.0, 0.02, method)
    grown = torch.exp(2 * 0.02 * found.t)
    assert all(b < a for a, b in pairwise(found.nc1.tolist()))
    assert all(b < a for a, b in pairwise((grown * found.trace_within).tolist()))
    assert all(b > a for a, b in pairwise((grown * found.trace_between).tolist()))
    assert len(found.plot().data) == 3


def test_the_flow_rests_at_collapse_and_forgets_what_the_classifier_cannot_see():
    pair = ufm_minimizer(K, N, D, LW, LH)
    still = central_path_flow(pair.features, LABELS, LW, LH, 2.0, 0.1)
    torch.testing.assert_close(still.features, pair.features, atol=1e-12, rtol=0)
    seen = draw(2, K * N, seed=4)
    unseen = draw(1, K * N, seed=5)
    basis = torch.linalg.qr(torch.cat([seen, torch.nn.functional.one_hot(LABELS).T.double()]).T).Q
    unseen = unseen - (unseen @ basis) @ basis.T  # no mean in any class, nothing in common with the rows seen
    found = central_path_flow(torch.cat([seen, unseen]), LABELS, LW, LH, 1.0, 0.01)
    torch.testing.assert_close(found.features[2:], math.exp(-LH) * unseen, atol=1e-9, rtol=0)


def test_the_anchored_minimiser_tightens_less_the_stiffer_and_turns_with_its_anchor():
    anchor = draw(D, K * N, seed=6)
    ratios = []
    for beta in (1.0, 10.0, 100.0):
        w, h = anchored_minimizer(anchor, LABELS, 0.05, 0.02, beta)
        ratios.append(spread(h, LABELS, w).nc1 / spread(anchor, LABELS, w).nc1)
    assert ratios[0] < ratios[1] < ratios[2] < 1
    q = orthogonal_frame(D, D, 1)
    turned = anchored_minimizer(q @ anchor, LABELS, LW, LH, BETA)[1]
    torch.testing.assert_close(turned, q @ anchored_minimizer(anchor, LABELS, LW, LH, BETA)[1], atol=1e-9, rtol=0)
    zero = anchored_minimizer(torch.zeros(D, K * N).double(), LABELS, LW, LH, 10.0)[1]
    assert not zero.any()  # λ_w (λ_h + β) > 1


def test_which_layer_collapses():
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(60, 4)
    x[torch.arange(60), y] += 6
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).train()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    found = depthwise_collapse(model, x, y, ["0", "1", "2"])
    assert [row.layer for row in found.layers] == ["0", "1", "2"]
    assert found.layers[2].nc1_trace < found.layers[0].nc1_trace
    assert math.isnan(found.layers[0].effective_beta) and found.layers[2].effective_beta > 0
    assert model.training and len(found.plot().data) == 2
    with pytest.raises(ValueError, match=r"^layers:"):
        depthwise_collapse(model, x, y, ["9"])


def operator_with(beta):
    return PerturbationOperator(draw(K, D), draw(D, K * N), LABELS, LW, LH, beta)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ufm_minimizer(3, 2, 5, 2.0, 1.0), "weight_decay, feature_decay"),
        (lambda: ufm_minimizer(3, 2, 5, -1.0, 1.0), "weight_decay, feature_decay"),
        (lambda: ufm_minimizer(3, 0, 5, 0.1, 0.1), "samples"),
        (lambda: ufm_minimizer(3, 2, 2, 0.1, 0.1), "dim"),
        (lambda: optimal_classifier(draw(2, 3), torch.tensor([0, 2, 2]), 0.1), "labels"),
        (lambda: optimal_classifier(draw(2, 3), torch.tensor([0, 1]), 0.1), "labels"),
        (lambda: optimal_classifier(draw(2, 3), torch.tensor([0, 1, 1]), 0.0), "weight_decay"),
        (lambda: anchored_minimizer(draw(D, K * N), LABELS, LW, LH, 0.0), "beta"),
        (lambda: central_path_flow(draw(D, K * N), LABELS, LW, LH, 0.0), "t_max, dt"),
        (lambda: central_path_flow(draw(D, K * N), LABELS, LW, -1.0, 1.0), "feature_decay"),
        (lambda: central_path_flow(draw(D, K * N), LABELS, LW, LH, 1.0, method="heun"), "method"),
        (lambda: PerturbationOperator(draw(K, 4), draw(D, K * N), LABELS, LW, LH, BETA), "weight"),
        (
            lambda: PerturbationOperator(draw(K, D), draw(D, K * N), LABELS, LW, LH, -1.0),
            "weight_decay, feature_decay, beta",
        ),
        (lambda: operator_with(1.0).matvec(draw(D, 2)), "change"),
        (lambda: near_collapse_spectrum(4, 3, 2, 0.1, 0.1, 1.0), "classes, samples, dim"),
        (lambda: near_collapse_spectrum(3, 4, 2, 1.0, 2.0, 1.0), "weight_decay, feature_decay"),
        (lambda: near_collapse_spectrum(3, 4, 2, 0.1, 0.1, 0.0), "weight_decay, feature_decay, beta"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}:"):
        call()


def test_a_minimiser_that_does_not_settle_says_so():
    with pytest.raises(RuntimeError, match=r"^max_iter:"):
        anchored_minimizer(draw(D, K * N), LABELS, LW, LH, BETA, max_iter=1)
