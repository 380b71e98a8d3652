"use strict";

// Figures: each is drawn when it comes near the window, in the colours of the page's ground.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = new Set();

function template(isDark) {
  const text = isDark ? "#e8eaed" : "#1a1d21", line = isDark ? "#343a43" : "#d9dde3";
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      font: { color: text, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { bgcolor: isDark ? "#1d2128" : "#ffffff", font: { color: text } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: isDark ? "#a3abb6" : "#5a626d" },
    },
  };
}

// What a figure shows: of the reader's own zoom and choice of lines, what he has set stays when it is drawn again.
function figureOf(place) {
  const { data, layout } = JSON.parse(document.querySelector(`[data-figure="${place.id}"]`).textContent);
  const buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
  const options = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: buttons };
  return [data, { ...layout, autosize: true, uirevision: "kept", template: template(dark.matches) }, options];
}

function draw(place) {
  if (drawn.has(place)) return;
  drawn.add(place);
  Plotly.newPlot(place, ...figureOf(place));
}

function drawAll() {
  document.querySelectorAll(".plot").forEach(draw);
}

function recolour(isDark) {
  drawn.forEach((place) => Plotly.relayout(place, { template: template(isDark) }));
}

const near = new IntersectionObserver(
  (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => draw(e.target)), { rootMargin: "600px" });

if (window.Plotly) {
  document.querySelectorAll(".plot").forEach((place) => near.observe(place));
  dark.addEventListener("change", () => recolour(dark.matches));
  window.addEventListener("beforeprint", () => { drawAll(); recolour(false); });
  window.addEventListener("afterprint", () => recolour(dark.matches));
}

// Tables: a header sorts by its column, numbers as numbers; empty cells come last.
function key(row, column) {
  const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.replace(/,/g, "");
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortRows(head) {
  const up = head.getAttribute("aria-sort") === "ascending", body = head.closest("table").tBodies[0];
  const keyed = [...body.rows].map((row) => [key(row, head.cellIndex), row]);
  const empty = ([k]) => k === "" || k === "-";
  const full = keyed.filter((k) => !empty(k)).sort(([a], [b]) => (up ? 1 : -1) * compared(a, b));
  body.append(...[...full, ...keyed.filter(empty)].map(([, row]) => row));
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable th button")?.closest("th");
  if (!head) return;
  const up = head.getAttribute("aria-sort") !== "ascending";
  head.closest("tr").querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  sortRows(head);
});
