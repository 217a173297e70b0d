"""The callbacks of Lightning and of Hugging Face's Trainer, in real trainers on the CPU."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot
from surefoot.integrations.fit import Fit
from surefoot.runs import open_run

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 20, generator=generator)
    return TensorDataset(x, x[:, :5].argmax(1))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def identical(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class TestLightning:
    @pytest.fixture(autouse=True)
    def needs_lightning(self) -> None:
        pytest.importorskip("lightning", reason="lightning isn't installed")

    def fit(self, callbacks: list, rate: float = 0.1, epochs: int = 3, fails_at: int = -1, **options) -> tuple:
        import lightning

        class Classifier(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = network()

            def training_step(self, batch, index):
                if self.global_step == fails_at:
                    raise RuntimeError("mine")
                loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
                self.log("train", loss)
                return loss

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=rate)

        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        model = Classifier()
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, callbacks=callbacks, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, **{"logger": False, **options},
        )  # fmt: skip
        torch.manual_seed(3)
        loader = DataLoader(data(), batch_size=32, shuffle=True)
        trainer.fit(model, loader)
        return weights(model), torch.get_rng_state()

    @pytest.mark.filterwarnings("ignore")
    def test_a_fit_is_recorded_and_bit_identical(self, empty_folder: Path) -> None:
        from surefoot.integrations.lightning import SurefootCallback

        bare, state = self.fit([])
        for every in (None, 1):
            callback = SurefootCallback(out=f"run{every}", look_every=every)
            watched, state_too = self.fit([callback])
            assert identical(bare, watched) and torch.equal(state, state_too)
            run = open_run(callback.path)
            assert run.steps == 24 and run.diagnosis["exit"] == {"code": 0, "exception": None}
            assert run.diagnosis["verdict"] != "failing" and "net.0" in run.frame("gradient_rms").columns

    @pytest.mark.filterwarnings("ignore")
    def test_findings_go_to_the_loggers(self, empty_folder: Path) -> None:
        from lightning.pytorch.loggers import CSVLogger

        from surefoot.integrations.lightning import SurefootCallback

        seen: list[str] = []
        callback = SurefootCallback(out="run", look_every=4, on_finding=lambda finding: seen.append(finding.id))
        logger = CSVLogger("logs", flush_logs_every_n_steps=1)
        self.fit([callback], rate=300.0, epochs=5, logger=logger, log_every_n_steps=1)
        assert "learning-rate-too-high" in seen
        assert "surefoot/learning-rate-too-high" in (Path(logger.log_dir) / "metrics.csv").read_text()
        assert any(finding.severity == "critical" for finding in callback.findings)

    @pytest.mark.filterwarnings("ignore")
    def test_closed_on_an_exception_and_stopped_when_told(self, empty_folder: Path) -> None:
        from surefoot.integrations.lightning import SurefootCallback

        failing = SurefootCallback(out="fails")
        with pytest.raises(RuntimeError, match="mine"):
            self.fit([failing], fails_at=9)
        assert open_run(failing.path).diagnosis["exit"] == {"code": 1, "exception": "RuntimeError"}
        stopping = SurefootCallback(out="stops", stop_on="critical")
        with pytest.raises(surefoot.TrainingStopped):
            self.fit([stopping], rate=300.0, epochs=500)
        assert open_run(stopping.path).diagnosis["exit"]["code"] == 3


HUGGING = """
import sys, torch
from transformers import Trainer, TrainingArguments
from surefoot.integrations.huggingface import SurefootCallback
from test_integrations import Classifier, Rows
args = TrainingArguments("out", max_steps=20, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no")
Trainer(Classifier(fails_at=9), args, train_dataset=Rows(), callbacks=[SurefootCallback(out="run")]).train()
"""


class Rows(torch.utils.data.Dataset):
    """What Hugging Face's Trainer takes: dictionaries of named tensors."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        x, y = data()[index]
        return {"x": x, "labels": y}


class Classifier(nn.Module):
    """A model that returns its loss, as transformers' do."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.net = network()
        self.calls, self.fails_at = 0, fails_at

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("mine")
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def needs_transformers(self) -> None:
        pytest.importorskip("transformers", reason="transformers isn't installed")
        pytest.importorskip("accelerate", reason="accelerate isn't installed")

    def train(self, callbacks: list, rate: float = 0.1, steps: int = 24):
        from transformers import Trainer, TrainingArguments

        args = TrainingArguments(
            "out", max_steps=steps, learning_rate=rate, optim="sgd", per_device_train_batch_size=32, use_cpu=True,
            report_to=[], disable_tqdm=True, save_strategy="no", logging_steps=1000, seed=3,
        )  # fmt: skip
        model = Classifier()
        trainer = Trainer(model, args, train_dataset=Rows(), callbacks=callbacks)
        trainer.train()
        return weights(model), torch.get_rng_state(), trainer

    @pytest.mark.filterwarnings("ignore")
    def test_training_is_recorded_and_bit_identical(self, empty_folder: Path) -> None:
        from surefoot.integrations.huggingface import SurefootCallback

        bare, state, _ = self.train([])
        for every in (None, 1):
            callback = SurefootCallback(out=f"run{every}", look_every=every)
            watched, state_too, _ = self.train([callback])
            assert identical(bare, watched) and torch.equal(state, state_too)
            run = open_run(callback.path)
            assert run.steps == 24 and run.diagnosis["exit"] == {"code": 0, "exception": None}
            assert run.diagnosis["verdict"] != "failing" and "net.0" in run.frame("gradient_rms").columns

    @pytest.mark.filterwarnings("ignore")
    def test_findings_go_to_the_history(self, empty_folder: Path) -> None:
        from surefoot.integrations.huggingface import SurefootCallback

        callback = SurefootCallback(out="run", look_every=1)
        history = self.train([callback], rate=3000.0, steps=80)[2].state.log_history
        logged = {key: entry[key] for entry in history for key in entry if key.startswith("surefoot/")}
        assert logged["surefoot/learning-rate-too-high"] == 3
        assert any(finding.severity == "critical" for finding in callback.findings)

    def test_an_exception_closes_the_run_at_exit(self, empty_folder: Path) -> None:
        tests = Path(__file__).parent
        environment = {**os.environ, "PYTHONPATH": str(tests)}
        done = subprocess.run(
            [sys.executable, "-c", HUGGING], capture_output=True, text=True, timeout=180, env=environment
        )
        assert done.returncode == 1 and "RuntimeError: mine" in done.stderr
        diagnosis = json.loads(Path("run/diagnosis.json").read_text())
        assert diagnosis["exit"] == {"code": 1, "exception": "RuntimeError"} and diagnosis["steps"] >= 6


def test_the_trainer_knows_the_model() -> None:
    with pytest.raises(TypeError, match="model is known"):
        Fit({"model": None}, print)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("lightning", "lightning", "lightning"), ("huggingface", "transformers", "huggingface")],
)
def test_the_extra_is_named(module: str, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules.update({{'{package}': None, 'pytorch_lightning': None}})\n"
        f"try: import surefoot.integrations.{module}\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"surefoot[{extra}]" in done.stdout, done.stderr
