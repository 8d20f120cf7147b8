/** What is around every state: whose page it is, in which language, how far one is. */
import { el } from "../dom.js";
import { LANGUAGES, type Language, type Texts } from "../texts/index.js";
import type { State } from "../state.js";

const STEPS: Readonly<Partial<Record<State["at"], number>>> = {
  waiting: 0, review: 0, choose: 1, matched: 1, part: 2, done: 3,
};

export function header(texts: Texts, domain: string, choose: (language: Language) => void): HTMLElement {
  const select = el("select", {
    id: "language", "aria-label": texts.say("language"),
    change: () => choose(select.value as Language),
  }, Object.entries(LANGUAGES).map(([code, name]) =>
    el("option", { value: code, lang: code, selected: code === texts.language }, name)));
  return el("header", { class: "top" },
    el("img", { src: "/static/grid.svg", alt: "", width: 28, height: 28 }), el("strong", {}, domain), select);
}

export function steps(texts: Texts, at: State["at"]): HTMLElement | null {
  const now = STEPS[at];
  if (now === undefined) return null;
  const names = [texts.say("step_read"), texts.say("step_choose"), texts.say("step_part"), texts.say("step_done")];
  return el("ol", { class: "steps", "aria-label": texts.say("steps_label") }, names.map((name, place) =>
    el("li", { class: place < now ? "past" : "", "aria-current": place === now && "step" }, name)));
}

/** The heading that is read aloud, and takes the focus, when a state begins. */
export function heading(text: string): HTMLElement {
  return el("h1", { tabindex: -1 }, text);
}

export function busy(text: string): HTMLElement {
  return el("p", { role: "status" }, el("span", { class: "busy", "aria-hidden": "true" }), text);
}
