"use strict";
// The page: one stream of numbers, drawn as they come. All text goes in as text: no number or id is ever markup.

const WINDOW_S = 300;
const SILENT_MS = 10000;
const KINDS = { ok: "good", pending: "wait", break: "bad" };
const LINES = [
  ["opening_minor", "opening", 1], ["placed_minor", "placed", 1], ["cancelled_minor", "cancelled", -1],
  ["captured_minor", "captured", -1], ["refunded_minor", "refunded", 1], ["charged_back_minor", "charged back", 1],
  ["chargebacks_reversed_minor", "charge-backs won", -1], ["corrections_minor", "corrections", 1],
  ["closing_minor", "now", 1],
];
const points = [[], []];
let chart = null;

const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

function money(minor, currency) {
  if (minor === null || minor === undefined) return "–";
  if (!currency) return whole.format(minor);
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "code" });
    return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch { return `${currency} ${whole.format(minor)} minor`; }
}

function set(id, text, kind) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
  if (kind !== undefined) element.dataset.kind = kind;
}

function cell(content, kind) {
  const made = document.createElement("td");
  if (kind) made.className = kind;
  if (content instanceof Node) made.append(content); else made.textContent = content;
  return made;
}

function rows(id, given, empty) {
  const made = given.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  });
  if (!made.length && empty) {
    const row = document.createElement("tr");
    row.append(cell(empty, "note"));
    made.push(row);
  }
  const body = by(id);
  const had = body.contains(document.activeElement) ? document.activeElement.dataset.order : null;
  body.replaceChildren(...made);
  if (had) body.querySelector(`[data-order="${CSS.escape(had)}"]`)?.focus();
}

