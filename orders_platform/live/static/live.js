// The page: one stream of documents, each drawn as it comes.

import { breaks } from "./breaks.js";
import { day } from "./bridge.js";
import { plot } from "./curves.js";
import { by, say, show } from "./dom.js";
import { embed } from "./embed.js";
import { figures } from "./figures.js";
import { ago, learnDigits, moment } from "./format.js";
import { begin } from "./story.js";
import { Stream } from "./stream.js";
import { verdict } from "./verdict.js";

let now = null; // the document that was drawn last
let figuresSeenAtMs = 0; // when the figures that are shown were those of now, by the page's own clock
let colour = "";

const stream = new Stream("/events", take, tell);

// What can't be drawn throws: the page then goes on saying of when the figures are that were drawn last.
function take(its) {
  learnDigits(its.digits);
  embed(its.charts);
  link("dagster", its.dagster);
  link("prometheus", its.prometheus);
  if (its.at) {
    figures(its);
    breaks(its);
    if (its.day !== undefined && its.digits) day(its);
    plot(its);
    figuresSeenAtMs = performance.now() - 1000 * (its.stale_s ?? 0);
  }
  now = its;
  tell();
  by("beat").classList.toggle("tock");
}

// Says how things are, also while nothing comes.
function tell() {
  const { kind, word, sentence } = verdict(now, stream.state);
  say(by("word"), word);
  say(by("sentence"), sentence);
  const body = document.body;
  body.dataset.kind = kind;
  body.classList.toggle("old", stream.state !== "heard" || !now?.at || now.stale);
  say(by("as_of"), now?.at ? `As of ${moment(now.at)}, ${ago(performance.now() - figuresSeenAtMs)}.` : "");
  say(document.querySelector("title"), `${word} · orders-platform live`);
  paint();
}

// The tab's sign has the state's colour.
function paint() {
  const its = getComputedStyle(by("word")).color;
  if (its === colour) return;
  colour = its;
  const circle = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${its}"/></svg>`;
  by("icon").href = `data:image/svg+xml,${encodeURIComponent(circle)}`;
}

function link(name, address) {
  show(by(name), Boolean(address));
  if (address && by(name).href !== address) by(name).href = address;
}

begin();
stream.start();
