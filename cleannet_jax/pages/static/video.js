"use strict";
// One video: bars, scores and signals on one time axis, and how a score adds up.

const report = window.report;
const get = (id) => document.getElementById(id);
const truth = report.truth;
const narrow = () => innerWidth < 640;
// Rows of bars that are drawn without choosing a category; lines of the SCP.
const ROWS = 6, MOST_ROWS = 16, LINES = 4;
// Of the lines of the SCP, apart from the colours of types.
const LINE_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

const scores = report.entries.flatMap((entry) => entry.score.filter((score) => score !== null));
const lowest = scores.reduce((a, b) => Math.min(a, b), Infinity), highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
let selected = null; // { kind: "truth" or "found", row, entry }

function state() {
  const part = Number(get("threshold").value) / 1000;
  const select = get("entry");
  return {
    category: get("category").value === "" ? null : Number(get("category").value),
    least: part > 0 && scores.length ? lowest + part * (highest - lowest) : -Infinity,
    most: get("most").value === "" ? Infinity : Number(get("most").value),
    entry: report.entries[select ? Number(select.value) : 0],
  };
}

// The rows of an entry's detections that are drawn, the best first.
function rowsOf(entry, now) {
  const rows = [];
  for (let row = 0; row < entry.label.length && rows.length < now.most; row++) {
    const fits = now.category === null || entry.label[row] === now.category;
    if (fits && (entry.score[row] === null || entry.score[row] >= now.least)) rows.push(row);
  }
  return rows;
}

function shownCategories(now) {
  if (now.category !== null) return [now.category];
  const best = report.entries.flatMap((entry) => rowsOf(entry, now).map((row) => entry.label[row]));
  const annotated = new Set(truth.label);
  const shown = [...new Set([...annotated, ...best])].slice(0, Math.min(Math.max(ROWS, annotated.size), MOST_ROWS));
  const own = selected === null ? [] : [segmentOf(selected).label];
  return own.every((label) => shown.includes(label)) ? shown : [...own, ...shown.slice(0, -1)];
}

// Lanes in which no bar overlaps another; what finds no place is in the last.
function lanes(starts, ends, most) {
  const free = [];
  return starts.map((start, at) => {
    let lane = free.findIndex((end) => end <= start);
    if (lane < 0) lane = free.length < most ? free.length : most - 1;
    free[lane] = Math.max(free[lane] === undefined ? -Infinity : free[lane], ends[at]);
    return lane;
  });
}

function seconds(value) {
  return Number(value).toFixed(2);
}

function bar(rows, place, height, colours, hover, custom) {
  return {
    type: "bar", orientation: "h", base: rows.map((row) => row.start), x: rows.map((row) => row.end - row.start), y: rows.map((row) => row.y),
    width: height, marker: { color: colours, opacity: rows.map((row) => row.opacity), line: { color: rows.map((row) => (row.isSelected ? colour("text") : colour("back"))), width: rows.map((row) => (row.isSelected ? 2.5 : 0.5)) } },
    hovertext: hover, hovertemplate: "%{hovertext}<extra></extra>", textposition: "none", customdata: custom, showlegend: false, yaxis: place,
  };
}

function isSelected(kind, row, entry) {
  return selected !== null && selected.kind === kind && selected.row === row && (kind === "truth" || selected.entry === entry);
}

