// One order's story in a dialog. The address says which: /#order=ID can be sent to others, Back closes it.

import { by, make, say } from "./dom.js";
import { told } from "./tale.js";

const AGAIN_MS = 5_000; // an order goes on while somebody reads
const PATIENCE_MS = 15_000;

const dialog = by("story");
let order = null;
let isOurs = false; // whether Back leads to our own page
let shown = "";
let timer = 0;
let asked = 0;

export function begin() {
  addEventListener("hashchange", (event) => {
    isOurs = !orderOf(new URL(event.oldURL).hash);
    look();
  });
  dialog.addEventListener("close", leave);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  by("story_close").addEventListener("click", () => dialog.close());
  by("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = by("find_id").value.trim();
    if (id) location.hash = `order=${encodeURIComponent(id)}`;
  });
  look();
}

const orderOf = (hash) => new URLSearchParams(hash.slice(1)).get("order");

function look() {
  order = orderOf(location.hash);
  clearTimeout(timer);
  if (!order) return dialog.close();
  shown = "";
  say(by("story_title"), order);
  by("story_body").replaceChildren(make("p", "note", "Reading …"));
  if (!dialog.open) dialog.showModal();
  return read(order);
}

// Closed by Escape, the button or a click beside it: the address must not go on saying that it is open.
function leave() {
  clearTimeout(timer);
  if (!orderOf(location.hash)) return;
  order = null;
  if (isOurs) history.back();
  else history.replaceState(null, "", location.pathname);
}

async function read(id) {
  const mine = ++asked;
  const { text, tell } = await answer(id);
  if (mine !== asked || id !== order) return; // somebody has gone on to another
  if (text !== shown) {
    shown = text;
    tell(by("story_body"));
  }
  timer = setTimeout(() => document.hidden ? (timer = setTimeout(() => read(id), AGAIN_MS)) : read(id), AGAIN_MS);
}

async function answer(id) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const got = await fetch(`/api/order.json?id=${encodeURIComponent(id)}`, { signal });
    const text = await got.text();
    const its = JSON.parse(text);
    if (got.ok) return { text, tell: (place) => place.replaceChildren(...told(its)) };
    return { text, tell: (place) => place.replaceChildren(make("p", "", make("b", "", its.error)), make("p", "", its.fix)) };
  } catch {
    return { text: "", tell: unanswered };
  }
}

function unanswered(place) {
  place.replaceChildren(make("p", "", make("b", "", "This page's server does not answer.")), make("p", "", "It is asked again."));
}
