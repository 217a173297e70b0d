"""Losses, layers and weights that a script writes itself, and what is read of them all the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from surefoot.analysis.baselines import constant_distance, constant_mse
from surefoot.analysis.samples import row_losses
from watching import Kept, watching

ROWS = 12


class Shaped(nn.Module):
    """Returns ``(rows, 3)``, or ``(rows,)`` of one output."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer, self.outputs = nn.Linear(4, outputs), outputs

    def forward(self, x: Tensor) -> Tensor:
        made = self.layer(x)
        return made.squeeze(1) if self.outputs == 1 else made


def trained(outputs: int, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Kept, Tensor, list[float]]:
    torch.manual_seed(0)
    model = Shaped(outputs)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    x, y = torch.randn(ROWS, 4), 3 + torch.randn(ROWS, outputs).squeeze(1)
    losses = []
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            made = loss(model(x), y)
            made.backward()
            optimizer.step()
            losses.append(made.item())
    assert not seen.of("note")
    return seen, y, losses


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float | None]] = {
    "mean of squares": (lambda p, y: (p - y).square().mean(), 1.0),
    "power, target first": (lambda p, y: ((y - p) ** 2).mean(), 1.0),
    "product": (lambda p, y: ((p - y) * (p - y)).mean(), None),  # two differences, told apart by nobody
    "half": (lambda p, y: 0.5 * (p - y).pow(2).mean(), 0.5),
    "sum": (lambda p, y: (p - y).pow(2).sum(), ROWS),
    "another power": (lambda p, y: (p - y).pow(4).mean(), None),
    "of a logarithm": (lambda p, y: ((p.exp() - y) ** 2).mean(), None),  # no model returned that
    "beside a penalty": (lambda p, y: 2 * (p - y).square().mean() + p.abs().mean(), 2.0),
    "two aims": (lambda p, y: (p - y).square().mean() + (p - 1).abs().mean(), None),
    "transposed": (lambda p, y: (p.T - y.T).square().mean() if p.dim() == 2 else (p - y).mean(), None),
}


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_what_a_constant_would_score_by_a_distance_that_is_written_by_hand(name: str, outputs: int) -> None:
    loss, times = LOSSES[name]
    seen, y, _ = trained(outputs, loss)
    found = seen.signal("constant_loss")
    if times is None:
        assert not found
        return
    factor = times * outputs if name == "sum" else times
    # the first look comes before any module is known
    assert set(found) == {2, 3}
    assert found[3] == pytest.approx(factor * float(constant_mse(y)), rel=1e-4)
    assert seen.signal("target_rms")[3] == pytest.approx(float(y.square().mean().sqrt()), rel=1e-4)


def test_a_step_of_several_backwards_has_a_constant_of_as_many() -> None:
    torch.manual_seed(0)
    model, y = Shaped(1), torch.randn(ROWS)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    with watching(1) as seen:
        for _ in range(4):
            optimizer.zero_grad()
            for _ in range(3):
                scaler.scale((model(torch.randn(ROWS, 4)) - y).square().mean() / 3).backward()
            scaler.step(optimizer)
            scaler.update()
    assert seen.signal("constant_loss")[4] == pytest.approx(float(constant_mse(y)), rel=1e-4)
    assert seen.signal("loss")[4] == pytest.approx(1.5, abs=1.4)


def test_absolute_errors_are_known_in_torchs_words_and_by_hand() -> None:
    for loss in (nn.functional.l1_loss, lambda p, y: (p - y).abs().mean()):
        seen, y, losses = trained(1, loss)
        assert seen.signal("constant_loss")[3] == pytest.approx(float(constant_distance(y)), rel=1e-4)
        assert seen.signal("row_loss_max")[3] >= losses[2] >= seen.signal("row_loss_median")[3] / 2
    made, y = torch.randn(5, 2), torch.randn(5, 2)
    assert torch.allclose(row_losses("l1_loss", made, y), (made - y).abs().mean(1))


class Listed(nn.Module):
    """Weights in a list, biases in another, multiplied by hand."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(2 * torch.randn(a, b) / a**0.5 for a, b in pairs)
        self.biases = nn.ParameterList(torch.zeros(b) for _, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.tanh(x @ weight + bias)
        return x


def test_matrices_of_a_list_are_layers_with_a_start_of_their_own() -> None:
    torch.manual_seed(0)
    model = Listed((64, 256, 256, 3))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watching(1) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(32, 64)).square().mean().backward()
            optimizer.step()
    (told,) = seen.of("initialisation")
    sizes = told["weight_variance"]
    assert list(sizes) == ["weights.0", "weights.1", "weights.2"]
    assert all(size == pytest.approx(4.0, rel=0.2) for size in sizes.values())
    (modules,) = seen.of("modules")
    layers = {m["name"]: m["parameters"] for m in modules["modules"]}
    assert layers == {"weights.0": 65 * 256, "weights.1": 257 * 256, "weights.2": 257 * 3}
    assert set(seen.signal("saturated_share", "weights.1"))


def test_the_fan_in_of_a_weight_by_hand_is_along_its_features() -> None:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(9, 400)), nn.Parameter(torch.randn(3, 400))]
    optimizer = torch.optim.SGD(weights, 1e-3)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            (torch.relu(torch.randn(5, 9) @ weights[0]) @ weights[1].T).square().mean().backward()
            optimizer.step()
    (told,) = seen.of("initialisation")
    assert list(told["weight_variance"].values()) == pytest.approx([9, 400], rel=0.1)


def test_values_and_weights_of_terms_are_read_where_their_gradients_are_too_dear() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    x, weight = torch.randn(20, 6), 0.5
    with watching(1) as seen:
        seen.observer.budget.affords = lambda name, steps: False
        for _ in range(4):
            optimizer.zero_grad()
            made = model(x).squeeze(1)
            (nn.functional.mse_loss(made, x[:, 0]) + weight * made.square().mean()).backward()
            optimizer.step()
            weight *= 2
    assert list(seen.signal("term_weight", "squared_error").values()) == pytest.approx([0.5, 1, 2, 4])
    assert len(seen.signal("term_value", "mse_loss")) == 4
    assert not seen.signal("term_gradient_norm", "mse_loss")


class Noisy(nn.Module):
    """Adds noise in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + 0.1 * torch.randn_like(x) if self.training else x)


@pytest.mark.parametrize("kind", [Noisy, Shaped])
def test_a_layer_that_asks_for_its_mode_is_known_to(kind: Callable[..., nn.Module]) -> None:
    model = kind() if kind is Noisy else kind(1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watching(1) as seen:
        for step in range(12):
            model.train(step < 6)
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
    told = "eval-mode-training" in seen.findings()
    assert told is (kind is Noisy)


@pytest.mark.parametrize(
    ("squash", "gate"),
    [
        (lambda z, x: 2 * torch.sigmoid(z) - 1, False),
        (lambda z, x: torch.sigmoid(z) * x, True),
        (lambda z, x: (2 * torch.sigmoid(z) - 1) * x, True),
    ],
)
def test_a_product_with_one_number_makes_no_gate(squash: Callable[[Tensor, Tensor], Tensor], gate: bool) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(4, 4), "second": nn.Linear(4, 1)})
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    x = torch.randn(16, 4)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            model["second"](squash(model["first"](x), torch.tanh(x))).square().mean().backward()
            optimizer.step()
    assert bool(seen.signal("saturated_share", "first")) is not gate
