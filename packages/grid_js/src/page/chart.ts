/** The loss of each step, as one curve. */
import { el, svg } from "./dom.js";
import type { Texts } from "./texts/index.js";

const WIDEST = 640, HEIGHT = 200, LEFT = 46, RIGHT = 12, TOP = 12, BOTTOM = 26;
/** Points that are drawn at most: of more, means of neighbours. */
const POINTS = 400;

/** Means of so many neighbours that at most `most` points are left; what is not finite is left out. */
export function thinned(losses: readonly number[], most: number): { readonly step: number; readonly loss: number }[] {
  const width = Math.max(1, Math.ceil(losses.length / most)), points: { step: number; loss: number }[] = [];
  for (let start = 0; start < losses.length; start += width) {
    const part = losses.slice(start, start + width).filter(Number.isFinite);
    if (part.length) points.push({ step: start + part.length / 2 + 0.5, loss: part.reduce((sum, each) => sum + each, 0) / part.length });
  }
  return points;
}

export function lossChart(losses: readonly number[], texts: Texts): HTMLElement {
  // So wide that its words are as large as others on a phone, too.
  const width = Math.min(WIDEST, Math.max(240, document.documentElement.clientWidth - 62)), points = thinned(losses, POINTS);
  const last = points.at(-1), most = Math.max(...points.map((each) => each.loss), 0) || 1;
  const x = (step: number) => LEFT + ((width - LEFT - RIGHT) * (step - 0.5)) / Math.max(losses.length, 1);
  const y = (loss: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - loss / most);
  const told = last ? texts.say("loss_now", { loss: texts.number(last.loss, 4), steps: texts.number(losses.length) }) : texts.say("loss_none");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": told },
    svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${width - RIGHT}` }),
    svg("text", { x: LEFT - 6, y: TOP + 8, "text-anchor": "end" }, points.length ? texts.number(most, 3) : ""),
    svg("text", { x: LEFT - 6, y: HEIGHT - BOTTOM, "text-anchor": "end" }, "0"),
    svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, texts.say("steps_axis")),
    points.length > 1 && svg("polyline", { class: "curve", points: points.map((each) => `${x(each.step).toFixed(1)},${y(each.loss).toFixed(1)}`).join(" ") }),
    last && svg("circle", { class: "end", r: 4, cx: x(last.step).toFixed(1), cy: y(last.loss).toFixed(1) }),
  );
  return el("figure", { class: "chart" }, drawing, el("figcaption", { class: "small muted" }, told));
}
