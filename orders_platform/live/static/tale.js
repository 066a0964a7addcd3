// What an order's story says: figures, the time line of its events, the rules, what would settle it.

import { draw, make } from "./dom.js";
import { coded, date, duration, learnDigits, money, moment, words } from "./format.js";

const FIGURES = [
  ["due_minor", "due"],
  ["captured_minor", "captured"],
  ["refunded_minor", "refunded"],
  ["charged_back_minor", "charged back"],
  ["net_minor", "net"],
];
const IDS = ["payment_id", "refund_id", "chargeback_id", "customer_id", "method", "reason"];
const SPACE_PX = [6, 44]; // between events: the more, the longer the time, by its logarithm up to a month
const MONTH_MS = 30 * 86_400_000;

export function told(its) {
  learnDigits(its.digits); // of a currency that the figures may not have
  const d = its.document;
  return [
    make("p", "head", make("span", `stamp ${d.outcome}`, words(d.status)), ...d.reasons.map(reason)),
    figures(d),
    make("h3", "", "What happened"),
    line(its),
    ...units(d.currency),
    make("h3", "", "Why this status: the first rule that holds gives it"),
    rules(its.rules),
    make("h3", "", "What would settle it"),
    remedies(its.settled_by),
    ...differing(its.by_the_rules_of_now),
    make("p", "note", about(its)),
  ];
}

const reason = (name) => make("span", "reason", words(name));

function figures(d) {
  const tiles = FIGURES.map(([key, name]) => make("div", "",
    make("dt", "", name), make("dd", "big", key === "due_minor" ? coded(d[key], d.currency) : money(d[key], d.currency))));
  return make("dl", "tiles", ...tiles);
}

// Events and the deadline in the order of their time, as far apart as the time between them.
function line(its) {
  const marks = its.events.map((event) => ({ at: event.occurred_at, item: () => happened(event) }));
  const deadline = its.document.deadline_at;
  if (deadline) marks.push({ at: deadline, item: () => passing(deadline, its) });
  marks.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const items = marks.map(({ at, item }, place) => {
    const made = item();
    if (place) apart(made, Date.parse(at) - Date.parse(marks[place - 1].at));
    return made;
  });
  return make("ol", "line", ...items);
}

function apart(item, ms) {
  const [least, most] = SPACE_PX;
  const share = Math.min(1, Math.log1p(ms / 1000) / Math.log1p(MONTH_MS / 1000));
  item.style.marginTop = `${Math.round(least + share * (most - least))}px`;
  item.prepend(make("span", "gap", ms ? `${duration(ms)} later` : "at the same time"));
}

function stamp(time) {
  const made = make("time", "", `${date(time)} ${new Date(time).toISOString().slice(11, 23)} UTC`);
  made.dateTime = time;
  return made;
}

function happened(event) {
  const amount = event.amount_minor === undefined ? [] : [make("span", "amount", coded(event.amount_minor, event.currency))];
  const counts = make("span", `mark ${event.counts ? "ok" : "note"}`, event.counts ? "counts" : "does not count");
  const ids = IDS.filter((key) => event[key] !== undefined).map((key) => `${key.replace("_id", "")} ${event[key]}`);
  const place = `${event.topic}:${event.partition}:${event.offset}`;
  return make("li", event.counts ? "in" : "out",
    stamp(event.occurred_at),
    make("p", "what", make("b", "", words(event.type)), ...amount, counts),
    make("p", "", event.why),
    make("p", "note", [event.event_id, ...ids, place].join(" · ")));
}

function passing(deadline, its) {
  const what = its.deadline_passed ? "the deadline has passed" : "the deadline, still to come";
  return make("li", "deadline", stamp(deadline), make("p", "what", what));
}

function units(currency) {
  return currency ? [make("p", "note", `Amounts inside sentences are in minor units of ${currency}.`)] : [];
}

function rules(steps) {
  const items = steps.filter((step) => step.holds !== null).map((step) => {
    const made = make("li", step.holds ? "held" : "", tick(step.holds), make("span", "", step.condition), make("span", "note", step.why));
    made.value = step.rule;
    return made;
  });
  return make("ol", "rules", ...items);
}

function tick(holds) {
  const drawn = draw("svg", { viewBox: "0 0 12 12", class: "tick", role: "img", "aria-label": holds ? "holds:" : "does not hold:" });
  drawn.append(draw("path", { d: holds ? "M2 6.5l3 3 5-7" : "M3 3l6 6M9 3l-6 6" }));
  return drawn;
}

function remedies(them) {
  if (!them.length) return make("p", "", "Nothing: it is settled.");
  return make("ul", "", ...them.map((remedy) => make("li", "", remedy.what)));
}

function differing(now) {
  if (!now) return [];
  const says = [now.status, now.outcome, ...now.reasons].map(words).join(", ");
  return [make("p", "wrong", `The settings of now would say: ${says}.`)];
}

function about(its) {
  const d = its.document;
  const known = [
    its.customer_id && `customer ${its.customer_id}`,
    d.cancelled_at && `cancelled ${moment(d.cancelled_at)}`,
    d.settled_at && `settled ${moment(d.settled_at)}`,
    `version ${its.version}`,
    `first seen ${moment(its.first_seen_at)}`,
    `updated ${moment(its.updated_at)}`,
    `judged as of ${moment(its.clock)}`,
  ];
  const text = known.filter(Boolean).join(", ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
