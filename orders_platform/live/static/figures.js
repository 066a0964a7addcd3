// The sections that are figures: tiles, money, orders, the matcher, rejected messages.

import { bar, by, make, number, parts, say, show, table, text } from "./dom.js";
import { ago, count, duration, money, NONE, perSecond, plural, share, since, words } from "./format.js";
import { remainingMs } from "./verdict.js";

const LATELY_MS = 10_000; // what was counted since then needs no word about when
const WORDS = { ok: "add up", break: "break", pending: "wait" };

export function figures(now) {
  pace(now);
  matcher(now);
  const totals = outcomes(now.orders);
  stored(now, totals);
  moneyByCurrency(now);
  orders(now.orders, totals);
  say(by("letters_at"), countedAt(now));
  if (now.dead_letters) rejected(now.dead_letters); // not counted yet is not the same as none
}

function outcomes(rows) {
  const totals = { ok: 0, break: 0, pending: 0 };
  for (const row of rows) totals[row.outcome] += row.orders;
  return { ...totals, all: totals.ok + totals.break + totals.pending };
}

function tile(name, figure, ...notes) {
  say(by(name), figure);
  say(by(`${name}_note`), joined(...notes));
}

function pace(now) {
  const rates = now.rates ?? {}, its = now.matcher;
  const more = rates.matched_per_s;
  const sign = more > 0 ? "+" : "";
  tile("rate", perSecond(rates.messages_per_s), more == null ? "" : `matched orders ${sign}${perSecond(more)} a second`);
  const left = remainingMs(now);
  tile("behind", count(its?.behind), its?.behind === 0 ? "nothing waits" : left && `about ${duration(left)} at this pace`);
  const within = rates.wait_p99_ms == null ? "" : `99 of 100 within ${duration(rates.wait_p99_ms)}`;
  tile("wait", duration(rates.wait_p50_ms), within || "no message just now");
  tile("life", its ? `life ${count(its.epoch)}` : NONE, restarts(now), countedAt(now));
}

const restarts = (now) => now.restarts == null ? "" : `${plural(now.restarts, "restart", "restarts")} in 24 h`;

// Of when are the figures that are counted now and then, where it matters.
function countedAt(now) {
  const ms = Date.parse(now.at) - Date.parse(now.counted_at);
  return ms > LATELY_MS ? `as of ${ago(ms)}` : "";
}

const joined = (...parts) => parts.filter(Boolean).join(", ");

function stored(now, totals) {
  const kinds = new Set(now.at_risk.map((row) => row.kind)).size;
  tile("broken", count(totals.break), totals.break ? plural(kinds, "kind of break", "kinds of breaks") : "nothing breaks");
  tile("stored", count(totals.all), totals.all ? `${share(totals.ok, totals.all)} add up` : "");
}

function moneyByCurrency(now) {
  const matched = now.matched_minor, risk = now.at_risk_minor;
  const matchedOf = (currency) => matched[currency] ?? 0, riskOf = (currency) => risk[currency] ?? 0;
  const currencies = [...new Set([...Object.keys(matched), ...Object.keys(risk)])]
    .filter((currency) => matchedOf(currency) || riskOf(currency)).sort();
  const widths = (currency) => {
    const all = Math.abs(matchedOf(currency)) + Math.abs(riskOf(currency)) || 1;
    return [["ok", Math.abs(matchedOf(currency)) / all], ["break", Math.abs(riskOf(currency)) / all]];
  };
  table(by("money"), currencies, (currency) => currency, [
    text((currency) => currency || "none"),
    bar(widths),
    number((currency) => money(matchedOf(currency), currency)),
    number((currency) => money(riskOf(currency), currency), (currency) => riskOf(currency) ? "break" : ""),
  ], "No money has moved yet.");
}

function orders(rows, totals) {
  const known = Object.keys(WORDS).filter((outcome) => totals[outcome]);
  parts(by("outcomes"), known.map((outcome) => [outcome, totals[outcome] / totals.all]));
  show(by("outcomes"), totals.all > 0);
  const told = known.map((outcome) => make("span", outcome, `${share(totals[outcome], totals.all)} ${WORDS[outcome]}`));
  if (by("outcome_words").textContent !== told.map((each) => each.textContent).join("")) {
    by("outcome_words").replaceChildren(...told);
  }
  const statuses = new Map();
  for (const { status, outcome, orders: its } of rows) {
    const before = statuses.get(status)?.orders ?? 0;
    statuses.set(status, { status, outcome, orders: before + its });
  }
  const listed = [...statuses.values()].sort((a, b) => b.orders - a.orders || words(a.status).localeCompare(words(b.status)));
  const most = Math.max(1, ...listed.map((each) => each.orders));
  table(by("statuses"), listed, (each) => each.status, [
    text((each) => words(each.status)),
    bar((each) => [[each.outcome, each.orders / most]]),
    number((each) => count(each.orders)),
  ], "No order is stored yet.");
}

function matcher(now) {
  const its = now.matcher;
  const failure = its?.failure ? [["failure", its.failure]] : [];
  const facts = its ? [
    ["state", words(its.state)],
    ["life", `${count(its.epoch)}, began ${since(now, its.started_at)}`],
    ["restarts in 24 h", joined(count(now.restarts), countedAt(now))],
    ["last batch", its.batch_id === null ? NONE : `number ${count(its.batch_id)}, took ${duration(its.last_batch_ms)}`],
    ["last commit", its.last_commit_at ? since(now, its.last_commit_at) : NONE],
    ["last sign of life", `${duration(its.silent_ms)} ago`],
    ["messages in this life", `${count(its.messages)}, ${count(its.dead_letters)} of them rejected`],
    ...failure,
  ] : [];
  table(by("matcher"), facts, ([name]) => name, [
    text(([name]) => name),
    text(([, value]) => value, ([name]) => name === "failure" ? "wrong" : "n"),
  ], "No matcher has run here yet.");
}

function rejected(letters) {
  const reasons = Object.entries(letters).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  table(by("letters"), reasons, ([reason]) => reason, [
    text(([reason]) => words(reason)),
    number(([, messages]) => count(messages)),
  ], "No message was rejected.");
}
