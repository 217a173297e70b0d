"""The page of a sweep in a real browser: every plot is drawn, and nothing is wider than the window."""

from __future__ import annotations

from pathlib import Path

from surefoot.report import sweep_page
from test_report_browser import attribute, dom, pytestmark  # noqa: F401
from test_sweep import outcome, swept


def test_the_page_draws_all_its_plots(tmp_path: Path) -> None:
    sizes, rates = (1e3, 1e4, 1e5), ("0.01", "0.1")
    found = swept([outcome(n, lr, logits=n**0.5, gradient=1e9 / n, loss=1 + float(lr)) for n in sizes for lr in rates])
    path = sweep_page.write(found, tmp_path / "report.html")
    for width in (1300, 500):
        text = dom(path, tmp_path / f"browser{width}", width)
        assert attribute(text, "error") is None and attribute(text, "drawn") == "3"
