// From the text in the page to columns of numbers.

// DataError says what is wrong with the page's data.
export class DataError extends Error {
  override name = "DataError";
}

const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// fromBase64 decodes standard base64, with spaces around it but none within.
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  text = text.trim();
  if (text.length % 4 !== 0) throw new DataError(`read the page's data: it is cut short, ${text.length} characters of base64`);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = new Int8Array(65536).fill(-1);
  for (let i = 0; i < 64; i++) digits[base64.charCodeAt(i)] = i;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const whole = text.length - (padding > 0 ? 4 : 0);
  const digit = (i: number) => digits[text.charCodeAt(i)];
  let at = 0;
  let wrong = 0; // negative if any digit is
  for (let i = 0; i < whole; i += 4) {
    const bits = (digit(i) << 18) | (digit(i + 1) << 12) | (digit(i + 2) << 6) | digit(i + 3);
    wrong |= bits;
    bytes[at++] = bits >> 16;
    bytes[at++] = bits >> 8;
    bytes[at++] = bits;
  }
  if (padding > 0) {
    const bits = (digit(whole) << 18) | (digit(whole + 1) << 12) | (padding === 1 ? digit(whole + 2) << 6 : 0);
    wrong |= bits;
    bytes[at++] = bits >> 16;
    if (padding === 1) bytes[at++] = bits >> 8;
  }
  if (wrong < 0) throw new DataError(`read the page's data: character ${text.search(/[^A-Za-z0-9+/]/) + 1} is not of base64`);
  return bytes;
}

// gunzip unpacks one gzip stream, whose checksum must be right.
export async function gunzip(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  } catch (err) {
    throw new DataError(`unpack the page's data: it is cut short or was changed: ${err instanceof Error ? err.message : err}`);
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

// utf8Text decodes UTF-8. What is none becomes U+FFFD, as it does where leasectl prints it.
export function utf8Text(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

// Column reads a column from its beginning on. done must be called behind the last value: nothing may be left.
export class Column {
  private at = 0;
  private readonly bytes: Uint8Array;
  private readonly name: string;

  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.bytes = bytes;
  }

  fail(what: string): never {
    throw new DataError(`read column ${this.name} of the page's data: ${what}`);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(): number {
    if (this.at >= this.bytes.length) this.fail("it ends too early");
    return this.bytes[this.at++];
  }

  u24(): number {
    const at = this.take(3);
    return this.bytes[at] | (this.bytes[at + 1] << 8) | (this.bytes[at + 2] << 16);
  }

  u32be(): number {
    const at = this.take(4);
    const b = this.bytes;
    return ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
  }

  // take passes over so many bytes and returns where they begin.
  take(count: number): number {
    const at = this.at;
    if (count > this.bytes.length - at) this.fail("it ends too early");
    this.at += count;
    return at;
  }

  part(at: number, count: number): Uint8Array {
    return this.bytes.subarray(at, at + count);
  }

  // textAt returns the text whose length is written before it.
  textAt(at: number): string {
    const here = this.at;
    this.at = at;
    const length = this.uvarint();
    const text = utf8Text(this.part(this.at, length));
    this.at = here;
    return text;
  }

  // uvarint reads up to 53 bits; beyond 31 of them bit operations would lose some.
  uvarint(): number {
    let byte = this.bytes[this.at];
    if (byte < 0x80) {
      this.at++;
      return byte;
    }
    byte = this.u8(); // again: there may be none
    let value = byte & 0x7f;
    let factor = 128;
    do {
      byte = this.u8();
      value += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte >= 0x80 && factor <= 2 ** 49);
    if (byte >= 0x80 || value > Number.MAX_SAFE_INTEGER) this.fail("a number is larger than any that can be there");
    return value;
  }

  // below reads a number that must be smaller than limit.
  below(limit: number, of: string): number {
    const value = this.uvarint();
    if (value >= limit) this.fail(`${of} ${value} is not there`);
    return value;
  }

  zigzag(): number {
    const value = this.uvarint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  done(): void {
    if (this.at !== this.bytes.length) this.fail(`${this.bytes.length - this.at} bytes are left over`);
  }
}
