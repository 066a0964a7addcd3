// The stream of numbers. It survives whatever is behind it: the server may come and go, the line may go dead without a
// word, and while the tab is hidden no figures are asked for.

const SILENT_MS = 4_000; // the server sends each second
const DEAD_MS = 12_000; // an open connection that is silent for so long leads nowhere, whatever the browser thinks of it
const AGAIN_MS = 2_000; // between attempts to open one

export class Stream {
  #address;
  #take;
  #tick;
  #source = null;
  #timer = 0;
  #seenAtMs = 0;
  #openedAtMs = 0;
  #heardAtMs = -Infinity;
  #isTaken = false;

  // `take` gets each document. `tick` is called each second while the page is seen, and when that changes.
  constructor(address, take, tick) {
    this.#address = address;
    this.#take = take;
    this.#tick = tick;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  // "heard", or why not: the tab is "hidden", it was "opened" just now, the server is "silent", or what it told is
  // "untaken", as `take` threw.
  get state() {
    if (document.hidden) return "hidden";
    const now = performance.now();
    if (now - this.#heardAtMs < SILENT_MS) return this.#isTaken ? "heard" : "untaken";
    return now - this.#seenAtMs < SILENT_MS ? "opened" : "silent";
  }

  #look() {
    clearInterval(this.#timer);
    this.#source?.close();
    if (!document.hidden) {
      this.#seenAtMs = performance.now();
      this.#open();
      this.#timer = setInterval(() => this.#watch(), 1000);
    }
    this.#tick();
  }

  #open() {
    this.#openedAtMs = performance.now();
    this.#source = new EventSource(this.#address);
    this.#source.addEventListener("message", (event) => this.#hear(event.data));
  }

  #hear(data) {
    this.#heardAtMs = performance.now();
    this.#isTaken = true;
    try {
      this.#take(JSON.parse(data));
    } catch (error) {
      this.#isTaken = false;
      this.#tick();
      throw error; // for the browser's console
    }
  }

  // The browser connects again by itself, but takes its time, and takes an answer that is no stream for the end.
  #watch() {
    const silentMs = performance.now() - Math.max(this.#heardAtMs, this.#openedAtMs);
    const isOpen = this.#source.readyState === EventSource.OPEN;
    if (silentMs > (isOpen ? DEAD_MS : AGAIN_MS)) {
      this.#source.close();
      this.#open();
    }
    this.#tick();
  }
}
