// What breaks: by kind and currency, and the newest ones as links to their stories.

import { by, make, number, say, table, text } from "./dom.js";
import { coded, count, money, plural, since, words } from "./format.js";

const SHADES = 4;

export function breaks(now) {
  if (now.at_risk) kinds(now.at_risk);
  if (now.newest_breaks) newest(now, now.newest_breaks);
}

// A row for each kind, a column for each currency; the shade says how much of the currency's risk a kind has.
function kinds(rows) {
  const currencies = [...new Set(rows.filter((row) => row.currency).map((row) => row.currency))].sort();
  const of = new Map();
  const most = {};
  for (const { kind, currency, breaks: its, at_risk_minor: minor } of rows) {
    if (!of.has(kind)) of.set(kind, { kind, breaks: 0, minor: {} });
    const row = of.get(kind);
    row.breaks += its;
    if (currency) row.minor[currency] = minor;
    most[currency] = Math.max(most[currency] ?? 0, minor);
  }
  head(currencies);
  const shade = (row, currency) => {
    const minor = row.minor[currency];
    return minor > 0 ? `h${Math.max(1, Math.ceil((SHADES * minor) / most[currency]))}` : "";
  };
  const listed = [...of.values()].sort((a, b) => b.breaks - a.breaks || words(a.kind).localeCompare(words(b.kind)));
  table(by("kinds"), listed, (row) => row.kind, [
    text((row) => words(row.kind)),
    number((row) => count(row.breaks), () => "all"),
    ...currencies.map((currency) => number(
      (row) => row.minor[currency] ? money(row.minor[currency], currency) : "-",
      (row) => shade(row, currency),
    )),
  ], "Nothing breaks.");
}

function head(currencies) {
  const names = ["kind", "breaks", ...currencies];
  const row = by("kinds_head");
  if ([...row.children].map((each) => each.textContent).join() === names.join()) return;
  row.replaceChildren(...names.map((name, at) => {
    const made = make("th", at ? "n" : "", name);
    made.scope = "col";
    return made;
  }));
  by("kinds").replaceChildren(); // its rows have cells for other columns
}

const pointer = matchMedia("(hover: hover)"); // under a finger everything is hovered that was touched last
let shown = null; // the breaks that are listed
let putBack = null; // what a story that was closed has put the focus back on: nobody need be there

by("story").addEventListener("close", () => { putBack = document.activeElement; });
addEventListener("keydown", () => { putBack = null; });

// The list stands still while somebody points at it or is in it by keyboard: a row must not slip away under a click.
function isHeld(body) {
  const isIn = body.matches(":focus-within") && document.activeElement !== putBack;
  return isIn || (pointer.matches && body.matches(":hover"));
}

function newest(now, listed) {
  const body = by("breaks");
  const before = shown && new Set(shown.map((each) => each.order_id));
  const latest = new Map(listed.map((each) => [each.order_id, each]));
  shown = shown && isHeld(body) ? shown.map((each) => latest.get(each.order_id) ?? { ...each, hasLeft: true }) : listed;
  say(by("held"), held(shown, listed));
  table(body, shown, (each) => each.order_id, [
    link,
    text((each) => words(each.status)),
    text((each) => each.reasons.map(words).join(", "), "reasons note"),
    number((each) => coded(each.due_minor, each.currency), () => "due"),
    number((each) => coded(each.net_minor, each.currency), () => "net"),
    number((each) => each.hasLeft ? "left the list" : since(now, each.broke_at), () => "note age"),
  ], "No order breaks.");
  if (!before) return;
  for (const row of body.children) {
    row.classList.toggle("fresh", !before.has(row.dataset.key));
    row.classList.toggle("gone", !latest.has(row.dataset.key));
  }
}

// What is not as in the list, as somebody holds it.
function held(them, listed) {
  const ids = new Set(them.map((each) => each.order_id));
  const waiting = listed.filter((each) => !ids.has(each.order_id)).length;
  const gone = them.filter((each) => each.hasLeft).length;
  return [
    waiting && `${plural(waiting, "newer break waits", "newer breaks wait")} until you leave the list.`,
    gone && `${plural(gone, "order is", "orders are")} no longer among the newest breaks.`,
  ].filter(Boolean).join(" ");
}

function link(cell, each) {
  if (cell.firstElementChild) return;
  const made = make("a", "id", each.order_id);
  made.href = `#order=${encodeURIComponent(each.order_id)}`;
  cell.append(made);
}
