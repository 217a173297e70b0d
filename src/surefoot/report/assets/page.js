(function () {
  "use strict";
  var root = document.documentElement;
  window.addEventListener("error", function (event) { root.dataset.error = event.message; });

  var figures = JSON.parse(document.getElementById("figures").textContent);
  var places = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  var template = JSON.parse(document.getElementById("template").textContent);
  var config = { displayModeBar: false };

  // A copy of a figure in which "var(--name)" is the colour that the page has now.
  function coloured(value, style) {
    if (typeof value === "string") {
      var name = value.slice(0, 6) === "var(--" && value.slice(4, -1);
      return name ? style.getPropertyValue(name).trim() : value;
    }
    if (Array.isArray(value)) return value.map(function (item) { return coloured(item, style); });
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = coloured(value[key], style); });
      return copy;
    }
    return value;
  }

  function draw(place) {
    if (!place.clientWidth) return null; // folded away: drawn when it is unfolded
    var figure = figures[Number(place.dataset.figure)];
    var style = getComputedStyle(root);
    var layout = coloured(figure.layout, style);
    layout.template = coloured(template, style);
    layout.width = place.clientWidth;
    if (place.clientWidth < 560) {
      // Module names would leave no room for the picture; a touch on a cell tells the name.
      if (layout.yaxis.tickvals) layout.yaxis.showticklabels = false;
      layout.margin = Object.assign({}, layout.margin, { l: 44, r: 6 });
    }
    return window.Plotly.react(place, coloured(figure.data, style), layout, config);
  }

  function drawAll() { places.forEach(draw); }

  // One figure at a time, so that the page can be read and scrolled meanwhile.
  function drawFrom(index) {
    if (index >= places.length) { root.dataset.drawn = String(places.length); return; }
    draw(places[index]);
    setTimeout(function () { drawFrom(index + 1); }, 0);
  }
  if (window.Plotly) {
    drawFrom(0);
    var resized = new ResizeObserver(function (entries) {
      entries.forEach(function (entry) {
        var place = entry.target, width = entry.contentRect.width;
        var drawn = place._fullLayout;
        if (width && (!drawn || Math.abs(drawn.width - width) > 1)) draw(place);
      });
    });
    places.forEach(function (place) { resized.observe(place); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    // Figures have the width and the colours of paper before they are printed.
    window.addEventListener("beforeprint", function () { root.classList.add("printing"); drawAll(); });
    window.addEventListener("afterprint", function () { root.classList.remove("printing"); drawAll(); });
  }

  document.querySelectorAll(".copy").forEach(function (button) {
    button.addEventListener("click", function () {
      var code = button.parentNode.querySelector("code");
      function told() {
        button.textContent = "Copied";
        button.classList.add("done");
        setTimeout(function () { button.textContent = "Copy"; button.classList.remove("done"); }, 1500);
      }
      function select() {
        // Without the clipboard's permission: select, so that one key copies.
        var range = document.createRange();
        range.selectNodeContents(code);
        var selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        if (document.execCommand("copy")) told();
      }
      if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(told, select);
      else select();
    });
  });

  document.querySelectorAll("table.layers").forEach(function (table) {
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var rows = Array.prototype.slice.call(table.tBodies[0].rows);
        var keys = new Map(rows.map(function (row) { return [row, row.cells[column].dataset.v]; }));
        rows.sort(function (a, b) {
          var left = keys.get(a), right = keys.get(b);
          // What was not measured stays at the end, whichever way.
          if (left === "" || right === "") return (left === "") - (right === "");
          var order = head.dataset.text ? left.localeCompare(right) : Number(left) - Number(right);
          return down ? -order : order;
        });
        rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
      });
    });
  });
})();
