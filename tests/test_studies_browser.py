"""A study's page and the atlas in a real browser: every plot is drawn, also in a row that is opened later."""

from __future__ import annotations

from pathlib import Path

from surefoot.studies import page, runner, store
from test_report_browser import attribute, dom, pytestmark  # noqa: F401
from test_studies import TOY

OPEN = """
<script>
(function wait() {
  var root = document.documentElement;
  if (!root.dataset.drawn) { setTimeout(wait, 20); return; }
  document.querySelector("details.card").open = true;
  setTimeout(function () {
    var charts = Array.from(document.querySelectorAll("details.card .chart"));
    root.dataset.widths = String(charts.every(c => c.querySelector("svg").getBoundingClientRect().width > 300));
    root.dataset.wide = String(root.scrollWidth > root.clientWidth);
  }, 1500);
})();
</script>
"""


def test_pages_draw_all_their_plots(tmp_path: Path) -> None:
    (result,) = runner.run([TOY], seeds=2, out=tmp_path, workers=1)
    text = dom(tmp_path / "toy" / "small" / "report.html", tmp_path / "browser")
    assert attribute(text, "error") is None and attribute(text, "drawn") == "2"
    atlas = tmp_path / "atlas.html"
    body = page.atlas([TOY], {"toy": result}, {"toy": store.plots_of(result, tmp_path)})
    atlas.write_text(body.replace("</body>", f"{OPEN}</body>"), encoding="utf-8")
    for width in (1300, 500):
        text = dom(atlas, tmp_path / f"browser{width}", width)
        assert attribute(text, "error") is None and attribute(text, "drawn") == "2"
        assert attribute(text, "widths") == "true" and attribute(text, "wide") == "false"
