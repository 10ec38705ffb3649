// Light and dark: as the system says, or as the button does. Canvases can't follow the style sheet by themselves, so they are told.
import { button, element } from "./dom.ts";

type Choice = "" | "light" | "dark"; // "" is as the system says

const names: Record<Choice, string> = { "": "colours: as the system", light: "colours: light", dark: "colours: dark" };
const order: readonly Choice[] = ["", "light", "dark"];

export const themeChanged = "leaselog:theme";

// colour resolves one of the style sheet's variables, as "rgb(...)", with the theme and forced colours taken into account.
export function colour(variable: string): string {
  const probe = element("probe");
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

// pixel is a colour as four bytes of an ImageData, the way a Uint32Array holds them.
export function pixel(variable: string): number {
  const text = colour(variable); // "rgb(18, 62, 110)", or "color(srgb 0.1 0.2 0.4)" for a mixed one
  const scale = text.startsWith("color(") ? 255 : 1;
  const [r, g, b] = (text.match(/[\d.]+/g) ?? ["0", "0", "0"]).map((n) => Math.round(Number(n) * scale));
  return littleEndian ? ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0 : ((r << 24) | (g << 16) | (b << 8) | 255) >>> 0;
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function tell(): void {
  document.dispatchEvent(new Event(themeChanged));
}

export function mountTheme(): void {
  let choice: Choice = "";
  const root = document.documentElement;
  const apply = (to: Choice): void => {
    if (to === "") delete root.dataset.theme;
    else root.dataset.theme = to;
    tell();
  };
  const made = button(names[choice], names[choice], () => {
    choice = order[(order.indexOf(choice) + 1) % order.length];
    made.textContent = names[choice];
    apply(choice);
  });
  made.id = "theme";
  made.className = "quiet";
  element("theme").replaceWith(made);
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "(prefers-contrast: more)"]) {
    matchMedia(query).addEventListener("change", tell);
  }
  // Paper is white: what is printed is drawn in the light colours.
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply(choice));
}
