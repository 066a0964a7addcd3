// Looks at every text that a person sees: is it readable, does anything stick out?

const parse = (color) => {
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const over = (top, below) => ({
  r: top.r * top.a + below.r * (1 - top.a),
  g: top.g * top.a + below.g * (1 - top.a),
  b: top.b * top.a + below.b * (1 - top.a),
  a: 1,
});
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    layers.push(color);
    if (color.a === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), parse("rgb(255, 255, 255)"));
};
const luminance = ({ r, g, b }) => {
  const [x, y, z] = [r, g, b].map((each) => each / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (color, below) => {
  const [high, low] = [luminance(over(parse(color), below)), luminance(below)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
};
const isSeen = (element) =>
  element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, .skip:not(:focus)");
const isFaded = (element) => {
  for (let at = element; at; at = at.parentElement) if (getComputedStyle(at).opacity !== "1") return true;
  return false;
};

window.audit = {
  // The texts with less contrast than 4.5, or faded ones, of the dialog if one is open.
  faint() {
    const root = document.querySelector("dialog[open]") ?? document.body;
    const found = [];
    let looked = 0;
    const look = (element, text, color) => {
      looked += 1;
      const ratio = contrast(color, ground(element));
      if (ratio < 4.5 || isFaded(element)) found.push(`${ratio.toFixed(2)} ${element.localName}.${element.className}: ${text}`);
    };
    for (const element of root.querySelectorAll("*")) {
      const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").trim();
      if (text && isSeen(element)) look(element, text, getComputedStyle(element).color);
      if (element.placeholder) look(element, element.placeholder, getComputedStyle(element, "::placeholder").color);
    }
    return { found, looked };
  },

  // What is wider than the window, unless it scrolls in a box of its own.
  wide() {
    const edge = document.documentElement.clientWidth + 0.5;
    const boxed = (element) => element.closest(".wide, .unseen, .skip, .uplot, svg");
    const out = [...document.querySelectorAll("body *")].filter((each) => isSeen(each) && !boxed(each) && each.getBoundingClientRect().right > edge);
    const scrolls = [document.documentElement, document.querySelector("dialog")].filter((each) => each.scrollWidth > each.clientWidth);
    return [...out, ...scrolls].map((each) => `${each.localName}#${each.id}.${each.className}`);
  },
};