function drawBars(now, traces, ticks) {
  const categories = shownCategories(now);
  let y = 0;
  const good = TYPE_COLOURS;
  for (const category of categories) {
    const name = report.categories[category];
    const own = truth.label.map((label, row) => row).filter((row) => truth.label[row] === category);
    if (own.length) {
      const rows = own.map((row) => ({ start: truth.start[row], end: truth.end[row], y, opacity: 1, isSelected: isSelected("truth", row) }));
      traces.push(bar(rows, "y", 0.8, colour("bar-truth"),
        own.map((row) => `annotated: ${text(cut(name, 60))}<br>${seconds(truth.start[row])} to ${seconds(truth.end[row])} s`), own.map((row) => ["truth", row, 0])));
    }
    ticks.push([y, `<b>${text(cut(name, narrow() ? 10 : 24))}</b>`]);
    y -= own.length ? 1 : 0.6;
    report.entries.forEach((entry, number_) => {
      const some = rowsOf(entry, now).filter((row) => entry.label[row] === category && entry.start[row] !== null && entry.end[row] !== null);
      if (!some.length) return;
      const at = lanes(some.map((row) => entry.start[row]), some.map((row) => entry.end[row]), 4);
      const best = entry.score[some[0]];
      const rows = some.map((row, index) => ({
        start: entry.start[row], end: entry.end[row], y: y - 0.5 * at[index], isSelected: isSelected("found", row, number_),
        opacity: best > 0 && entry.score[row] !== null ? 0.35 + 0.65 * Math.max(0, Math.min(1, entry.score[row] / best)) : 0.8,
      }));
      traces.push(bar(rows, "y", 0.42, some.map((row) => good[entry.type[row]]),
        some.map((row) => `${report.entries.length > 1 ? `${text(cut(entry.name, 40))}<br>` : ""}found: ${text(cut(name, 60))}, score ${number(entry.score[row], 3)}<br>${seconds(entry.start[row])} to ${seconds(entry.end[row])} s<br>${report.types[entry.type[row]]}`),
        some.map((row) => ["found", row, number_])));
      ticks.push([y, report.entries.length > 1 ? text(cut(entry.name, narrow() ? 9 : 20)) : "found"]);
      y -= 0.5 * (Math.max(...at) + 1) + 0.35;
    });
    y -= 0.25;
  }
  return { low: y, categories };
}

// Segments at the height of their score, one line with gaps for each colour.
function drawScores(now, traces) {
  const place = report.entries.indexOf(now.entry);
  const rows = rowsOf(now.entry, now);
  const found = now.entry.signals;
  if (found) {
    const x = [], y = [];
    found.categories.forEach((category, at) => {
      if (now.category !== null ? category !== now.category : at >= LINES) return;
      const own = found.proposals[at];
      own.start.forEach((start, row) => {
        if (own.score[row] < now.least) return;
        x.push(start, own.end[row], null);
        y.push(own.score[row], own.score[row], null);
      });
    });
    if (x.length) traces.push({ type: "scatter", mode: "lines", x, y, yaxis: "y2", name: "proposals", line: { color: colour("soft"), width: 1 }, opacity: 0.55, hoverinfo: "skip", showlegend: true });
  }
  report.types.forEach((type, kind) => {
    const own = rows.filter((row) => now.entry.type[row] === kind && now.entry.score[row] !== null);
    if (!own.length) return;
    traces.push({
      type: "scatter", mode: "lines", yaxis: "y2", name: type, legendgroup: type, line: { color: TYPE_COLOURS[kind], width: 4 },
      x: own.flatMap((row) => [now.entry.start[row], now.entry.end[row], null]), y: own.flatMap((row) => [now.entry.score[row], now.entry.score[row], null]),
      customdata: own.flatMap((row) => [["found", row, place], ["found", row, place], ["found", row, place]]),
      hovertext: own.flatMap((row) => { const line = `${text(cut(report.categories[now.entry.label[row]], 60))}<br>${seconds(now.entry.start[row])} to ${seconds(now.entry.end[row])} s`; return [line, line, line]; }),
      hovertemplate: `score %{y:.3f}, ${type}<br>%{hovertext}<extra></extra>`,
    });
  });
}