function told(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${whole.format(ms)} ms` : `${one.format(ms / 1000)} s`;
}

function ago(seconds) {
  if (seconds < 90) return `${whole.format(Math.max(0, seconds))} s ago`;
  if (seconds < 5400) return `${whole.format(seconds / 60)} min ago`;
  return `${whole.format(seconds / 3600)} h ago`;
}

function state(now) {
  if (now.stale) {
    const since = now.stale_s === null ? "Nothing has been seen yet" : `These figures are ${whole.format(now.stale_s)} s old`;
    return [since, "bad"];
  }
  const matcher = now.matcher;
  if (!matcher) return ["No matcher has ever run here", "wait"];
  if (matcher.silent_ms > SILENT_MS) return [`The matcher has been silent for ${whole.format(matcher.silent_ms / 1000)} s`, "bad"];
  if (matcher.state !== "running") return [`The matcher is ${matcher.state}`, matcher.state === "failed" ? "bad" : "wait"];
  return ["Matching", "good"];
}

function draw(now) {
  const [text, kind] = state(now);
  set("state", text, kind);
  document.title = `${text} – orders-platform`;
  by("trouble").hidden = !now.trouble;
  set("trouble", now.trouble || "");
  by("dagster").hidden = !now.dagster;
  if (now.dagster) by("dagster").href = now.dagster;
  document.body.dataset.seen = now.at || "";
  if (!now.at) return;
  tiles(now);
  counted(now);
  day(now.day);
}

function tiles(now) {
  const { rates, matcher } = now;
  const rate = rates?.messages_per_s;
  set("rate", rate === null || rate === undefined ? "–" : one.format(rate));
  set("rate_note", matcher ? `${whole.format(matcher.messages)} since this matcher began` : "");
  set("behind", matcher && matcher.behind !== null ? whole.format(matcher.behind) : "–");
  set("behind_note", matcher?.last_commit_at ? `last batch ${ago((Date.parse(now.at) - Date.parse(matcher.last_commit_at)) / 1000)}` : "");
  set("wait", told(rates?.wait_p50_ms));
  set("wait_note", rates?.wait_p99_ms == null ? "half of the last messages" : `half of them; 99 % within ${told(rates.wait_p99_ms)}`);
  set("life", matcher ? `life ${matcher.epoch}` : "–");
  set("life_note", matcher ? `${matcher.state}, ${now.restarts} restarts in 24 h, last batch ${told(matcher.last_batch_ms)}` : "");
  plot(Date.parse(now.at) / 1000, now.stale ? null : rate ?? null);
}

function plot(at, rate) {
  if (points[0].length && at <= points[0][points[0].length - 1]) return;
  points[0].push(at);
  points[1].push(rate);
  while (points[0][0] < at - WINDOW_S) { points[0].shift(); points[1].shift(); }
  const place = by("chart");
  if (!chart) {
    const probe = document.createElement("span");
    place.append(probe);
    const solid = (name) => { probe.style.setProperty("color", `var(${name})`); return getComputedStyle(probe).color; };
    const axis = { stroke: solid("--quiet"), grid: { stroke: solid("--rule"), width: 1 }, ticks: { show: false } };
    const line = solid("--line");
    probe.remove();
    chart = new uPlot({
      width: place.clientWidth, height: place.clientHeight, cursor: { show: false }, legend: { show: false },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [axis, { ...axis, size: 56 }],
      series: [{}, { stroke: line, width: 2, spanGaps: false, points: { show: false } }],
    }, points, place);
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { chart.destroy(); chart = null; });
  } else chart.setData(points);
}

function counted(now) {
  if (!now.counted_at) return;
  const currencies = [...new Set([...Object.keys(now.matched_minor), ...Object.keys(now.at_risk_minor)])].sort();
  rows("money", currencies.map((currency) => [
    cell(currency || "none"), cell(money(now.matched_minor[currency] ?? 0, currency), "n"),
    cell(money(now.at_risk_minor[currency] ?? 0, currency), now.at_risk_minor[currency] ? "n bad" : "n"),
  ]), "No money has moved yet.");
  const statuses = new Map();
  for (const row of now.orders) {
    const known = statuses.get(row.status) || { orders: 0, outcome: row.outcome };
    known.orders += row.orders;
    statuses.set(row.status, known);
  }
  const most = Math.max(1, ...[...statuses.values()].map((each) => each.orders));
  rows("statuses", [...statuses].sort((a, b) => b[1].orders - a[1].orders).map(([name, its]) => {
    const bar = document.createElement("meter");
    bar.max = most; bar.value = its.orders;
    bar.setAttribute("aria-hidden", "true");
    return [cell(name.replaceAll("_", " "), KINDS[its.outcome]), cell(whole.format(its.orders), "n"), cell(bar)];
  }), "No order is stored yet.");
  rows("kinds", now.at_risk.map((row) => [
    cell(row.kind.replaceAll("_", " ")), cell(whole.format(row.breaks), "n"), cell(money(row.at_risk_minor, row.currency), "n"),
  ]), "Nothing breaks.");
  rows("breaks", now.newest_breaks.map((each) => {
    const open = document.createElement("button");
    open.className = "order"; open.textContent = each.order_id; open.dataset.order = each.order_id;
    open.addEventListener("click", () => story(each.order_id));
    return [cell(open), cell(each.status.replaceAll("_", " "), "bad"), cell(each.reasons.join(", ").replaceAll("_", " ")),
      cell(money(each.due_minor, each.currency), "n"), cell(money(each.net_minor, each.currency), "n"),
      cell(ago((Date.parse(now.at) - Date.parse(each.updated_at)) / 1000))];
  }), "No order breaks.");
  rows("letters", Object.entries(now.dead_letters).map(([reason, count]) => [
    cell(reason.replaceAll("_", " ")), cell(whole.format(count), "n")]), "None.");
  set("counted", `Orders, money and breaks were counted ${ago(now.counted_age_s)}, in ${told(now.count_took_ms)}; the rest is of this second.`);
}

function day(its) {
  if (!its) {
    set("day_note", "There is nothing to build on: the statement of the day before is not made yet.");
    by("day_head").replaceChildren();
    rows("day", []);
    return;
  }
  const rate = its.match_rate === null ? "no order was placed" : `${one.format(its.match_rate * 100)} % of its orders are matched`;
  set("day_note", `${its.date} (${its.time_zone}), provisional: ${rate}.`);
  const currencies = Object.keys(its.currencies);
  const head = document.createElement("tr");
  head.append(...["", ...currencies].map((text, at) => {
    const made = document.createElement("th");
    made.textContent = text;
    if (at) made.className = "n";
    return made;
  }));
  by("day_head").replaceChildren(head);
  rows("day", LINES.map(([key, name, sign]) => [cell(name),
    ...currencies.map((currency) => cell(money(sign * its.currencies[currency][key], currency), "n"))]), "Nothing has happened yet.");
}

async function story(id) {
  const answer = await fetch(`/api/order.json?id=${encodeURIComponent(id)}`);
  const its = await answer.json();
  set("story_title", id);
  by("story_events").replaceChildren();
  by("story_rules").replaceChildren();
  by("story_remedies").replaceChildren();
  if (!answer.ok) set("story_status", `${its.error} ${its.fix || ""}`);
  else tell(its);
  if (!by("story").open) by("story").showModal();
}

function tell(its) {
  const d = its.document;
  const figures = `due ${money(d.due_minor, d.currency)}, net ${money(d.net_minor, d.currency)}`;
  set("story_status", `${d.status.replaceAll("_", " ")} (${[d.outcome, ...d.reasons].join(", ").replaceAll("_", " ")}): ${figures}`);
  const item = (text, kind) => {
    const made = document.createElement("li");
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  by("story_events").replaceChildren(...its.events.map((event) => {
    const amount = event.amount_minor === undefined ? "" : ` ${money(event.amount_minor, event.currency)}`;
    const made = item(`${event.type.replaceAll("_", " ")}${amount}: ${event.why}`, event.counts ? "" : "out");
    const time = document.createElement("time");
    time.dateTime = event.occurred_at;
    time.textContent = `${event.occurred_at}, ${event.topic}:${event.partition}:${event.offset}${event.counts ? "" : ", does not count"}`;
    made.prepend(time);
    return made;
  }));
  by("story_rules").replaceChildren(...its.rules.filter((rule) => rule.holds !== null)
    .map((rule) => item(`${rule.condition}: ${rule.why}`, rule.holds ? "held" : "")));
  const remedies = its.settled_by.map((remedy) => item(remedy.what));
  by("story_remedies").replaceChildren(...(remedies.length ? remedies : [item("Nothing: it is settled.")]));
}

by("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = by("find_id").value.trim();
  if (id) story(id);
});

// The browser connects again by itself; until then the page says that it hears nothing.
let heard = 0;
const stream = new EventSource("/events");
stream.addEventListener("message", (event) => { heard = Date.now(); draw(JSON.parse(event.data)); });
setInterval(() => {
  if (Date.now() - heard > 5000) set("state", heard ? `Nothing heard from the server for ${whole.format((Date.now() - heard) / 1000)} s` : "Looking …", "bad");
}, 1000);
