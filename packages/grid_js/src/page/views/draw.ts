/** Pictures drawn by hand, class by class: with a finger, a pen, a mouse, or the keyboard. */
import type { ArrayInputs } from "../../federated/inputs/declared.js";
import { el } from "../dom.js";
import type { Chosen, Drawn } from "../state.js";
import type { Texts } from "../texts/index.js";

/** Pixels on the screen along the longer side, about. */
const SIDE = 280;
/** Ink on a picture is so wide, in parts of its longer side: as in MNIST, two or three pixels of 28. */
const PEN = 0.085;

export function drawing(inputs: ArrayInputs, texts: Texts, choose: (chosen: Chosen) => void): HTMLElement {
  const [, height = 1, width = 1] = inputs.shape;
  const words = inputs.label.kind === "category" ? inputs.label.categories : [];
  const scale = Math.max(1, Math.floor(SIDE / Math.max(width, height))), kept: Drawn[] = [];
  const pad = new Pad(width, height, scale);
  const prompt = el("h2", { "aria-live": "polite" }), list = el("ul", { class: "kept" }), told = el("p", { class: "small muted", role: "status" });
  const use = el("button", { type: "button", click: () => choose({ kind: "drawn", size: [height, width], pictures: [...kept] }) }, texts.say("draw_go"));
  const undo = el("button", { type: "button", click: () => (kept.pop(), show()) }, texts.say("draw_undo"));
  const next = () => {
    const counts = words.map((_, place) => kept.filter((each) => each.label === place).length);
    return counts.indexOf(Math.min(...counts));
  };
  const show = () => {
    const label = words[next()] ?? "";
    prompt.textContent = texts.say("draw_prompt", { label });
    pad.canvas.setAttribute("aria-label", texts.say("draw_canvas", { label }));
    list.replaceChildren(...words.map((word, place) => {
      const count = kept.filter((each) => each.label === place).length;
      return el("li", { class: count ? "some" : "" }, `${word}: ${texts.number(count)}`);
    }));
    told.textContent = texts.count("draw_few_one", "draw_few", kept.length);
    use.disabled = undo.disabled = !kept.length;
    use.classList.toggle("main", kept.length >= words.length);
  };
  const keep = () => {
    const pixels = pad.pixels();
    if (pixels.every((value) => value === 0)) {
      told.textContent = texts.say("draw_empty");
      return;
    }
    kept.push({ label: next(), pixels });
    pad.clear();
    show();
  };
  pad.canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") keep();
    else if (!pad.key(event.key)) return;
    else if (event.key === " ") told.textContent = texts.say(pad.down ? "draw_pen_down" : "draw_pen_up");
    event.preventDefault();
  });
  const area = el("div", { class: "drawing" },
    el("div", { class: "pad" }, pad.canvas, pad.pen),
    el("div", {}, prompt, el("p", { class: "small muted", id: "draw-hint" }, texts.say("draw_hint")),
      el("div", { class: "actions" }, el("button", { class: "main", type: "button", click: keep }, texts.say("draw_keep")),
        el("button", { type: "button", click: () => pad.clear() }, texts.say("draw_clear")))));
  show();
  return el("div", {}, area, el("h2", {}, texts.say("draw_kept")), list, told, el("div", { class: "actions" }, use, undo));
}

/** A black area with white ink, read as a picture of few pixels: means of the squares that each of them covers. */
class Pad {
  readonly canvas: HTMLCanvasElement;
  readonly pen = el("span", { class: "pen", "aria-hidden": "true" });
  down = false;
  private readonly context: CanvasRenderingContext2D;
  private at: readonly [number, number];
  private pointer: number | null = null;

  constructor(private readonly width: number, private readonly height: number, private readonly scale: number) {
    this.canvas = el("canvas", { width: width * scale, height: height * scale, tabindex: 0, role: "application", "aria-describedby": "draw-hint" });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true })!;
    this.at = [this.canvas.width / 2, this.canvas.height / 2];
    this.clear();
    this.canvas.addEventListener("pointerdown", (event) => {
      this.pointer = event.pointerId;
      this.canvas.setPointerCapture(event.pointerId);
      this.at = this.place(event);
      this.line(this.at);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.pointer) for (const each of event.getCoalescedEvents?.() ?? [event]) this.line(this.place(each));
    });
    for (const end of ["pointerup", "pointercancel"] as const) this.canvas.addEventListener(end, () => (this.pointer = null));
    this.canvas.addEventListener("focus", () => this.follow());
  }

  private place(event: PointerEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
  }

  private line(to: readonly [number, number]): void {
    const context = this.context;
    context.lineWidth = PEN * Math.max(this.canvas.width, this.canvas.height);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = "#fff";
    context.beginPath();
    context.moveTo(...this.at);
    context.lineTo(...to);
    context.stroke();
    this.at = to;
    this.follow();
  }

  /** What a key does; whether it is one of the pen's. */
  key(name: string): boolean {
    const step = Math.max(this.scale, this.canvas.width / 28), [x, y] = this.at;
    const to: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step], " ": [x, y],
    };
    const found = to[name];
    if (!found) return false;
    if (name === " ") this.down = !this.down;
    const inside: [number, number] = [Math.min(Math.max(found[0], 0), this.canvas.width), Math.min(Math.max(found[1], 0), this.canvas.height)];
    if (this.down) this.line(inside);
    this.at = inside;
    this.follow();
    return true;
  }

  /** The pen's mark goes where the pen is. */
  private follow(): void {
    this.pen.style.setProperty("left", `${(100 * this.at[0]) / this.canvas.width}%`);
    this.pen.style.setProperty("top", `${(100 * this.at[1]) / this.canvas.height}%`);
    this.pen.classList.toggle("down", this.down);
  }

  clear(): void {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.down = false;
    this.follow();
  }

  pixels(): Uint8Array {
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height), made = new Uint8Array(this.width * this.height);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        let ink = 0;
        for (let row = 0; row < this.scale; row++) {
          const start = 4 * ((y * this.scale + row) * this.canvas.width + x * this.scale);
          for (let column = 0; column < this.scale; column++) ink += data[start + 4 * column]!;
        }
        made[y * this.width + x] = Math.round(ink / this.scale ** 2);
      }
    }
    return made;
  }
}
