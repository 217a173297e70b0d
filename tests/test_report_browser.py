"""The report in a real browser: every figure is drawn, nothing fails, nothing of the user's runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sample_run import SAMPLES
from surefoot.report import html
from surefoot.runs import open_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the report")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=20000",
    "--dump-dom",
)
# What a reader does: sort by parameters, up and down; then tell what the first rows are.
SORT = """
<script>
(function wait() {
  var root = document.documentElement;
  if (!root.dataset.drawn) { setTimeout(wait, 20); return; }
  var buttons = Array.from(document.querySelectorAll("table.layers th button"));
  var button = buttons.find(b => b.textContent === "Parameters");
  var column = button.parentNode.cellIndex;
  var first = () => document.querySelector("table.layers tbody tr").cells[column].textContent;
  button.click();
  root.dataset.least = first();
  button.click();
  root.dataset.most = first();
  root.dataset.wide = String(root.scrollWidth > root.clientWidth);
})();
</script>
"""


def dom(page: Path, scratch: Path, width: int = 1300, *flags: str) -> str:
    command = [
        str(CHROMIUM),
        *FLAGS,
        *flags,
        f"--user-data-dir={scratch}",
        f"--window-size={width},1200",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def attribute(text: str, name: str) -> str | None:
    match = re.search(rf'<html[^>]* data-{name}="([^"]*)"', text)
    return match[1] if match else None


@pytest.mark.parametrize("name", ["failing", "large", "nonfinite", "nasty", "gan"])
def test_every_figure_is_drawn_without_an_error(name: str, tmp_path: Path) -> None:
    run = open_run(SAMPLES[name]().write(tmp_path / "run"))
    page = html.write(run, tmp_path / "report.html")
    text = dom(page, tmp_path / "browser")
    assert attribute(text, "error") is None
    wanted = text.count("data-figure=")
    assert wanted and attribute(text, "drawn") == str(wanted)
    body = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    assert body.count('class="main-svg"') >= wanted
    # Colours are those of the page, not names of variables.
    assert "var(--" not in re.sub(r"<style\b.*?</style>", "", body, flags=re.DOTALL)
    assert not re.search(r"<img\b[^>]*onerror", body)
    assert "javascript:" not in body


@pytest.mark.parametrize("flags", [(), ("--blink-settings=preferredColorScheme=0",)], ids=["light", "dark"])
def test_the_table_sorts_and_the_page_is_no_wider_than_the_window(flags: tuple[str, ...], tmp_path: Path) -> None:
    run = open_run(SAMPLES["failing"]().write(tmp_path / "run"))
    page = html.write(run, tmp_path / "report.html")
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{SORT}</body>"), encoding="utf-8")
    text = dom(page, tmp_path / "browser", 500, *flags)
    assert attribute(text, "error") is None
    assert attribute(text, "least") == "256"
    assert attribute(text, "most") == "66,048"
    assert attribute(text, "wide") == "false"
