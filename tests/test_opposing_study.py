"""The study of opposing signals, its pictures and data, and the page that documents it."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot.analysis.outliers import montage, opposing_groups, picture_groups
from surefoot.studies import find
from surefoot.studies.frame import judge, stack
from surefoot.studies.problems import fashion
from surefoot.studies.problems.fashion import FILES, NAMES, clothes


def test_the_smoke_scale_measures_every_claim_and_finds_what_was_planted():
    study = find("opposing")
    result = study.run("smoke", 0)
    verdicts = judge(study, stack([result.measured]))
    assert len(verdicts) == len(study.claims)
    found = next(v for v in verdicts if v.claim.measured == "precision")
    assert found.holds and found.values["precision"] == (1.0,)
    names = {figure.name for figure in result.figures}
    assert {"toy-sharpness", "planted-pictures", "planted-changes", "natural-pictures", "optimizer-shares"} <= names
    assert result.notes and "synthetic" in result.notes[0]


def test_a_montage_puts_tiles_side_by_side_with_gaps():
    images = torch.arange(3.0).reshape(3, 1, 1).expand(3, 2, 2)
    sheet = montage(images, columns=2)
    assert sheet.shape == (5, 5)
    assert torch.equal(sheet[:2, :2], images[0]) and torch.equal(sheet[:2, 3:], images[1])
    assert torch.equal(sheet[3:, :2], images[2])
    assert bool(sheet[2].isnan().all()) and bool(sheet[:, 2].isnan().all()) and bool(sheet[3:, 3:].isnan().all())


def test_groups_are_pictured_with_their_labels():
    images = torch.rand(30, 4, 4)
    labels = ["cat"] * 15 + ["dog"] * 15
    plot = picture_groups(images, torch.tensor([0, 1, 20]), torch.tensor([29, 28]), labels, title="x")
    assert plot.layout.yaxis.ticktext == ("loss rose<br>2 × cat<br>1 × dog", "loss fell<br>2 × dog")
    one_sided = picture_groups(images, torch.tensor([], dtype=torch.long), torch.tensor([3]))
    assert one_sided.layout.yaxis.ticktext == ("loss fell<br>1 samples",)
    for call in (
        lambda: picture_groups(images, torch.tensor([]).long(), torch.tensor([]).long()),
        lambda: montage(torch.rand(4, 4)),
        lambda: montage(images, columns=0),
    ):
        with pytest.raises(ValueError, match=r"up, down|images|columns"):
            call()


def test_the_groups_plot_has_a_line_for_each():
    delta = torch.tensor([[1.0, -1, 0, 0], [-1.0, 1, 0, 0], [1.0, -1, 0, 0]])
    plot = opposing_groups(delta, k=1).plot(title="mine")
    assert [trace.name for trace in plot.data] == ["up (1 samples)", "down (1 samples)"]
    assert list(plot.data[0].y) == [1, -1, 1] and plot.layout.title.text == "mine"


def test_pictures_come_from_the_folder_or_are_synthetic(tmp_path):
    made = clothes(50, tmp_path)
    assert made.synthetic and made.images.shape == (50, 784) and float(made.images.min()) >= 0
    assert torch.equal(made.images, clothes(50, None).images)
    pixels = np.arange(3 * 784, dtype=np.uint8)
    images, labels = FILES
    (tmp_path / images).write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))
    (tmp_path / labels).write_bytes(gzip.compress(bytes(8) + bytes([9, 0, 3])))
    real = clothes(2, tmp_path)
    assert not real.synthetic and real.names == NAMES and real.labels.tolist() == [9, 0]
    assert torch.allclose(real.images, torch.tensor(pixels[: 2 * 784].reshape(2, 784) / 255, dtype=torch.float32))
    with pytest.raises(ValueError, match="n: got 0"):
        clothes(0, None)


def test_fetching_keeps_whole_files_and_nothing_else(tmp_path, monkeypatch):
    good = {name: gzip.compress(name.encode()) for name in FILES}
    monkeypatch.setattr(fashion, "FILES", {n: hashlib.sha256(n.encode()).hexdigest() for n in FILES})
    asked = []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(served[address.rsplit("/", 1)[1]])

    monkeypatch.setattr(fashion.urllib.request, "urlopen", answer)
    served = dict.fromkeys(FILES, b"<html>not found</html>")
    with pytest.raises(OSError, match="not the file"):
        fashion.fetch(tmp_path)
    assert not list(tmp_path.iterdir())
    served = good
    fashion.fetch(tmp_path)
    fashion.fetch(tmp_path)
    assert len(asked) == 3 and {p.name for p in tmp_path.iterdir()} == set(FILES)


def test_the_example_of_the_docs_runs_and_finds_the_classes(capsys):
    torch.manual_seed(0)
    page = (Path(__file__).parent.parent / "docs" / "opposing.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    exec(compile(code, "docs/opposing.md", "exec"), {})
    said = capsys.readouterr().out
    assert "opposing groups: yes" in said
    assert re.search(r"classes \{(3|8): \d+", said)
