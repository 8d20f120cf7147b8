/** The order in which rows are taken: torch's `randperm` on the CPU, so that a seed means the same in every language. */

/** MT19937 (M. Matsumoto and T. Nishimura, 1998), as torch seeds it: by the low 32 bits. */
export class MersenneTwister {
  private readonly state = new Uint32Array(624);
  private at = 624;

  constructor(seed: bigint) {
    this.state[0] = Number(seed & 0xffffffffn);
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1]!;
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
  }

  /** The next 32 bits. */
  next(): number {
    if (this.at === 624) this.refill();
    let y = this.state[this.at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private refill(): void {
    const { state } = this;
    for (let i = 0; i < 624; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
      state[i] = state[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.at = 0;
  }
}

/** A permutation of 0 … count - 1 (Fisher and Yates, as torch walks it). */
export function randomOrder(count: number, generator: MersenneTwister): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, at) => at);
  for (let at = 0; at < count - 1; at++) {
    const other = at + (generator.next() % (count - at));
    const held = order[at]!;
    order[at] = order[other]!;
    order[other] = held;
  }
  return order;
}
