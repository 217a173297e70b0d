"""What a look at a start takes modules for: layers, activations, dropout, norms, branches; and hazards of numbers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import starts
from surefoot import open_run
from surefoot.analysis.propagation import chain_report
from surefoot.cli import app
from surefoot.monitor import look_once
from surefoot.monitor.inspect import Subject
from surefoot.observe.start import StartProbe
from surefoot.report.flow import figures


class Sine(nn.Module):
    """An activation that PyTorch has no name for."""

    def __init__(self, frequency):
        super().__init__()
        self.frequency = frequency

    def forward(self, x):
        return torch.sin(self.frequency * x)


class Exponential(nn.Module):
    def forward(self, x):
        return x + torch.expm1(x)  # overflows


@pytest.mark.parametrize(
    ("act", "name", "C_W"),
    [
        (lambda: Sine(3.0), "Sine", 1 / 9),
        (nn.Mish, "mish", 2.0135),
        (lambda: nn.LeakyReLU(0.5), "LeakyReLU(negative_slope=0.5)", 1.6),
        (nn.ReLU6, "ReLU6", 2.0),
        (lambda: nn.GELU("tanh"), "gelu_tanh", 1.983),
    ],
)
def test_any_activation_makes_a_chain(act, name, C_W):
    model = nn.Sequential(*[part for _ in range(5) for part in (nn.Linear(64, 64), act())], nn.Linear(64, 2))
    starts.redraw(model, C_W)
    with StartProbe(model) as probe:
        model(torch.randn(256, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    chain = chain_report(probe.layers, probe.activations)
    assert chain is not None and chain.activation == name and len(chain.names) == 6
    assert pytest.approx(C_W, rel=1e-3) == chain.point.C_W
    # Width 64: the outputs are two, so the last is left out.
    assert np.abs(np.log(chain.forward / chain.forward_theory))[:-1].max() < 0.35


def test_an_activation_that_overflows_has_a_flow_and_no_point(tmp_path):
    model = nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(64, 64), Exponential())])
    starts.redraw(model, 0.2)
    called = []
    model[1].register_forward_hook(lambda *_: called.append(1))
    look_once.look(Subject(model, torch.randn(32, 64)), tmp_path, "x", []).close(report=False)
    chain = open_run(tmp_path).events("start")[0].data["chain"]
    assert chain["activation"] == "Exponential" and chain["point"]["kind"] == "none"
    assert np.abs(np.log(np.array(chain["forward"]) / np.array(chain["forward_theory"]))).max() < 0.3
    assert len(called) == 2  # the user's hooks: once for what a row costs, once for the look


def test_weights_that_are_not_used_as_they_are():
    class Standardised(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, (self.weight - self.weight.mean(1, True)) / self.weight.std(1, keepdim=True))

    model = nn.Sequential(*[part for _ in range(4) for part in (Standardised(8, 8), nn.ReLU())])
    with StartProbe(model) as probe:
        model(torch.randn(4, 8)).sum().backward()
    assert chain_report(probe.layers) is None and len(probe.layers) == 4
    assert all(math.isnan(layer.C_W) and layer.forward > 0 for layer in probe.layers)


def test_a_branch_that_starts_at_zero_is_not_dead(tmp_path, capsys):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.act, self.outer = nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)
            self.scale = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return x + self.outer(self.act(self.inner(self.scale * x)))

    model = nn.Sequential(Gated(), Gated(), nn.Linear(16, 4))
    for block in model[:2]:
        nn.init.zeros_(block.inner.bias)
    look_once.look(Subject(model, torch.randn(32, 16), torch.arange(32) % 4), tmp_path, "x", []).close(report=False)
    run = open_run(tmp_path)
    assert run.frame("dead_share")["0.inner"].tolist() == [1.0] and not [
        f for f in run.findings if f.severity != "info"
    ]


def test_dropout_multiplies_the_signal_and_a_mixing_module_ends_the_chain():
    def net(between):
        torch.manual_seed(0)
        return nn.Sequential(*[part for _ in range(5) for part in (nn.Linear(256, 256), nn.ReLU(), between())])

    for between, count in ((lambda: nn.Dropout(0.5), 5), (lambda: nn.Softmax(-1), 0), (lambda: nn.LayerNorm(256), 0)):
        model = starts.redraw(net(between), 1.0)  # critical with dropout of a half
        with StartProbe(model) as probe:
            model(torch.randn(64, 256)).square().mean().backward()
        chain = chain_report(probe.layers, probe.activations)
        assert (len(chain.names) if chain else 0) == count
        if chain:
            assert chain.C_W[1:] == pytest.approx(2, rel=0.05) and chain.chi_perp == pytest.approx(1, rel=0.05)
            assert np.abs(np.log(chain.forward / chain.forward_theory)).max() < 0.2


def test_layers_that_are_no_linear_of_pytorchs():
    class Conv1D(nn.Module):  # Hugging Face's: weights the other way round
        def __init__(self, outputs, inputs):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs) / 8), nn.Parameter(torch.zeros(outputs))

        def forward(self, x):
            return x @ self.weight + self.bias

    model = nn.Sequential(nn.Flatten(), Conv1D(4 * 64, 64), nn.Unflatten(1, (4, 8, 8)), nn.ConvTranspose2d(4, 6, 4, 2))
    with StartProbe(model) as probe:
        model(torch.randn(64, 1, 8, 8)).sum().backward()
    first, second = probe.layers
    assert (first.width, second.width) == (256, 6) and second.source == "1" and pytest.approx(1, rel=0.1) == first.C_W
    weight = model[3].weight.detach()
    assert pytest.approx(float(weight.square().mean()) * 4 * 16 / 4) == second.C_W


@pytest.mark.parametrize(
    ("norm", "shape", "eps"),
    [
        (nn.LayerNorm(32), (64, 32), 1e-5),
        (nn.RMSNorm(32, eps=1e-6), (64, 32), 1e-6),
        (nn.BatchNorm1d(32), (256, 32), 1e-5),
        (nn.BatchNorm2d(6), (8, 6, 8, 8), 1e-5),
        (nn.GroupNorm(2, 6), (8, 6, 8, 8), 1e-5),
        (nn.InstanceNorm2d(6), (8, 6, 8, 8), 1e-5),
    ],
)
def test_what_a_norm_adds_its_eps_to(norm, shape, eps):
    with StartProbe(nn.Sequential(norm, nn.Flatten(), nn.LazyLinear(1))) as probe:
        probe._model(3.0 + 1e-2 * torch.randn(shape))
    ((found, variance),) = probe.norms.values()
    expected = 9.0 if isinstance(norm, nn.RMSNorm) else 1e-4
    assert found == eps and variance == pytest.approx(expected, rel=0.2)


def test_layers_of_one_kind_have_a_line_of_their_own(tmp_path, capsys):
    look_once.look(Subject(*starts.gpt()), tmp_path / "run", "x", []).close(report=False)
    (start,) = open_run(tmp_path / "run").events("start")
    assert app(["show", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    signal, gradient = figures(start.data)
    labels = [trace["name"] for trace in signal["data"]]
    assert labels == [
        *(f"blocks.*.{part}" for part in ("qkv", "proj", "up", "down")),
        "others",
        "behind residual blocks",
    ]
    assert labels == [trace["name"] for trace in gradient["data"]]
    assert [len(trace["text"]) for trace in signal["data"]] == [6, 6, 6, 6, 1, 6]
    assert "RMS at the outputs of 6 residual blocks" in " ".join(shown.split())
    assert "gelu is critical at 1.983" in " ".join(shown.split())


def test_hazards_of_numbers_are_told(tmp_path, capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.Linear(32, 4)).to(torch.bfloat16)
    nn.init.normal_(model[0].weight, std=1e-4)
    nn.init.zeros_(model[0].bias)
    session = look_once.look(Subject(model, torch.randn(64, 32).bfloat16()), tmp_path / "run", "x", [])
    session.close(report=False)
    assert app(["show", str(tmp_path / "run")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "ε of 1, 1e-5, against a variance of" in shown and "2 weights are bfloat16: steps below" in shown
