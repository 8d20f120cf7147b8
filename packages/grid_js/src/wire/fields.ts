/** The fields of what came, held against what they must be before anybody uses them. */
import { InvalidEnvelope } from "../errors.js";
import { NotPacked, Real, unpack, type Packed } from "./msgpack.js";

/** Values as JSON has them, for configurations that nobody here interprets. */
export type Plain = null | boolean | number | bigint | string | Plain[] | { [name: string]: Plain };

/** A mapping. Its methods throw {@link InvalidEnvelope}, naming the field, for what is missing or of another kind. */
export class Fields {
  constructor(readonly map: ReadonlyMap<string, Packed>, readonly what: string) {}

  static read(bytes: Uint8Array, what: string): Fields {
    let value: Packed;
    try {
      value = unpack(bytes);
    } catch (error) {
      if (!(error instanceof NotPacked)) throw error;
      throw new InvalidEnvelope(`${what} cannot be read: ${error.message}`);
    }
    if (!(value instanceof Map)) throw new InvalidEnvelope(`${what} is no mapping`);
    return new Fields(value, what);
  }

  text(name: string, otherwise?: string): string {
    return this.take(name, otherwise, (value) => (typeof value === "string" ? value : undefined));
  }

  number(name: string, otherwise?: number): number {
    return this.take(name, otherwise, asNumber);
  }

  whole(name: string, otherwise?: number): number {
    return this.take(name, otherwise, (value) => (typeof value === "number" && value >= 0 ? value : undefined));
  }

  truth(name: string, otherwise?: boolean): boolean {
    return this.take(name, otherwise, (value) => (typeof value === "boolean" ? value : undefined));
  }

  /** A number, or null. */
  maybe(name: string): number | null {
    return this.take<number | null>(name, null, (value) => (value === null ? null : asNumber(value)));
  }

  list(name: string, otherwise?: readonly Packed[]): readonly Packed[] {
    return this.take(name, otherwise, (value) => (Array.isArray(value) ? value : undefined));
  }

  texts(name: string, otherwise?: readonly string[]): readonly string[] {
    return this.take(name, otherwise, (value) =>
      Array.isArray(value) && value.every((each) => typeof each === "string") ? (value as string[]) : undefined);
  }

  /** A mapping of names to texts. */
  names(name: string, otherwise?: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    return this.take(name, otherwise, (value) =>
      value instanceof Map && [...value.values()].every((each) => typeof each === "string")
        ? (value as Map<string, string>) : undefined);
  }

  mapping(name: string, otherwise?: ReadonlyMap<string, Packed>): ReadonlyMap<string, Packed> {
    return this.take(name, otherwise, (value) => (value instanceof Map ? value : undefined));
  }

  /** What is in it, read further; null where it is null or left out. */
  inner(name: string): Fields | null {
    const value = this.map.get(name) ?? null;
    if (value === null) return null;
    if (!(value instanceof Map)) throw this.wrong(name);
    return new Fields(value, `${this.what}: ${name}`);
  }

  private take<T>(name: string, otherwise: T | undefined, read: (value: Packed) => T | undefined): T {
    const value = this.map.get(name);
    const found = value === undefined ? otherwise : read(value);
    if (found === undefined) throw this.wrong(name);
    return found;
  }

  private wrong(name: string): InvalidEnvelope {
    return new InvalidEnvelope(`${this.what}: ${name} is missing, or not what it must be`);
  }
}

function asNumber(value: Packed): number | undefined {
  return typeof value === "number" ? value : value instanceof Real ? value.value : undefined;
}

/** As JSON has it; whether a whole number was floating-point is lost. */
export function plain(value: Packed): Plain {
  if (value instanceof Real) return value.value;
  if (value instanceof Uint8Array) throw new InvalidEnvelope("bytes where values are wanted");
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, each]) => [name, plain(each)]));
  return value;
}
