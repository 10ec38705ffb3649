// What of the addresses is zoomed in to, as text: a CIDR.
import { parts, valueOf, type Focus } from "./layout.ts";
import type { View } from "./types.ts";

const fewest = 4; // bits of what can be zoomed in to: a row of 16 addresses

// focusOf reads a CIDR; null if it is none, or of fewer addresses than a row.
export function focusOf(cidr: string): Focus | null {
  const slash = cidr.indexOf("/");
  const digits = cidr.slice(slash + 1);
  const address = slash < 0 || !/^\d{1,3}$/.test(digits) ? null : valueOf(cidr.slice(0, slash));
  if (!address) return null;
  const bits = (address.is4 ? 32 : 128) - Number(digits);
  if (bits < fewest) return null;
  return { is4: address.is4, bits, base: (address.value >> BigInt(bits)) << BigInt(bits) };
}

// isEmpty reports whether there is nothing to show of a view in what is zoomed in to.
export function isEmpty(view: View, focus: Focus): boolean {
  return parts(view, focus).length === 0;
}
