// Elements, filled with text alone: nothing that comes from a stream is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const by = (id) => document.getElementById(id);

export function make(name, kind, ...content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

export function draw(name, attributes, ...content) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

// Touches the page only where it differs, so that selections stay and nothing is laid out again for nothing.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

// Makes the children of `parent` those of `items`, each known by its key; what stays is not taken out, so it keeps
// focus and selection. `create` makes an item's element, `fill` brings it up to date.
export function keyed(parent, items, key, create, fill) {
  const known = new Map([...parent.children].map((each) => [each.dataset.key, each]));
  const wanted = new Map(items.map((item) => [String(key(item)), item]));
  for (const [name, element] of known) if (!wanted.has(name)) element.remove();
  let place = parent.firstElementChild;
  for (const [name, item] of wanted) {
    const element = known.get(name) ?? create(item);
    element.dataset.key = name;
    fill(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

// Fills a table's body. A column is a function of (cell, item); the first one's cells head their rows.
export function table(body, items, key, columns, empty) {
  if (!items.length) return keyed(body, [empty], String, () => emptyRow(columns.length, empty), () => {});
  const create = () => {
    const row = make("tr", "", ...columns.map((_, at) => make(at ? "td" : "th", "")));
    row.firstElementChild.scope = "row";
    return row;
  };
  const fill = (row, item) => columns.forEach((column, at) => column(row.children[at], item));
  return keyed(body, items, key, create, fill);
}

function emptyRow(columns, words) {
  const cell = make("td", "note", words);
  cell.colSpan = columns;
  return make("tr", "", cell);
}

export const text = (of, kind = "") => (cell, item) => {
  say(cell, of(item));
  const its = typeof kind === "function" ? kind(item) : kind;
  if (cell.className !== its) cell.className = its;
};

export const number = (of, kind = () => "") => text(of, (item) => `n ${kind(item)}`.trim());

// A bar of parts, each a share of the whole width and a kind that colours it. Its figures stand beside it as text.
export const bar = (of) => (cell, item) => {
  if (!cell.firstElementChild) {
    cell.className = "picture";
    cell.append(make("div", "bar"));
    cell.setAttribute("aria-hidden", "true");
  }
  parts(cell.firstElementChild, of(item));
};

export function parts(place, shares) {
  keyed(place, shares, ([kind]) => kind, ([kind]) => make("i", kind), (element, [, width]) => {
    element.style.width = `${(100 * width).toFixed(2)}%`;
  });
}
