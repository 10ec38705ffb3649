import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const css = readFileSync("src/style.css", "utf8");

// luminance is that of WCAG 2.
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}

function colour(name: string, theme: number): string {
  const found = new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(css);
  if (!found) assert.fail(`no colour --${name}`);
  return found[1 + theme];
}

for (const [theme, name] of ["light", "dark"].entries()) {
  test(`${name}: what cells say differs by lightness, and words can be read`, () => {
    const pairs: [string, string, number][] = [
      ["held", "free", 3],
      ["held", "cooling", 3],
      ["cooling", "free", 3],
      ["held", "unsure", 3],
      ["free", "unsure", 3],
      ["gateway", "free", 3],
      ["reserved", "free", 3],
      ["excluded", "free", 3],
      ["unknown", "unknown-ground", 3],
      ["unknown", "free", 3],
      ["ramp-0", "free", 3],
      ...[0, 1, 2, 3, 4].map((i): [string, string, number] => [`ramp-${i}`, `ramp-${i + 1}`, 1.25]),
      ["ramp-5", "ramp-0", 3],
      ["fg", "bg", 7],
      ["muted", "bg", 4.5],
      ["muted", "panel", 4.5],
      ["accent", "bg", 4.5],
      ["bad", "bad-bg", 4.5],
      ["fg", "warn-bg", 7],
      ["edge", "bg", 3],
    ];
    for (const [a, b, least] of pairs) {
      const got = contrast(colour(a, theme), colour(b, theme));
      assert.equal(got >= least, true, `--${a} against --${b}: ${got.toFixed(2)}, want at least ${least}`);
    }
  });
}
