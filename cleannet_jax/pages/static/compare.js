"use strict";
// Where two entries differ most.

const report = window.report;
const body = document.querySelector("#differences tbody");
const get = (id) => document.getElementById(id);
const STEP = 200;
let limit = STEP;

for (const id of ["first", "second"]) choices(get(id), report.entries.map((entry) => entry.name));
get("second").value = 1;

function show() {
  const [a, b] = ["first", "second"].map((id) => report.entries[Number(get(id).value)]);
  const known = report.ids.map((_, at) => at).filter((at) => a.ap[at] !== null && b.ap[at] !== null);
  const change = (at) => b.ap[at] - a.ap[at];
  const by = {
    most: (x, y) => Math.abs(change(y)) - Math.abs(change(x)),
    first: (x, y) => change(x) - change(y),
    second: (x, y) => change(y) - change(x),
    id: (x, y) => x - y,
  }[get("sort").value];
  const rows = known.slice().sort((x, y) => by(x, y) || x - y);
  const made = document.createDocumentFragment();
  for (const at of rows.slice(0, limit)) {
    const row = add(made, "tr");
    const head = add(row, "th");
    head.scope = "row";
    const link = add(add(head, "bdi"), "a", cut(report.ids[at], 80));
    link.href = `videos/${report.pages[at]}.html`;
    add(row, "td", number(a.ap[at], 1), "number");
    add(row, "td", number(b.ap[at], 1), "number");
    add(row, "td", `${change(at) > 0 ? "+" : ""}${number(change(at), 1)}`, "number");
    add(row, "td", `${a.missed[at]} → ${b.missed[at]}`, "number");
    add(row, "td", `${a.false[at]} → ${b.false[at]}`, "number");
  }
  body.replaceChildren(made);
  get("more").hidden = rows.length <= limit;
  get("more").textContent = `Show ${Math.min(rows.length - limit, STEP)} more`;
  const better = known.filter((at) => change(at) > 0).length, worse = known.filter((at) => change(at) < 0).length;
  get("count").textContent = `The second is better in ${better}, worse in ${worse} and equal in ${known.length - better - worse} of ${known.length} annotated videos.`;
  const sorted = known.slice().sort((x, y) => change(y) - change(x));
  draw("chart-differences", [{
    type: "bar", x: sorted.map((_, at) => at), y: sorted.map(change), hovertext: sorted.map((at) => text(cut(report.ids[at], 60))),
    marker: { color: sorted.map((at) => (change(at) >= 0 ? COLOURS[0] : COLOURS[1])), line: { width: 0 } }, hovertemplate: "%{hovertext}: %{y:+.1f}<extra></extra>",
  }], { height: 240, bargap: sorted.length > 300 ? 0 : 0.2, xaxis: { showticklabels: false, title: { text: "videos" } }, yaxis: { title: { text: "points of AP" } } });
}

function anew() {
  limit = STEP;
  show();
}

for (const id of ["first", "second", "sort"]) get(id).addEventListener("change", anew);
get("more").addEventListener("click", () => { limit += STEP; show(); });
drawn(show);
