// One order's story in a dialog. The address says which: /#order=ID can be sent to others, Back closes it.

import { by, make, say } from "./dom.js";
import { told } from "./tale.js";

const AGAIN_MS = 2_000; // an order goes on while somebody reads
const PATIENCE_MS = 15_000;

const dialog = by("story");
let order = null;
let isOurs = false; // whether Back leads to our own page
let shown = "";
let timer = 0;
let asked = 0; // so that an answer that comes late is told from the latest

export function begin() {
  addEventListener("hashchange", (event) => {
    isOurs = !orderOf(new URL(event.oldURL).hash);
    look();
  });
  dialog.addEventListener("close", leave);
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
  say(by("story_note"), "");
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

// While the tab is hidden it is asked for only until there is something to come back to.
async function read(id) {
  const mine = ++asked;
  if (!shown || !document.hidden) {
    const answer = await ask(id);
    if (mine !== asked || id !== order) return; // somebody has gone on to another
    tell(answer);
  }
  timer = setTimeout(() => read(id), AGAIN_MS);
}

// What the server says, or what keeps it from saying anything.
async function ask(id) {
  try {
    const address = `/api/order.json?id=${encodeURIComponent(id)}`;
    const got = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = await got.text();
    const its = JSON.parse(text);
    if (got.ok) return { text, content: () => told(its), trouble: "" };
    if (got.status !== 404) return { trouble: `${its.error} ${its.fix}` };
    return { text, content: () => [make("p", "", make("b", "", its.error)), make("p", "", its.fix)], trouble: "" };
  } catch {
    return { trouble: "This page's server does not answer." };
  }
}

// A story that was told stays while there is trouble, and says that it may not be the latest.
function tell({ text, content, trouble }) {
  const rest = shown ? "The story may have gone on since." : "It is asked again.";
  say(by("story_note"), trouble && `${trouble} ${rest}`);
  if (trouble || text === shown) return;
  shown = text;
  by("story_body").replaceChildren(...content());
}