function drawSignals(now, traces, shapes, categories) {
  const found = now.entry.signals;
  const step = Number(found.step);
  const borders = Array.from({ length: found.length + 1 }, (_, at) => found.first + at * step);
  const middles = borders.slice(0, -1).map((time) => time + step / 2);
  const own = selected === null ? [] : [segmentOf(selected).label];
  const known = [...new Set([...own, ...categories])].filter((category) => found.categories.includes(category));
  const lines = (known.length ? known : found.categories).slice(0, LINES);
  lines.forEach((category, place) => {
    const values = found.scp[found.categories.indexOf(category)];
    traces.push({
      type: "scatter", mode: "lines", x: borders, y: [...values, values[values.length - 1]], yaxis: "y3", line: { shape: "hv", color: LINE_COLOURS[place], width: 1.8 }, legend: "legend2",
      name: text(cut(report.categories[category], narrow() ? 10 : 24)), hovertemplate: "SCP %{y:.3f}<extra>%{fullData.name}</extra>", showlegend: lines.length > 1,
    });
  });
  if (found.min_scp !== null) threshold(shapes, "y3", found.min_scp);
  if (lines.length) {
    const values = found.edgeness[found.categories.indexOf(lines[0])];
    for (const [name, sign, tone] of [["rising", 1, "rising"], ["falling", -1, "falling"]]) {
      traces.push({
        type: "bar", x: middles, y: values.map((value) => (value * sign > 0 ? value : 0)), width: step, yaxis: "y4", marker: { color: colour(tone), line: { width: 0 } },
        name: `edgeness ${name}`, showlegend: false, hovertemplate: `edgeness %{y:.3f}, ${name}<extra></extra>`,
      });
    }
  }
  if (found.attention) {
    const values = found.attention;
    traces.push({
      type: "scatter", mode: "lines", x: borders, y: [...values, values[values.length - 1]], yaxis: "y5", fill: "tozeroy", showlegend: false,
      line: { shape: "hv", color: colour("attention"), width: 1.6 }, fillcolor: "rgba(204,121,167,0.25)", hovertemplate: "attention %{y:.2f}<extra></extra>",
    });
    if (found.min_attention !== null) threshold(shapes, "y5", found.min_attention);
  }
  return lines;
}

function threshold(shapes, axis, value) {
  shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: axis, y0: value, y1: value, line: { color: colour("missed"), width: 1.4, dash: "dash" } });
}

function regions(shapes) {
  if (selected === null) return;
  const { start, end } = segmentOf(selected);
  const quarter = (end - start) / 4;
  const band = (x0, x1, opacity) => shapes.push({ type: "rect", xref: "x", yref: "paper", y0: 0, y1: 1, x0, x1, fillcolor: colour("focus"), opacity, line: { width: 0 }, layer: "below" });
  band(start - quarter, end + quarter, 0.1);
  band(start + quarter, end - quarter, 0.16);
  for (const x of [start, end]) shapes.push({ type: "line", xref: "x", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: colour("focus"), width: 1.5 } });
}

function segmentOf(one) {
  const from = one.kind === "truth" ? truth : report.entries[one.entry];
  return { start: from.start[one.row], end: from.end[one.row], label: from.label[one.row] };
}

let range = null;

