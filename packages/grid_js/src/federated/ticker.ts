/** Ticks, in a worker of its own: browsers slow down the timers of a tab that nobody looks at, and not a worker's. */
let timer: ReturnType<typeof setInterval> | undefined;

export function serveTicks(): void {
  self.onmessage = ({ data }: MessageEvent<number>) => {
    clearInterval(timer);
    timer = setInterval(() => self.postMessage(null), data * 1000);
  };
}
