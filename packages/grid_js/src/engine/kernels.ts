/** The modules of kernels, and the one memory that it works in. */
import { functions } from "./math.js";
import type { Rest } from "./table.js";

/** All take and give numbers of 32 bits or floats; those that are i64 are bigints. */
export type Kernels = Readonly<Record<string, (...args: (number | bigint)[]) => number>> & {
  readonly least: () => bigint & number;
  readonly most: () => bigint & number;
};

/** What is below belongs to the kernels themselves. */
export const HEAP_BASE = 1 << 16;
const PAGE = 1 << 16;

/** Memory as elements of each type; the arrays are other ones after it has grown. */
export class Heap {
  u8!: Uint8Array;
  i32!: Int32Array;
  f32!: Float32Array;
  f64!: Float64Array;
  i64!: BigInt64Array;
  readonly kernels: Kernels;
  private readonly memory: WebAssembly.Memory;

  /** @param rest kernels that work in the memory of `common`, and the functions that they and the others call */
  constructor(common: WebAssembly.Module, rest?: readonly [WebAssembly.Module, Rest]) {
    const byNumber = functions(rest?.[1].SPECIAL ?? {}), env: WebAssembly.ModuleImports = {
      math: (op: number, x: number) => byNumber[op]!(x),
      exp: Math.exp, log: Math.log, tanh: Math.tanh, pow: power, atan2: Math.atan2,
    };
    const { exports } = new WebAssembly.Instance(common, { env });
    this.memory = exports["memory"] as WebAssembly.Memory;
    const more = rest && new WebAssembly.Instance(rest[0], { env: { ...env, memory: this.memory } }).exports;
    this.kernels = { ...exports, ...more } as unknown as Kernels;
    this.refresh();
  }

  /** Bytes there are. */
  get bytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** Sees to it that there are so many bytes. Throws RangeError where the browser gives no more. */
  reach(bytes: number): void {
    if (bytes > this.bytes) this.memory.grow(Math.ceil((bytes - this.bytes) / PAGE));
    this.refresh();
  }

  private refresh(): void {
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
  }
}

/** As C has it: 1 to the power of anything, and -1 to the power of infinities, are 1. */
function power(x: number, y: number): number {
  return x === 1 || (x === -1 && !Number.isFinite(y) && !Number.isNaN(y)) ? 1 : Math.pow(x, y);
}
