"use strict";

// Draws each figure.chart from its own table with uPlot, and folds the table. Without this script the table is there to
// be read. Columns after the first are the lines; empty cells are gaps.
function drawChart(figure) {
  if (figure.querySelector(".plot")) return;
  const table = figure.querySelector("table");
  const names = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent.trim());
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length < 2) return;
  const data = names.map((_, column) =>
    rows.map((row) => {
      const value = row.cells[column].dataset.value;
      return value === "" ? null : Number(value);
    }),
  );
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const palette = [colour("--accent"), colour("--more"), colour("--warn"), colour("--less"), colour("--quiet")];
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const isPoints = figure.dataset.kind === "points";
  const series = names.slice(1).map((label, index) => ({
    label,
    stroke: palette[index % palette.length],
    width: isPoints && index === 0 ? 0 : 2,
    dash: index < palette.length ? undefined : [6, 4],
    points: { show: isPoints && index === 0, size: 7, fill: palette[0] },
    spanGaps: false,
    fill: figure.dataset.kind === "area" ? palette[index % palette.length] + "22" : undefined,
  }));
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", figure.querySelector("figcaption").textContent.trim());
  const details = figure.querySelector("details");
  figure.insertBefore(plot, details);
  details.open = false;
  const size = () => ({ width: Math.max(240, figure.clientWidth), height: 240 });
  const chart = new uPlot(
    {
      ...size(),
      scales: { x: { time: figure.dataset.axis === "time" } },
      axes: [axis, { ...axis, size: 56 }],
      series: [{ label: names[0] }, ...series],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    },
    data,
    plot,
  );
  new ResizeObserver(() => chart.setSize(size())).observe(figure);
}

function drawCharts(root) {
  root.querySelectorAll("figure.chart").forEach(drawChart);
}

document.addEventListener("DOMContentLoaded", () => drawCharts(document));
document.addEventListener("htmx:load", (event) => drawCharts(event.target));
// Pages that say what is wrong are shown where the part was to be put.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
// Forms that ask before they are sent say what in data-confirm.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
// A part that says something of a field outside of it: data-sets is the field's id, data-name and data-value are an
// attribute of it.
document.addEventListener("htmx:afterSwap", (event) => {
  event.target.querySelectorAll("[data-sets]").forEach((part) => {
    document.getElementById(part.dataset.sets).setAttribute(part.dataset.name, part.dataset.value);
  });
});
// A slider for a number field: data-slides is the field's id. Without this script there is the field alone.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("input[data-slides]").forEach((slider) => {
    const field = document.getElementById(slider.dataset.slides);
    slider.hidden = false;
    slider.addEventListener("input", () => (field.value = Math.floor(slider.value * 1000) / 1000));
    field.addEventListener("input", () => (slider.value = field.value));
  });
});
