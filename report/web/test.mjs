// Bundles each test/*.test.ts, or those whose paths are given, and runs them with node --test.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const given = process.argv.slice(2).map((name) => resolve(name));
const folder = join(here, "test");
const tests = given.length > 0 ? given : readdirSync(folder).filter((name) => name.endsWith(".test.ts")).map((name) => join(folder, name));
const outdir = mkdtempSync(join(tmpdir(), "leaselog-report-test-"));
try {
  await build({
    entryPoints: tests,
    absWorkingDir: here,
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
  process.exitCode = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...built], { stdio: "inherit", cwd: here }).status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
