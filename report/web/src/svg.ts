// Drawings as SVG, of nodes, as the page's policy wants it.

export function svg(tag: string, attributes: Record<string, string | number>, ...children: (Node | string)[]): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

// mountPatterns puts the hatches into the page, which all drawings share: of what may be held the colour of held shows, what may be
// free has thin lines on the colour of free, and what is unknown has crossing lines of another colour.
export function mountPatterns(): void {
  const hatch = (id: string, size: number, d: string) =>
    svg("pattern", { id, width: size, height: size, patternUnits: "userSpaceOnUse" },
      svg("rect", { class: `${id}-back`, width: size, height: size }), svg("path", { class: id, d }));
  document.body.append(svg("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true" }, svg("defs", {},
    hatch("t-hatch-unsure", 6, "M-1 1l2 -2M0 6l6 -6M5 7l2 -2"),
    hatch("t-hatch-maybe", 7, "M-1 6l2 2M0 0l7 7M6 -1l2 2"),
    hatch("t-hatch-unknown", 8, "M-1 7l2 2M0 0l8 8M7 -1l2 2M0 8l8 -8M-1 1l2 -2M7 9l2 -2"))));
}
