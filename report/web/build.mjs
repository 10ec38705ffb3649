// Bundles the page's script and style into dist, which package report embeds, or into another folder if one is named. The same
// sources and lock file give the same bytes.
import { build } from "esbuild";

await build({
  entryPoints: { page: "src/main.ts", style: "src/style.css" },
  outdir: process.argv[2] ?? "dist",
  bundle: true,
  minify: true,
  charset: "ascii",
  format: "iife",
  target: "es2022",
  legalComments: "inline",
  logLevel: "warning",
});