function show() {
  const now = state();
  const traces = [], ticks = [], shapes = [];
  const { low, categories } = drawBars(now, traces, ticks);
  drawScores(now, traces);
  const found = now.entry.signals;
  const lines = found ? drawSignals(now, traces, shapes, categories) : [];
  regions(shapes);
  // Heights of the panels in pixels, from the top.
  const heights = [Math.max(90, 24 * -low), 130];
  if (found) heights.push(130, 80, found.attention ? 90 : 0);
  const gap = 26, top = narrow() ? 84 : 44, bottom = 44;
  // Above the SCP is a legend of its own.
  const above = heights.map((_, index) => (index === 2 && narrow() ? 48 : gap));
  const inner = heights.reduce((sum, height, index) => sum + height + above[index], 0);
  const names = ["", "score", narrow() ? "SCP" : "SCP ψ", narrow() ? "edge" : "edgeness", narrow() ? "att." : "attention"];
  const made = { height: inner + top + bottom, shapes, barmode: "overlay", hovermode: "closest", dragmode: narrow() ? "pan" : "zoom", margin: { l: narrow() ? 84 : 150, r: 12, t: top, b: bottom } };
  let at = 1;
  made.legend = { orientation: "h", y: 1, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" };
  heights.forEach((height, index) => {
    const key = index ? index + 1 : "";
    if (!height) return;
    if (index === 2) at -= (above[2] - gap) / inner;
    made[`yaxis${key}`] = { domain: [Math.max(0, at - height / inner), at], fixedrange: true, title: { text: names[index], font: { size: 12 } }, automargin: false, zeroline: index > 1 };
    if (index === 2) made.legend2 = { orientation: "h", x: 0, y: at, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", font: { size: 12 } };
    at -= (height + gap) / inner;
  });
  Object.assign(made.yaxis, { tickvals: ticks.map((tick) => tick[0]), ticktext: ticks.map((tick) => tick[1]), range: [low, 0.7], showgrid: false });
  if (made.yaxis3) made.yaxis3.range = [0, 1.03];
  made.xaxis = { title: { text: "seconds" }, range: range || [0, report.duration], anchor: "free", position: 0, showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: colour("soft"), spikedash: "dot", automargin: false };
  const place = get("chart");
  draw("chart", traces, made).then(() => {
    if (place.dataset.isBound) return;
    place.dataset.isBound = "yes";
    place.on("plotly_click", (event) => {
      const point = event.points.find((one) => Array.isArray(one.customdata));
      if (point) select({ kind: point.customdata[0], row: point.customdata[1], entry: point.customdata[2] });
    });
    place.on("plotly_relayout", (event) => {
      if (event["xaxis.range[0]"] !== undefined) range = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
      if (event["xaxis.autorange"]) { range = null; show(); }
    });
    place.on("plotly_doubleclick", () => { range = null; show(); return false; });
  });
  say(now, categories, lines);
}

function say(now, categories, lines) {
  const drawnRows = report.entries.map((entry) => rowsOf(entry, now).length);
  const all = report.entries.map((entry) => entry.label.length);
  const parts = report.entries.map((entry, at) => `${report.entries.length > 1 ? `${entry.name}: ` : ""}${drawnRows[at]} of ${all[at]} detections drawn`);
  if (now.category === null && report.categories.length > categories.length) parts.push(`bars of ${categories.length} of ${report.categories.length} categories; choose one to see its own`);
  if (lines.length > 1) parts.push(`edgeness is that of ${cut(report.categories[lines[0]], 40)}`);
  if (now.entry.signals && now.category !== null && !now.entry.signals.categories.includes(now.category)) parts.push("its SCP is not on this page");
  if (now.entry.signals && now.entry.signals.smooth) parts.push(`the SCP is smoothed over ${now.entry.signals.smooth} snippets, as the run does`);
  get("shown").textContent = `${parts.join("; ")}.`;
  get("gap").hidden = !now.entry.gap;
  get("gap").textContent = now.entry.gap;
  get("threshold-value").textContent = now.least === -Infinity ? "all" : now.least.toFixed(3);
}

function select(one) {
  selected = one;
  show();
  document.querySelectorAll("#truth tbody tr").forEach((row) => {
    const is = one !== null && one.kind === "truth" && Number(row.dataset.row) === one.row;
    row.classList.toggle("is-selected", is);
    row.querySelector("button").setAttribute("aria-pressed", String(is));
  });
  get("selected").hidden = one === null;
  if (one !== null && get("player")) get("player").currentTime = Math.max(segmentOf(one).start, 0);
  if (one !== null) explain(one);
}

function explain(one) {
  const { start, end, label } = segmentOf(one);
  const now = state();
  const entry = one.kind === "truth" ? now.entry : report.entries[one.entry];
  get("selected-title").textContent = `${one.kind === "truth" ? "Annotated" : "Found"}: ${cut(report.categories[label], 80)}, ${seconds(start)} to ${seconds(end)} s`;
  get("selected-fate").textContent = one.kind === "truth" ? `${entry.fates[one.row]}.` : `${report.types[entry.type[one.row]]} at tIoU ${report.reference}; score ${number(entry.score[one.row], 4)}, rank ${one.row + 1} in this video.`;
  const parts = (one.kind === "truth" ? entry.truth_parts : entry.parts)[one.row];
  get("sum").hidden = !parts;
  const body = get("sum-rows");
  body.replaceChildren();
  if (!parts) {
    get("sum-note").textContent = entry.signals ? "How its score adds up is not on this page: it is not among the best 200, or its category is not shown." : "Without a run's SCP there is nothing to add up.";
    return;
  }
  const [action, startEdge, startBefore, starting, endEdge, endAfter, ending, contrast] = parts;
  const quarter = (end - start) / 4;
  const span = (a, b) => `${seconds(a)} to ${seconds(b)} s`;
  const lines = [
    ["s_a, action (Eq. 9): ψ inside", `deflated, ${span(start + quarter, end - quarter)}`, action, action],
    ["edgeness at the start", span(start - quarter, start + quarter), startEdge, null],
    ["ψ before the start", span(start - quarter, start), startBefore, null],
    ["s_s, starting (Eq. 10): the first minus the second", "", null, starting],
    ["edgeness at the end", span(end - quarter, end + quarter), endEdge, null],
    ["ψ after the end", span(end, end + quarter), endAfter, null],
    ["s_e, ending (Eq. 11): minus both", "", null, ending],
    ["s, contrast (Eq. 12): s_a + ½ (s_s + s_e)", `inflated, ${span(start - quarter, end + quarter)}`, null, contrast],
  ];
  for (const [name, over, mean, value] of lines) {
    const row = add(body, "tr");
    add(row, "th", name).scope = "row";
    add(row, "td", over);
    add(row, "td", mean === null ? "" : number(mean, 4), "number");
    add(row, "td", value === null ? "" : number(value, 4), "number");
  }
  const { own, evaluator } = entry.signals;
  const bands = "Bands in the chart are the inflated and, darker, the deflated segment.";
  const another = own ? `This run (${own}) scores by ${evaluator}, so the score of a detection is another one.` : `${bands} The file's own score of a detection is another one.`;
  get("sum-note").textContent = own && evaluator === "contrast" ? bands : another;
}

// The annotated instances in the order of the table.
function go(by) {
  const places = truth.order;
  if (!places.length) return;
  const at = selected !== null && selected.kind === "truth" ? places.indexOf(selected.row) : by > 0 ? -1 : places.length;
  const next = Math.min(Math.max(at + by, 0), places.length - 1);
  select({ kind: "truth", row: places[next], entry: 0 });
}

// The video, where its file is at hand: frames under the cursor, and a line at its time.
function play() {
  const player = get("player"), place = get("chart");
  if (!player) return;
  const line = add(place.parentElement, "div", undefined, "now");
  line.setAttribute("aria-hidden", "true");
  const axis = () => place._fullLayout && place._fullLayout.xaxis;
  const mark = () => {
    const own = axis();
    if (!own) return;
    const left = own._offset + own.d2p(player.currentTime);
    line.hidden = left < own._offset || left > own._offset + own._length;
    line.style.left = `${place.offsetLeft + left}px`;
    const inside = place._fullLayout._size;
    line.style.top = `${place.offsetTop + inside.t}px`;
    line.style.height = `${inside.h}px`;
  };
  place.addEventListener("mousemove", (event) => {
    const own = axis();
    if (!own || !player.paused || !(player.duration > 0)) return;
    const time = own.p2d(event.clientX - place.getBoundingClientRect().left - own._offset);
    if (time >= 0 && time <= report.duration) player.currentTime = Math.min(time, player.duration);
  });
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) player.addEventListener(name, mark);
  player.addEventListener("error", () => { get("player-note").textContent = "This browser cannot play the file."; });
}

function start() {
  play();
  get("category").value = "";
  for (const id of ["category", "most", "entry"]) if (get(id)) get(id).addEventListener("change", () => { show(); if (selected) explain(selected); });
  get("threshold").addEventListener("input", show);
  get("reset").addEventListener("click", () => { range = null; show(); });
  document.querySelectorAll(".pick").forEach((button) => button.addEventListener("click", () => select({ kind: "truth", row: Number(button.closest("tr").dataset.row), entry: 0 })));
  document.addEventListener("keydown", (event) => {
    if (isTyping(event)) return;
    const link = { n: "next", p: "previous" }[event.key];
    if (link && get(link)) get(link).click();
    if (event.key === "j") go(1);
    if (event.key === "k") go(-1);
    if (event.key === "Escape") select(null);
  });
  drawn(show);
}

start();
