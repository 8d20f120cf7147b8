/**
 * Where tensors lie: memory is given out and taken back while a plan is prepared, not while it runs. So a run takes
 * nothing, its peak is known before anything is allocated, and no step can meet what another still needs.
 */

const ALIGN = 16;

export class Arena {
  /** The highest byte that was ever given out. */
  top: number;
  /** Free blocks below `top`, in order: [begin, end). */
  private free: [number, number][] = [];

  constructor(base: number) {
    this.top = base;
  }

  /** `bytes` at a multiple of 16: the smallest free block that is large enough, else above everything. */
  take(bytes: number): number {
    const size = rounded(bytes);
    let best = -1;
    for (let i = 0; i < this.free.length; i++) {
      const room = this.free[i]![1] - this.free[i]![0];
      if (room >= size && (best < 0 || room < this.free[best]![1] - this.free[best]![0])) best = i;
    }
    if (best < 0) {
      const last = this.free.at(-1);
      if (last?.[1] === this.top) { // grow the last block
        this.free.pop();
        this.top = last[0] + size;
        return last[0];
      }
      return this.fresh(size);
    }
    const block = this.free[best]!, begin = block[0];
    block[0] += size;
    if (block[0] === block[1]) this.free.splice(best, 1);
    return begin;
  }

  /** `bytes` that nobody has had before. */
  fresh(bytes: number): number {
    const begin = this.top;
    this.top += rounded(bytes);
    return begin;
  }

  give(begin: number, bytes: number): void {
    const end = begin + rounded(bytes);
    let at = this.free.findIndex((block) => block[0] >= begin);
    if (at < 0) at = this.free.length;
    const before = this.free[at - 1], after = this.free[at];
    if (before?.[1] === begin) {
      before[1] = end;
      if (after?.[0] === end) {
        before[1] = after[1];
        this.free.splice(at, 1);
      }
    } else if (after?.[0] === end) after[0] = begin;
    else this.free.splice(at, 0, [begin, end]);
  }
}

function rounded(bytes: number): number {
  return Math.max(Math.ceil(bytes / ALIGN) * ALIGN, ALIGN);
}
