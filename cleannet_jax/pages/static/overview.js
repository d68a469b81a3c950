"use strict";
// The charts of the overview.

// Categories that are drawn at once: of 500 the axis alone would take seconds.
const MOST = 60;

const report = window.report;
const evaluated = report.entries.filter((entry) => entry.map);
const narrow = () => innerWidth < 640;

function errorBars(one) {
  if (!one.low) return undefined;
  return {
    type: "data", symmetric: false, thickness: 1.2, width: 3, color: colour("soft"),
    array: one.value.map((value, at) => one.high[at] - value),
    arrayminus: one.value.map((value, at) => value - one.low[at]),
  };
}

function drawMap() {
  const traces = evaluated.map((entry, place) => ({
    x: entry.map.tious, y: entry.map.value, name: text(cut(entry.name, 40)), mode: "lines+markers",
    line: { color: COLOURS[place % COLOURS.length], dash: place ? "dot" : "solid" },
    error_y: errorBars(entry.map), hovertemplate: "tIoU %{x}: %{y:.1f}<extra></extra>",
  }));
  draw("chart-map", traces, {
    height: 300, showlegend: evaluated.length > 1,
    xaxis: { title: { text: "tIoU" } }, yaxis: { title: { text: "mAP, %" }, range: [0, 100] },
  });
}

function drawCategories() {
  const order = document.getElementById("category-order").value;
  const by = {
    lowest: (a, b) => a.value - b.value, highest: (a, b) => b.value - a.value,
    name: (a, b) => (a.label < b.label ? -1 : 1), instances: (a, b) => b.instances - a.instances,
  };
  const all = evaluated[0].categories.slice().sort(by[order]);
  // The first on top.
  const rows = all.slice(0, MOST).reverse();
  document.getElementById("category-count").textContent = rows.length < all.length ? `The first ${rows.length} of ${all.length} in this order.` : "";
  const traces = evaluated.map((entry, place) => {
    const own = new Map(entry.categories.map((row) => [row.label, row]));
    const shown = rows.map((row) => own.get(row.label) || row);
    return {
      type: "scatter", mode: "markers", name: text(cut(entry.name, 40)),
      y: rows.map((_, at) => at + 0.15 * place), x: shown.map((row) => row.value),
      marker: { color: COLOURS[place % COLOURS.length], size: 9, symbol: place ? "diamond" : "circle" },
      error_x: shown.every((row) => row.low !== null) ? {
        type: "data", symmetric: false, thickness: 1.2, width: 0, color: COLOURS[place % COLOURS.length],
        array: shown.map((row) => row.high - row.value), arrayminus: shown.map((row) => row.value - row.low),
      } : undefined,
      customdata: shown.map((row) => [text(row.label), row.instances, number(row.low, 1), number(row.high, 1)]),
      hovertemplate: "%{customdata[0]}: %{x:.1f}<br>%{customdata[2]} to %{customdata[3]}<br>%{customdata[1]} instances<extra></extra>",
    };
  });
  draw("chart-categories", traces, {
    height: 90 + 24 * rows.length, showlegend: evaluated.length > 1, margin: { l: narrow() ? 130 : 250, r: 8, t: 44, b: 40 },
    legend: { orientation: "h", y: 0, yanchor: "top", x: 0 },
    xaxis: { title: { text: "AP, %" }, range: [-2, 102], side: "top" },
    yaxis: {
      tickvals: rows.map((_, at) => at), range: [-0.7, rows.length - 0.3], automargin: false,
      ticktext: rows.map((row) => `${text(cut(row.label, narrow() ? 14 : 32))} (${row.instances})`), fixedrange: true,
    },
  });
}

function drawTypes() {
  const found = evaluated[0].errors;
  const bars = found.types.map((type, at) => ({
    type: "bar", name: type, x: found.shares.map((_, multiple) => `${multiple + 1}`), y: found.shares.map((row) => row[at]),
    marker: { color: TYPE_COLOURS[at] }, hovertemplate: `${type}: %{y:.1f}%<extra></extra>`,
  }));
  draw("chart-errors", bars, {
    height: 380, barmode: "stack", bargap: 0.25, xaxis: { title: { text: "detections, times G" }, type: "category" },
    yaxis: { title: { text: "share, %" } }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal" },
  });
}

