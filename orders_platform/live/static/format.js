// Numbers, amounts and times as the statement's page writes them. Times are UTC: a link means the same everywhere.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const digits = new Map();

export const NONE = "-";

// The digits of currencies' minor units come from the server: statements and page say the same.
export function learnDigits(known) {
  for (const [currency, count] of Object.entries(known ?? {})) digits.set(currency, count);
}

export function money(minor, currency) {
  if (minor === null || minor === undefined) return NONE;
  // Beyond this a number of JSON has lost its last digits on the way here.
  const about = Number.isSafeInteger(minor) ? "" : "≈";
  const places = digits.get(currency) ?? 2;
  const figures = String(BigInt(Math.abs(minor))).padStart(places + 1, "0");
  const units = whole.format(BigInt(figures.slice(0, figures.length - places)));
  const part = places ? `.${figures.slice(-places)}` : "";
  return `${about}${minor < 0 ? "-" : ""}${units}${part}`;
}

export function coded(minor, currency) {
  const amount = money(minor, currency);
  return currency && amount !== NONE ? `${currency} ${amount}` : amount;
}

export const count = (number) => number === null || number === undefined ? NONE : whole.format(number);

export const share = (part, all) => all ? percent.format(part / all) : NONE;

export function perSecond(number) {
  if (number === null || number === undefined) return NONE;
  return Math.abs(number) < 100 ? tenths.format(number) : whole.format(number);
}

export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 1000) return `${whole.format(ms)} ms`;
  if (ms < 120_000) return `${tenths.format(ms / 1000)} s`;
  if (ms < 7_200_000) return `${tenths.format(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${tenths.format(ms / 3_600_000)} h` : `${tenths.format(ms / 86_400_000)} days`;
}

export function ago(ms) {
  const past = Math.max(0, ms);
  if (past < 120_000) return `${Math.floor(past / 1000)} s ago`;
  if (past < 7_200_000) return `${Math.floor(past / 60_000)} min ago`;
  return past < 172_800_000 ? `${Math.floor(past / 3_600_000)} h ago` : `${Math.floor(past / 86_400_000)} days ago`;
}

// How long a time of the document lies before the document's own time.
export const since = (now, time) => time ? ago(Date.parse(now.at) - Date.parse(time)) : NONE;

export const clock = (time) => time ? `${new Date(time).toISOString().slice(11, 19)} UTC` : NONE;

export const date = (time) => new Date(time).toISOString().slice(0, 10);

export const moment = (time) => time ? `${date(time)} ${clock(time)}` : NONE;

export const words = (name) => name?.replaceAll("_", " ") ?? "none";

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
