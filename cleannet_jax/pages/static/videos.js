"use strict";
// The index of videos: search, category, order.

const report = window.report;
const body = document.querySelector("#videos tbody");
const get = (id) => document.getElementById(id);
const STEP = 500;
let limit = STEP;

choices(get("category"), report.labels);
choices(get("entry"), report.entries.map((entry) => entry.name));
get("entry-control").hidden = report.entries.length < 2;
get("reference").textContent = report.reference;
const lower = report.ids.map((id) => id.toLowerCase());

function compare(entry, key) {
  const last = (value, or) => (value === null || value === undefined ? or : value);
  const by = {
    id: (a, b) => a - b,
    ap: (a, b) => last(entry.ap[a], 101) - last(entry.ap[b], 101),
    missed: (a, b) => entry.missed[b] - entry.missed[a],
    false: (a, b) => entry.false[b] - entry.false[a],
    length: (a, b) => last(report.seconds[b], -1) - last(report.seconds[a], -1),
  };
  return (a, b) => by[key](a, b) || a - b;
}

function show() {
  const entry = report.entries[Number(get("entry").value) || 0];
  const wanted = get("search").value.trim().toLowerCase();
  const category = get("category").value === "" ? null : Number(get("category").value);
  const rows = report.ids.map((_, at) => at).filter((at) =>
    (!wanted || lower[at].includes(wanted)) && (category === null || report.categories[at].includes(category)));
  rows.sort(compare(entry, get("sort").value));
  const made = document.createDocumentFragment();
  for (const at of rows.slice(0, limit)) {
    const row = add(made, "tr");
    const head = add(row, "th");
    head.scope = "row";
    const link = add(add(head, "bdi"), "a", cut(report.ids[at], 80));
    link.href = `videos/${report.pages[at]}.html`;
    const names = report.categories[at].map((place) => report.labels[place]);
    add(row, "td", names.slice(0, 6).map((name) => cut(name, 40)).join(", ") + (names.length > 6 ? ` and ${names.length - 6} more` : ""), "categories optional");
    add(row, "td", number(report.seconds[at], 1), "number");
    add(row, "td", report.instances[at], "number optional");
    add(row, "td", number(entry.ap[at], 1), "number");
    add(row, "td", entry.missed[at], "number");
    add(row, "td", entry.false[at], "number");
    add(row, "td", entry.detections[at], "number optional");
  }
  body.replaceChildren(made);
  const more = rows.length - limit;
  get("more").hidden = more <= 0;
  get("more").textContent = `Show ${Math.min(more, STEP)} more of ${more}`;
  get("count").textContent = `${rows.length} of ${report.ids.length} videos${more > 0 ? `, the first ${limit} listed` : ""}`;
}

function anew() {
  limit = STEP;
  show();
}

get("search").addEventListener("input", anew);
for (const id of ["category", "sort", "entry"]) get(id).addEventListener("change", anew);
get("more").addEventListener("click", () => { limit += STEP; show(); });
show();