function drawImpact() {
  const kinds = evaluated[0].errors.types.slice(1);
  draw("chart-impact", evaluated.map((entry, place) => ({
    type: "bar", name: text(cut(entry.name, 40)), x: kinds, y: entry.errors.impact,
    text: entry.errors.impact.map((value) => number(value, 1)), textposition: "outside", cliponaxis: false,
    marker: { color: evaluated.length > 1 ? COLOURS[place % COLOURS.length] : TYPE_COLOURS.slice(1) },
    hovertemplate: "%{x}: +%{y:.2f}<extra></extra>",
  })), { height: 380, showlegend: evaluated.length > 1, yaxis: { title: { text: "points of mAP" }, rangemode: "tozero" }, margin: { l: 8, r: 8, t: 30, b: 30 } });
}

function drawBins(id, key, title) {
  const found = evaluated[0].characteristics;
  const traces = found.map((one, place) => ({
    type: "bar", name: one.name, x: [one.sizes.map(() => one.name), one.sizes], y: one[key],
    text: one[key].map((value) => (value === null ? "" : number(value, 0))), textposition: "outside", cliponaxis: false,
    marker: { color: COLOURS[place] },
    customdata: one.sizes.map((_, at) => [one.count[at], one.edges[at] === null ? "above" : `up to ${one.edges[at]}`]),
    hovertemplate: "%{x}, %{customdata[1]}: %{y:.1f}<br>%{customdata[0]} instances<extra></extra>",
  }));
  const whole = key === "map" ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: found[0].whole, y1: found[0].whole, line: { color: colour("soft"), dash: "dot", width: 1.5 } }] : [];
  draw(id, traces, { height: 300, showlegend: false, shapes: whole, yaxis: { title: { text: title }, range: [0, 112] }, xaxis: { type: "multicategory" } });
}

function drawAblation() {
  const rows = report.ablation.slice().reverse();
  const points = { x: [], y: [], seed: [] };
  rows.forEach((row, at) => row.mean.forEach((value, seed) => { points.x.push(value); points.y.push(at); points.seed.push(row.seeds[seed]); }));
  const means = rows.map((row) => row.mean.reduce((sum, value) => sum + value, 0) / row.mean.length);
  draw("chart-ablation", [
    { type: "scatter", mode: "markers", x: points.x, y: points.y, marker: { color: COLOURS[4], size: 7, opacity: 0.75 }, name: "a seed", customdata: points.seed, hovertemplate: "%{x:.1f}, seed %{customdata}<extra></extra>" },
    { type: "scatter", mode: "markers", x: means, y: rows.map((_, at) => at), marker: { color: colour("text"), symbol: "line-ns-open", size: 14, line: { width: 2.5 } }, name: "mean", hovertemplate: "mean %{x:.1f}<extra></extra>" },
  ], {
    height: 70 + 24 * rows.length, xaxis: { title: { text: "mean mAP, %" }, rangemode: "tozero" },
    yaxis: { tickvals: rows.map((_, at) => at), ticktext: rows.map((row) => text(cut(row.method, narrow() ? 22 : 40))), range: [-0.7, rows.length - 0.3], fixedrange: true },
  });
}

function drawComparisons() {
  const pairs = report.comparisons.slice().reverse();
  draw("chart-comparisons", [{
    type: "scatter", mode: "markers", x: pairs.map((pair) => pair.value), y: pairs.map((_, at) => at),
    marker: { size: 9, color: COLOURS[0], symbol: pairs.map((pair) => (pair.real ? "circle" : "circle-open")) },
    error_x: { type: "data", symmetric: false, thickness: 1.5, color: COLOURS[0], array: pairs.map((pair) => pair.high - pair.value), arrayminus: pairs.map((pair) => pair.value - pair.low) },
    customdata: pairs.map((pair) => [pair.low, pair.high, pair.real ? "more than noise" : "not more than noise"]),
    hovertemplate: "%{x:+.2f}, %{customdata[0]:+.2f} to %{customdata[1]:+.2f}<br>%{customdata[2]}<extra></extra>",
  }], {
    height: 70 + 24 * pairs.length, xaxis: { title: { text: "points of mAP" }, zeroline: true, zerolinecolor: colour("text") },
    yaxis: { tickvals: pairs.map((_, at) => at), ticktext: pairs.map((pair) => text(narrow() ? `${cut(pair.pair[0], 12)} - ${cut(pair.pair[1], 12)}` : pair.pair.join(" - "))), range: [-0.7, pairs.length - 0.3], fixedrange: true },
  });
}

