// The day so far: for each currency a waterfall from what customers owed at its start to what they owe now, drawn like
// the statement's.

import { by, draw, keyed, make, say, show } from "./dom.js";
import { ago, clock, duration, money, share } from "./format.js";

const LINES = [
  ["placed_minor", "placed", 1],
  ["cancelled_minor", "cancelled", -1],
  ["captured_minor", "captured", -1],
  ["refunded_minor", "refunded", 1],
  ["charged_back_minor", "charged back", 1],
  ["chargebacks_reversed_minor", "charge-backs won", -1],
  ["corrections_minor", "corrections", 1],
];
const NOT_COUNTED = "Not counted: without the statement of the day before, all orders would have to be gone through.";
const TALL = 12; // of a step, in its own units; the style stretches it to the row

export function day(now) {
  const its = now.day;
  say(by("day_note"), its ? about(now, its) : NOT_COUNTED);
  const currencies = Object.entries(its?.currencies ?? {}).sort((a, b) => moved(b[1]) - moved(a[1]));
  show(by("bridges"), currencies.length > 0);
  keyed(by("bridges"), currencies, ([currency]) => currency, create, fill);
}

function about(now, its) {
  const asOf = its.as_of ? `, as of ${clock(its.as_of)}, ${ago(Date.parse(now.at) - Date.parse(its.as_of))}` : "";
  const delay = its.payment_delay_s ?? {};
  const told = its.match_rate === null ? "No order was placed yet." : `${share(its.match_rate, 1)} of its orders are matched.`;
  const took = delay.p50 == null ? "" : ` From order to settlement ${duration(delay.p50 * 1000)}, 95 of 100 within ${duration(delay.p95 * 1000)}.`;
  return `${its.date} in ${its.time_zone}${asOf}, provisional: told as if nothing more happened. ${told}${took}`;
}

const moved = (bridge) => LINES.reduce((sum, [line]) => sum + Math.abs(bridge[line]), Math.abs(bridge.opening_minor));

function create([currency]) {
  const caption = make("caption", "", make("span", "unseen", "Bridge in "), make("b", "", currency));
  return make("table", "bridge", caption, headings(), make("tbody", ""));
}

function headings() {
  const cells = ["line", "step", "amount"].map((name) => make("th", "", name));
  for (const cell of cells) cell.scope = "col";
  return make("thead", "unseen", make("tr", "", ...cells));
}

function fill(element, [currency, bridge]) {
  const told = `${JSON.stringify(bridge)} ${money(0, currency)}`; // drawn anew when it changes, or is written otherwise
  if (element.dataset.told === told) return;
  element.dataset.told = told;
  const rows = steps(currency, bridge).map(({ name, amount, kind, picture }) => {
    const head = make("th", "", name);
    head.scope = "row";
    return make("tr", kind, head, make("td", "picture", picture), make("td", "n", amount));
  });
  element.tBodies[0].replaceChildren(...rows);
}

function steps(currency, bridge) {
  const sum = (name, minor) => ({ name, amount: money(minor, currency), from: 0, to: minor, fill: "total", kind: "sum" });
  const moves = [sum("opening", bridge.opening_minor)];
  let at = bridge.opening_minor;
  for (const [line, name, sign] of LINES) {
    const minor = sign * bridge[line], to = at + minor; // a sum may be too large to be exact: it is for drawing alone
    moves.push({ name, amount: signed(minor, currency), from: at, to, fill: minor > 0 ? "up" : "down", kind: "" });
    at = to;
  }
  moves.push({ ...sum("so far", bridge.closing_minor), into: at });
  const ends = moves.flatMap(({ from, to }) => [from, to]);
  const low = Math.min(0, ...ends), high = Math.max(0, ...ends);
  const x = (minor) => (100 * (minor - low)) / (high - low || 1);
  const told = moves.map((move, place) => ({
    ...move,
    picture: picture(x(0), links(move, place, moves.length, x), x(move.from), x(move.to), move.fill),
  }));
  const residual = bridge.residual_minor;
  return [...told, {
    name: "residual", kind: residual ? "wrong" : "", amount: money(residual, currency),
    picture: picture(x(0), "", x(at), x(bridge.closing_minor), "wrong"),
  }];
}

function signed(minor, currency) {
  if (!minor) return "-";
  return `${minor > 0 ? "+" : ""}${money(minor, currency)}`;
}

// A thin line leads from where a step ends to where the next one begins.
function links({ from, to, into }, place, length, x) {
  const before = place ? `M${x(into ?? from)} 0V${TALL / 2}` : "";
  return place < length - 1 ? `${before}M${x(to)} ${TALL / 2}V${TALL}` : before;
}

function picture(zero, link, from, to, kind) {
  const made = draw("svg", { class: "step", viewBox: `0 0 100 ${TALL}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  made.append(draw("path", { class: "axis", d: `M${zero} 0V${TALL}` }));
  if (link) made.append(draw("path", { class: "link", d: link }));
  const width = Math.abs(to - from);
  if (width) made.append(draw("rect", { class: kind, x: Math.min(from, to), y: 1.5, width, height: 9 }));
  return made;
}
