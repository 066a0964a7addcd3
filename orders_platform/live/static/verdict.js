// One glance: is all well? The words change only when the answer does, as screen readers say them aloud.

import { clock } from "./format.js";

const SILENT_MS = 10_000; // a matcher that gave no sign of life for so long is not up, as in the metrics
const LATE_MS = 60_000; // messages may wait for so long, as the checks have it
const PATIENT_MS = 10_000; // a batch may take so long to come
const STALLED_MS = 60_000; // the supervisor ends a matcher with which it takes longer

const GOOD = "good", WAIT = "wait", BAD = "bad";

// Returns how well it is, a word for it, and a sentence. `now` is the server's document, null before the first one;
// `heard` is the stream's state.
export function verdict(now, heard) {
  if (heard !== "heard") return unheard(now, heard);
  if (now.stale) return stale(now);
  return ofMatcher(now, now.matcher) ?? ofServices(now) ?? ofMoney(now) ?? pace(now, now.matcher);
}

const of = (now) => now?.at ? `The figures are those of ${clock(now.at)}.` : "There are no figures yet.";

function unheard(now, heard) {
  if (heard === "hidden") return { kind: WAIT, word: "paused", sentence: of(now) };
  if (heard === "opened") return { kind: WAIT, word: "connecting", sentence: of(now) };
  if (heard === "untaken") {
    return { kind: BAD, word: "out of date", sentence: `This page can't draw what its server tells: load it again. ${of(now)}` };
  }
  return { kind: BAD, word: "out of date", sentence: `This page's server does not answer. ${of(now)}` };
}

function stale(now) {
  const sentence = `${now.trouble || "This page's server waits for MongoDB."} ${of(now)}`;
  if (now.at) return { kind: BAD, word: "out of date", sentence };
  return { kind: now.trouble ? BAD : WAIT, word: "no figures", sentence };
}

function ofMatcher(now, matcher) {
  if (!matcher) return { kind: WAIT, word: "no matcher", sentence: "No matcher has run here yet." };
  if (matcher.state === "failed") {
    return { kind: BAD, word: "failed", sentence: `The matcher failed: ${matcher.failure || "it did not say why"}` };
  }
  if (matcher.state === "stopped" || matcher.wanted === false) {
    return { kind: WAIT, word: "stopped", sentence: "The matcher is stopped: nothing is matched meanwhile." };
  }
  if (matcher.silent_ms > SILENT_MS) {
    const last = new Date(Date.parse(now.at) - matcher.silent_ms);
    return { kind: BAD, word: "silent", sentence: `The matcher gave its last sign of life at ${clock(last)}.` };
  }
  if (matcher.state !== "running") {
    return { kind: WAIT, word: matcher.state, sentence: "The matcher is about to work." };
  }
  return null;
}

// MongoDB answers, as the figures are not old: what is in trouble is something else that is asked.
function ofServices(now) {
  return now.trouble ? { kind: BAD, word: "in trouble", sentence: now.trouble } : null;
}

function ofMoney(now) {
  const open = Object.entries(now.day?.currencies ?? {}).filter(([, bridge]) => bridge.residual_minor);
  if (!open.length) return null;
  const currencies = open.map(([currency]) => currency).join(", ");
  return { kind: BAD, word: "does not add up", sentence: `The day's bridge leaves a residual in ${currencies}.` };
}

function pace(now, matcher) {
  const waitedMs = waitingMs(now, matcher);
  if (waitedMs > STALLED_MS) {
    return { kind: BAD, word: "stalled", sentence: "Messages wait, and no batch has come for more than a minute." };
  }
  if (matcher.behind > 0 && (remainingMs(now) > LATE_MS || now.rates?.wait_p99_ms > LATE_MS)) {
    return { kind: WAIT, word: "catching up", sentence: "Messages wait for more than a minute." };
  }
  if (waitedMs > PATIENT_MS) return { kind: WAIT, word: "waiting", sentence: "Messages wait for the next batch." };
  return { kind: GOOD, word: "matching", sentence: "Messages are matched as they come." };
}

let waiting = null; // for which batch of which life, and since when

// How long messages have waited for a batch that does not come, as far as this page has seen. The time of the last
// batch does not tell: a quiet stream has none either.
function waitingMs(now, { behind, epoch, batch_id: batch }) {
  const after = `${epoch}:${batch}`, atMs = Date.parse(now.at);
  if (!(behind > 0)) waiting = null;
  else if (waiting?.after !== after) waiting = { after, sinceMs: atMs };
  return waiting ? atMs - waiting.sinceMs : 0;
}

// How long the matcher needs for what waits, at the pace of now; null where nothing moves.
export function remainingMs(now) {
  const perSecond = now.rates?.messages_per_s;
  return perSecond > 0 && now.matcher?.behind > 0 ? (1000 * now.matcher.behind) / perSecond : null;
}
