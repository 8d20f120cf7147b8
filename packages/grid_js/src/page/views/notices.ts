/** States in which there is one thing to say, and mostly nothing to do. */
import { el } from "../dom.js";
import type { Attendance, State } from "../state.js";
import type { Key, Texts } from "../texts/index.js";
import { busy, heading } from "./frame.js";

export interface NoticeActions {
  redeem(name: string): void;
  again(): void;
}

type Notice = Extract<State, { at: "loading" | "insecure" | "unsupported" | "unknown" | "invited" | "refused" | "ended" | "failed" }>;

export function notice(state: Notice, texts: Texts, domain: string, here: URL, actions: NoticeActions): Node[] {
  const say = (key: Key, values = {}) => el("p", {}, texts.say(key, { domain, ...values }));
  switch (state.at) {
    case "loading":
      return [busy(texts.say("loading"))];
    case "insecure": {
      const there = new URL(here);
      there.protocol = "https:";
      return [heading(texts.say("insecure_title")), el("p", { class: "lead" }, texts.say("insecure_lead", { here: here.origin })),
        say("insecure_why"), say("insecure_do"),
        el("p", { class: "actions" }, el("a", { class: "button", href: there.href }, texts.say("insecure_try", { there: there.origin })))];
    }
    case "unsupported":
      return [heading(texts.say("unsupported_title")), say("unsupported_lead", { detail: state.detail })];
    case "unknown":
      return [heading(texts.say("unknown_title")), el("p", { class: "lead" }, texts.say("unknown_lead", { domain })), say("unknown_do")];
    case "refused":
      return [heading(texts.say("refused_title")), el("p", { class: "lead" }, texts.say("refused_lead", { domain }))];
    case "ended":
      return [heading(texts.say("ended_title")), el("p", { class: "lead" },
        texts.say("ended_lead", { status: texts.say(`status_${state.training}` as Key) }))];
    case "failed":
      return [heading(texts.say("failed_title")), el("p", { class: "notice bad", role: "alert" }, state.detail),
        state.again && el("div", { class: "actions" }, el("button", { class: "main", type: "button", click: actions.again }, texts.say("failed_again")))]
        .filter((each) => each instanceof Node);
    case "invited":
      return invited(state, texts, domain, actions);
  }
}

function invited(state: Extract<State, { at: "invited" }>, texts: Texts, domain: string, actions: NoticeActions): Node[] {
  const name = el("input", { id: "name", type: "text", maxlength: 200, autocomplete: "name", "aria-describedby": "name-hint" });
  const form = el("form", {
    novalidate: true,
    submit: (event: Event) => {
      event.preventDefault();
      if (!state.busy) actions.redeem(name.value.trim());
    },
  },
    el("div", { class: "field" }, el("label", { for: "name" }, texts.say("invited_name")), name,
      el("span", { id: "name-hint", class: "small muted" }, texts.say("invited_name_hint"))),
    el("p", { class: "small muted" }, texts.say("invited_key")),
    el("div", { class: "actions" }, el("button", { class: "main", type: "submit", disabled: state.busy }, texts.say("invited_go"))));
  return [heading(texts.say("invited_title")), el("p", { class: "lead" }, texts.say("invited_lead", { domain })),
    ...(state.problem ? [el("p", { class: "notice bad", role: "alert" }, state.problem)] : []), form];
}

export function waiting(attendance: Attendance, key: string, texts: Texts, domain: string, review: readonly Node[]): Node[] {
  return [heading(texts.say("waiting_title")),
    el("p", { class: "lead" }, texts.say("waiting_lead", { domain })),
    el("p", {}, texts.say("waiting_key"), " ", el("code", {}, key.slice(0, 8))),
    busy(`${attendance.name} ${attendance.version}`),
    ...(review.length ? [el("h2", {}, texts.say("waiting_read")), ...review] : [])];
}
