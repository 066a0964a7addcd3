// Charts that somebody made elsewhere, where the settings name some. They may run as their own site, and no more.

import { by, make } from "./dom.js";

export function embed(address) {
  if (!address || by("charts")) return;
  const title = make("h2", "", "Charts");
  title.id = "h_charts";
  const frame = make("iframe", "");
  frame.title = "Charts of MongoDB Atlas";
  frame.loading = "lazy";
  frame.sandbox = "allow-scripts allow-same-origin allow-popups";
  frame.src = address;
  const section = make("section", "", title, frame);
  section.id = "charts";
  section.setAttribute("aria-labelledby", title.id);
  by("main").append(section);
}
