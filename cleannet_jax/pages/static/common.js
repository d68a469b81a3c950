"use strict";
// What all pages share: colours of the theme, charts in them, and short numbers.

// Okabe and Ito's colours, which colour-blind people can tell apart.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c"];
// Of the types of detections, true positives first.
const TYPE_COLOURS = ["#009e73", "#56b4e9", "#cc79a7", "#e69f00", "#d55e00", "#8c8c8c"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function layout(more) {
  const axis = { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("text"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 8, r: 8, t: 8, b: 8 },
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("text") }, align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
    ...more,
  };
  for (const key of Object.keys(made)) {
    if (/^[xy]axis\d*$/.test(key)) made[key] = { ...axis, ...made[key] };
  }
  return made;
}

const CONFIG = { displayModeBar: false, responsive: true };

function draw(id, traces, more) {
  const place = document.getElementById(id);
  const made = layout(more);
  if (made.height) place.style.height = `${made.height}px`;
  return Plotly.react(place, traces, made, CONFIG);
}

// Draws now, and again when the theme changes.
function drawn(render) {
  render();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
}

// Names go into charts as text: Plotly would read some tags in them.
function text(name) {
  return String(name).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function cut(name, most) {
  const letters = Array.from(String(name));
  return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : String(name);
}

function number(value, digits) {
  return value === null || value === undefined ? "-" : Number(value).toFixed(digits);
}

function add(parent, tag, content, name) {
  const made = document.createElement(tag);
  if (content !== undefined) made.textContent = content;
  if (name) made.className = name;
  parent.append(made);
  return made;
}

function choices(select, names) {
  names.forEach((name, place) => {
    const made = add(select, "option", cut(name, 60));
    made.value = place;
  });
}

function isTyping(event) {
  const tag = event.target.tagName;
  return event.ctrlKey || event.metaKey || event.altKey ||
    tag === "SELECT" || tag === "TEXTAREA" || (tag === "INPUT" && event.target.type !== "range");
}
