// Keys that work everywhere but where text is written, and the list of them. They can be switched off: a voice that is taken for keys
// would press them.
import { el, element } from "./dom.ts";
import type { Transport } from "./play.ts";

export function mountKeys(transport: Transport, nextOpen: () => void): void {
  const keys: readonly (readonly [string, string, () => void])[] = [
    [",", "previous event", transport.previous],
    [".", "next event", transport.next],
    ["k", "play or pause", transport.play],
    ["[", "to the beginning", transport.first],
    ["]", "to the end", transport.last],
    ["g", "to the addresses", () => element("grid").focus()],
    ["u", "to the next address that is uncertain or unknown", nextOpen],
    ["j", "to the field of the instant", () => element("jump").focus()],
  ];
  const on = el("input", { type: "checkbox", id: "keys-on", checked: true });
  const list = el("dl", { class: "key-list" });
  for (const [key, text] of keys) list.append(el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)));
  const more: readonly (readonly [string, string])[] = [
    ["/", "to the search"],
    ["Escape", "out of the field of the instant; in the search: ends it"],
    ["← → ↑ ↓", "in the addresses: from one to the next; on the slider: through time"],
    ["Enter", "choose the address"],
    ["+ −", "in the addresses: zoom in at the cursor, and out"],
  ];
  for (const [key, text] of more) list.append(el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)));
  element("keys").append(
    el("details", {}, el("summary", {}, "Keys"), list, el("label", { for: "keys-on" }, on, " keys of one letter or sign work everywhere")),
  );
  document.addEventListener("keydown", (e) => {
    if (!on.checked || e.ctrlKey || e.altKey || e.metaKey || e.defaultPrevented || writes(e.target)) return;
    const found = keys.find(([key]) => key === e.key);
    if (!found) return;
    e.preventDefault();
    found[2]();
  });
}

function writes(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement) return !["range", "radio", "checkbox", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || (target instanceof HTMLElement && target.isContentEditable);
}
