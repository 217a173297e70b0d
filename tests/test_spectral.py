"""Spectral norms against dense singular values; normalised layers; gradients divided by σ."""

import pytest
import torch
from torch import nn

from surefoot.nn.spectral import Sigma, SigmaScheduledAdam, div_grad_by_sigma, spectral_norm, track_sigma


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)).double()


def test_sigma_of_a_linear_layer_and_its_slope():
    layer = net()[2]
    sigma = Sigma(layer, start=300)
    u, s, vh = torch.linalg.svd(layer.weight.detach())
    value = sigma(layer.weight)
    assert float(value.detach()) == pytest.approx(float(s[0]), rel=1e-9)
    (slope,) = torch.autograd.grad(value, layer.weight)
    torch.testing.assert_close(slope, torch.outer(u[:, 0], vh[0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"padding": 1}, {"stride": 2}, {"padding": 2, "dilation": 2}])
def test_sigma_of_a_convolution_is_that_of_its_dense_map(options):
    torch.manual_seed(1)
    layer = nn.Conv2d(2, 3, 3, bias=False, **options).double()
    unit = torch.eye(2 * 36, dtype=torch.float64).reshape(72, 2, 6, 6)
    dense = layer(unit).reshape(72, -1).detach()
    found = Sigma(layer, (6, 6), start=600)(layer.weight)
    assert float(found.detach()) == pytest.approx(float(torch.linalg.svdvals(dense)[0]), rel=1e-6)


def test_a_layer_is_held_at_its_norm():
    model = spectral_norm(net(), 0.5, "always", "2")
    for _ in range(200):
        model(torch.zeros(1, 5).double())
    assert float(torch.linalg.svdvals(model[2].weight.detach())[0]) == pytest.approx(0.5, rel=1e-6)
    plain = net()[2].weight
    assert torch.equal(spectral_norm(net(), 100.0, "at_most")[2].weight, plain)  # small: left as it is; penultimate
    state = model.state_dict()
    again = spectral_norm(net(), 0.5, "always", "2")
    again.load_state_dict(state)
    torch.testing.assert_close(again.eval()[2].weight, model.eval()[2].weight)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.ones(3, 5).double()).square().sum().backward()
    optimizer.step()
    model(torch.zeros(1, 5).double())


def test_the_substitutes_leave_the_weights_alone():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(10)
    sigmas = track_sigma(model)
    assert list(sigmas) == ["2"]
    model(torch.ones(3, 5).double()).square().sum().backward()
    before, weight = model[2].weight.grad.clone(), model[2].weight.detach().clone()
    other = model[0].weight.grad.clone()
    div_grad_by_sigma(model, sigmas)
    value = float(torch.linalg.svdvals(weight)[0])
    torch.testing.assert_close(model[2].weight.grad * value, before, rtol=1e-3, atol=0)
    assert torch.equal(model[0].weight.grad, other) and torch.equal(model[2].weight, weight)
    optimizer = SigmaScheduledAdam(model.parameters(), model, sigmas, lr=1e-3, eps=1e-8)
    optimizer.step()
    assert optimizer.param_groups[0]["eps"] == pytest.approx(1e-8 * value, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Sigma(nn.ReLU()), "layer"),
        (lambda: Sigma(nn.Conv2d(1, 1, 3)), "input_size"),
        (lambda: Sigma(nn.Conv2d(1, 1, 3, padding="same"), (4, 4)), "layer"),
        (lambda: spectral_norm(net(), 0.0), "k"),
        (lambda: spectral_norm(net(), mode="never"), "mode"),
        (lambda: spectral_norm(net(), layers="-9"), "layers"),
        (lambda: spectral_norm(net(), layers="head"), "layers"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name}:"):
        call()
