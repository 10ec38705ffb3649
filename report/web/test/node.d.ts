// What the tests use of Node.

declare module "node:test" {
  export default function test(name: string, run: () => void | Promise<void>): void;
}

declare module "node:assert/strict" {
  interface Assert {
    (value: unknown, message?: string): asserts value;
    equal<T>(got: unknown, want: T, message?: string): asserts got is T;
    deepEqual(got: unknown, want: unknown, message?: string): void;
    match(got: string, want: RegExp, message?: string): void;
    throws(run: () => unknown, want: RegExp | { message: string | RegExp }, message?: string): void;
    rejects(run: Promise<unknown>, want: RegExp | { message: string | RegExp }, message?: string): Promise<void>;
    fail(message?: string): never;
  }
  const assert: Assert;
  export default assert;
}

declare module "node:fs" {
  export function readFileSync(path: string): Uint8Array<ArrayBuffer>;
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function existsSync(path: string): boolean;
}

declare module "node:zlib" {
  export function gzipSync(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
}
