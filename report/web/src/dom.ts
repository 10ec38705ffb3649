// Elements by script: the page's policy forbids HTML from text, so parts are made of nodes.

export function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

// el makes an element. Of attributes, true is an empty one and false none.
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

// button makes one that says what it does: label is read, and shown as its tooltip, where its face is a sign.
export function button(face: string, label: string, act: () => void): HTMLButtonElement {
  const made = el("button", { type: "button" }, face);
  if (label !== face) {
    made.setAttribute("aria-label", label);
    made.title = label;
  }
  made.addEventListener("click", act);
  return made;
}
