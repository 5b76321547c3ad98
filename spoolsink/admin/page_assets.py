"""The style and the script of the status page, and the policy that allows these two alone.

The script puts texts into cells, and nothing else: what data brings is never markup.
"""

from base64 import b64encode
from hashlib import sha256

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff;
  --card: #f4f6f8; --line: #d8dde3; --bad: #b3261e; --good: #14733a; --wait: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --soft: #9aa4af; --paper: #14171a; --card: #1e2328; --line: #343a41;
    --bad: #ff8a80; --good: #6fd08c; --wait: #f0b95a; }
}
* { box-sizing: border-box; }
body { margin: 1.25rem auto; max-width: 84rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; }
#state { font-weight: 600; border: 1px solid; border-radius: 1rem; padding: 0 .7rem; }
#state[data-state=RUNNING] { color: var(--good); }
#state:is([data-state=PAUSED], [data-state=STOPPED]) { color: var(--wait); }
#state[data-state=FAILED] { color: var(--bad); }
#live { color: var(--soft); margin-left: auto; font-variant-numeric: tabular-nums; }
#verdict { font-size: 1.1rem; margin: .6rem 0; overflow-wrap: anywhere; }
meter { display: block; width: 100%; height: 1rem; }
section div { overflow-x: auto; }
/* What stands below very many of them is not far away. */
#topic-partitions div { max-height: 75vh; overflow-y: auto; }
#topic-partitions th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .9rem .25rem 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; white-space: pre-wrap; }
#facts { margin-top: 1rem; }
#facts table, #facts tbody { display: block; }
#facts tbody { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
#facts tr { display: block; background: var(--card); border-radius: .4rem; padding: .4rem .7rem; }
#facts td { display: block; border: 0; padding: 0; }
#facts td:first-child { color: var(--soft); font-size: .85rem; }
#topic-partitions :is(th, td):nth-child(n+2) { white-space: nowrap; }
#topic-partitions :is(th, td):nth-child(n+3) { text-align: right; }
#topic-partitions tr.trouble td:nth-child(-n+2) { color: var(--bad); }
:is(#holds, #errors, #objects) td:first-child { white-space: nowrap; }
#holds td:nth-child(3), #fault { color: var(--bad); }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
input, select { font: inherit; color: inherit; background: var(--card); padding: .15rem .4rem;
  border: 1px solid var(--line); border-radius: .3rem; max-width: 100%; }
#shown { color: var(--soft); }
@media (max-width: 42rem) {
  #facts tbody { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
  #topic-partitions table { font-size: .8rem; }
  #topic-partitions :is(th, td) { padding-right: .45rem; }
  #topic-partitions :is(th, td):nth-child(n+5) { display: none; }
  :is(#holds, #errors) :is(table, tbody, tr, td) { display: block; }
  :is(#holds, #errors) thead { display: none; }
  :is(#holds, #errors) td { border: 0; }
  :is(#holds, #errors) tr { border-bottom: 1px solid var(--line); padding: .3rem 0; }
}
"""

SCRIPT = """
"use strict";
const at = (id) => document.getElementById(id);
const fault = at("fault"), filter = at("filter"), order = at("order");
let last = null;
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
function fill(name, rows) {
  const section = at(name), body = section.querySelector("tbody");
  section.hidden = last.tables[name].length === 0;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, number) => {
    const row = body.rows[number] || body.insertRow();
    while (row.cells.length > cells.length) row.deleteCell(-1);
    cells.forEach((text, column) => put(row.cells[column] || row.insertCell(), text));
    if (name === "topic-partitions") {
      row.classList.toggle("trouble", ["held", "stopped"].includes(cells[1]));
    }
  });
}
const number = (text) => parseFloat(text.replaceAll(",", "")) || 0;
function chosen(rows) {
  const word = filter.value.trim().toLowerCase(), column = order.value;
  const found = rows.filter((cells) => cells.slice(0, 2).join(" ").toLowerCase().includes(word));
  if (column === "name") found.sort((a, b) => a[0].localeCompare(b[0], "en", {numeric: true}));
  else if (column) found.sort((a, b) => number(b[column] || "") - number(a[column] || ""));
  put(at("shown"), found.length === rows.length ? "" : found.length + " of " + rows.length);
  return found;
}
function show() {
  if (last === null) return;
  for (const name of Object.keys(last.tables)) {
    fill(name, name === "topic-partitions" ? chosen(last.tables[name]) : last.tables[name]);
  }
  put(at("state"), last.state);
  at("state").dataset.state = last.state;
  for (const id of ["verdict", "live", "counted"]) put(at(id), last[id]);
  Object.assign(at("depth"), {max: last.spool_limit_bytes, value: last.spool_bytes});
  put(at("depth"), last.depth);
  document.title = last.title;
}
async function refresh() {
  try {
    const answer = await fetch("status.json", {cache: "no-store"});
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    last = await answer.json();
    show();
    fault.hidden = true;
  } catch (error) {
    if (fault.hidden) {
      const since = new Date().toLocaleTimeString();
      put(fault, "No answer since " + since + ": " + error.message);
      fault.hidden = false;
    }
  }
  setTimeout(refresh, document.hidden ? 10000 : 2000);
}
filter.addEventListener("input", show);
order.addEventListener("change", show);
at("choice").addEventListener("submit", (event) => event.preventDefault());
refresh();
"""


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: the one script and the one style, and nothing that data brings."""
