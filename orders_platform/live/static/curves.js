// Two curves over the last hour: by the second since the page is open, by the minute before that.

import { by, make, say } from "./dom.js";
import { clock, duration, perSecond } from "./format.js";

const HOUR_S = 3600, MINUTE_S = 60;
const SHORTEST_S = 300; // a young stream is not squeezed into a corner
const GAP_S = 10; // with no figure for so long the line breaks off
const FONT = '12px "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif';
const MARKS = new Map([
  [0.01, "10 ms"], [0.1, "100 ms"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86_400, "1 day"],
]);
const WAITS_S = [...MARKS.keys()];

const RATE = [{ name: "messages a second", key: "rate", colour: "--line", fill: "--faint", tell: perSecond }];
const seconds = (value) => duration(value == null ? null : value * 1000);
const WAITS = [
  { name: "half within", key: "p50", colour: "--line", tell: seconds },
  { name: "99 of 100 within", key: "p99", colour: "--up", tell: seconds },
  { name: "longest in a minute", key: "longest", colour: "--soft", dash: [3, 4], tell: seconds },
];

const heard = []; // by the second: {x, rate, p50, p99}
let curves = [];

export function plot(now) {
  const at = Date.parse(now.at) / 1000;
  if (heard.length && at <= heard.at(-1).x) return;
  const rates = now.rates ?? {};
  heard.push({ x: at, rate: rates.messages_per_s ?? null, p50: logged(rates.wait_p50_ms), p99: logged(rates.wait_p99_ms) });
  while (heard[0].x < at - HOUR_S) heard.shift();
  const points = [...byMinute(now, at), ...withGaps(heard)].sort((a, b) => a.x - b.x);
  const from = Math.max(at - HOUR_S, Math.min(points[0].x, at - SHORTEST_S));
  if (!curves.length) begin();
  for (const curve of curves) curve.update(points, from, at);
}

// A logarithm has no place for 0.
const logged = (ms) => ms === null || ms === undefined ? null : Math.max(ms / 1000, WAITS_S[0]);

// Minutes in which the page was not open have their mean; one without a row had no batch, so nothing was matched. Those
// that were not over when they were counted are not known yet.
// What a series says nothing of is `undefined`, which its line passes over; `null` breaks it off.
function byMinute({ minutes: rows = [], counted_at: time }, at) {
  const countedAt = Date.parse(time) / 1000;
  const known = new Map(rows.map((row) => [new Date(row.minute).getTime() / 1000, row]).filter(([x]) => x > at - HOUR_S));
  const seen = new Set(heard.map(({ x }) => Math.floor(x / MINUTE_S) * MINUTE_S));
  const points = [];
  for (let x = Math.min(...known.keys()); x + MINUTE_S <= at; x += MINUTE_S) {
    const row = known.get(x), isCounted = x + MINUTE_S <= countedAt;
    const mean = isCounted ? (row?.messages ?? 0) / MINUTE_S : null;
    const longest = isCounted ? logged(row?.longest_wait_ms) : undefined;
    points.push({ x: x + MINUTE_S / 2, rate: seen.has(x) ? undefined : mean, longest });
  }
  return points;
}

function withGaps(points) {
  return points.flatMap((point, place) => {
    const before = points[place - 1];
    const isGap = before && point.x - before.x > GAP_S;
    return isGap ? [{ x: before.x + 1, rate: null, p50: null, p99: null }, point] : [point];
  });
}

// The colours are the style's, so another scheme needs other curves.
function begin() {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const curve of curves) curve.redraw();
  });
  curves = [
    new Curve("rate", RATE, { range: (_, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] }, {}),
    new Curve("wait", WAITS, { distr: 3, range: enclosing }, {
      splits: (_, _axis, low, high) => WAITS_S.filter((mark) => mark >= low && mark <= high),
      values: (_, marks) => marks.map((mark) => MARKS.get(mark)),
      filter: (_, marks) => marks,
    }),
  ];
}

function enclosing(_, low, high) {
  const bottom = WAITS_S.findLast((mark) => mark <= (low ?? 1)) ?? WAITS_S[0];
  const top = WAITS_S.find((mark) => mark >= (high ?? 1)) ?? high;
  return [Math.min(bottom, 0.1), Math.max(top, 10)];
}

class Curve {
  #place; #legend; #series; #scale; #axis; #chart = null;
  #points = []; #from = 0; #to = 0;

  constructor(name, series, scale, axis) {
    this.#place = by(`${name}_curve`);
    this.#legend = by(`${name}_legend`);
    this.#series = series;
    this.#scale = scale;
    this.#axis = axis;
    this.#legend.replaceChildren(...series.map((each) => make("span", `key ${each.key}`, each.name, " ", make("b", ""))));
    new ResizeObserver(() => this.#chart?.setSize(this.#size())).observe(this.#place);
  }

  update(points, from, to) {
    [this.#points, this.#from, this.#to] = [points, from, to];
    if (this.#chart === null) this.redraw();
    else this.#chart.setData(this.#data());
    this.#tell();
  }

  redraw() {
    this.#chart?.destroy();
    this.#chart = null;
    this.#chart = new uPlot(this.#options(), this.#data(), this.#place);
  }

  #size() {
    return { width: this.#place.clientWidth, height: this.#place.clientHeight };
  }

  #data() {
    return [this.#points.map(({ x }) => x), ...this.#series.map(({ key }) => this.#points.map((point) => point[key]))];
  }

  #options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { font: FONT, stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: "live" } },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: () => [this.#from, this.#to] }, y: this.#scale },
      axes: [{ ...axis, size: 26, space: 70, values: times }, { ...axis, size: 52, ...this.#axis }],
      series: [{}, ...this.#series.map((each) => ({
        stroke: colour(each.colour), width: 1.75, dash: each.dash, points: { show: false },
        fill: each.fill && colour(each.fill), spanGaps: false,
      }))],
      hooks: { setCursor: [() => this.#tell()] },
    };
  }

  // The legend says the figures under the pointer, else those of now.
  #tell() {
    const at = this.#chart?.cursor.idx ?? null;
    const points = this.#points;
    const near = (key) => points.slice(0, (at ?? points.length - 1) + 1).findLast((point) => point[key] !== undefined);
    this.#series.forEach(({ key, tell }, place) => say(this.#legend.children[place].lastChild, tell(near(key)?.[key])));
    say(by("curves_at"), at === null ? "" : clock(1000 * points[at].x));
  }
}

function times(_, marks, _axis, _space, step) {
  return marks.map((mark) => new Date(mark * 1000).toISOString().slice(11, step < MINUTE_S ? 19 : 16));
}