function drawCurves() {
  const all = report.entries.flatMap((entry, place) => entry.curves.map((curve) => ({ ...curve, place, of: entry.name })));
  const names = [...new Set(all.map((curve) => curve.name))];
  const traces = all.map((curve) => {
    const at = names.indexOf(curve.name) + 1;
    return {
      x: curve.steps, y: curve.values, mode: "lines", connectgaps: false, showlegend: false,
      xaxis: at > 1 ? `x${at}` : "x", yaxis: at > 1 ? `y${at}` : "y",
      line: { color: COLOURS[curve.place % COLOURS.length], width: 1.6 },
      hovertemplate: `step %{x}: %{y:.4g}<extra>${text(cut(curve.of, 30))}, ${text(curve.stage)}</extra>`,
    };
  });
  const columns = narrow() ? 1 : Math.min(2, names.length);
  const lines = Math.ceil(names.length / columns);
  const made = { height: 40 + 210 * lines, annotations: [], margin: { l: 8, r: 8, t: 26, b: 8 } };
  names.forEach((name, index) => {
    const row = Math.floor(index / columns), column = index % columns, key = index ? index + 1 : "";
    const top = 1 - row / lines, low = top - 1 / lines + 0.3 / lines;
    const x = [column / columns + (column ? 0.05 : 0), (column + 1) / columns - (column + 1 < columns ? 0.02 : 0)];
    made[`xaxis${key}`] = { domain: x, anchor: `y${key}`, title: row === lines - 1 ? { text: "step" } : undefined };
    made[`yaxis${key}`] = { domain: [low, top], anchor: `x${key}` };
    made.annotations.push({ text: text(name), showarrow: false, xref: "paper", yref: "paper", x: x[0], y: top, yanchor: "bottom", xanchor: "left", font: { size: 13 } });
  });
  draw("chart-curves", traces, made);
}

// Each chart is drawn once it is near what is seen, so that the page opens at once.
function whenNear(charts) {
  const waiting = new Map();
  const now = (place) => {
    observer.unobserve(place);
    drawn(waiting.get(place));
    waiting.delete(place);
  };
  const observer = new IntersectionObserver((found) => {
    for (const one of found) if (one.isIntersecting && waiting.has(one.target)) now(one.target);
  }, { rootMargin: "300px" });
  for (const [id, render] of Object.entries(charts)) {
    const place = document.getElementById(id);
    waiting.set(place, render);
    observer.observe(place);
  }
  addEventListener("beforeprint", () => [...waiting.keys()].forEach(now));
}

const charts = {};
if (evaluated.length) {
  Object.assign(charts, {
    "chart-map": drawMap, "chart-categories": drawCategories, "chart-errors": drawTypes, "chart-impact": drawImpact,
    "chart-sensitivity": () => drawBins("chart-sensitivity", "map", "normalised mAP, %"),
    "chart-missed": () => drawBins("chart-missed", "missed", "missed, %"),
  });
  if (evaluated[0].errors.other_protocol) document.getElementById("errors-note").append(" Matched as ActivityNet matches, by which types are defined, and not by the protocol of the mAP above.");
}
if (report.ablation.length) charts["chart-ablation"] = drawAblation;
if (report.comparisons.length) {
  document.getElementById("comparisons").hidden = false;
  charts["chart-comparisons"] = drawComparisons;
}
if (report.entries.some((entry) => entry.curves.length)) {
  document.getElementById("training-section").hidden = false;
  charts["chart-curves"] = drawCurves;
}
whenNear(charts);
const order = document.getElementById("category-order");
if (order) order.addEventListener("change", drawCategories);
