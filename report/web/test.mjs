// Bundles each test/*.test.ts, or those whose paths are given, and runs them with node --test.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

process.chdir(import.meta.dirname);
const given = process.argv.slice(2);
const tests = given.length > 0 ? given : readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => join("test", name));
const outdir = mkdtempSync(join(tmpdir(), "leaselog-report-test-"));
try {
  await build({
    entryPoints: tests,
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const built = readdirSync(outdir).map((name) => join(outdir, name));
  process.exitCode = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...built], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
