/** While one takes part, and when that is over. */
import { lossChart } from "../chart.js";
import { el } from "../dom.js";
import type { Progress, Receipt, Sent, State } from "../state.js";
import type { Key, Texts } from "../texts/index.js";
import { heading } from "./frame.js";

/** Reasons for waiting that have words of their own. */
const REASONS: Readonly<Record<string, Key>> = {
  full: "phase_waiting_full", "not-selected": "phase_waiting_full", "waiting-for-workers": "phase_waiting_for_workers",
  "taking-part": "phase_waiting_taking_part", resting: "phase_waiting_taking_part", paused: "phase_waiting_paused",
  "in-review": "phase_waiting_in_review",
};

export function phaseText(progress: Progress, texts: Texts): string {
  const phase = progress.phase;
  switch (phase.kind) {
    case "waiting":
      return texts.say(REASONS[phase.reason] ?? "phase_waiting");
    case "training":
      return texts.say("phase_training", { step: texts.number(phase.step), steps: texts.number(phase.steps) });
    default:
      return texts.say(`phase_${phase.kind}` as Key);
  }
}

/** The state's parts that change often, kept and changed in place: focus and reading are not disturbed. */
export class PartView {
  readonly nodes: Node[];
  private readonly status = el("b", {});
  private readonly round = el("span", { class: "muted" });
  private readonly bar = el("progress", { "aria-hidden": "true" });
  private readonly lost = el("p", { class: "notice warn", hidden: true });
  private readonly told = el("p", { class: "quiet", role: "status", "aria-live": "polite" });
  private readonly chart = el("div");
  private readonly sent = el("div");
  private readonly path = el("p", { class: "small muted" });
  private readonly stop;
  private shown: Progress | null = null;

  constructor(private readonly texts: Texts, stop: () => void) {
    this.stop = el("button", { class: "stop", type: "button", click: stop }, texts.say("part_stop"));
    this.nodes = [heading(texts.say("part_title")), this.told, this.lost,
      el("div", { class: "status" }, this.status, this.round), this.bar,
      el("div", { class: "actions" }, this.stop), el("p", { class: "small muted" }, texts.say("part_leave")),
      el("h2", {}, texts.say("loss_title")), this.chart, el("h2", {}, texts.say("sent_title")), this.sent, this.path];
  }

  show(progress: Progress, stopping: boolean): void {
    const { texts } = this, before = this.shown, { phase } = progress;
    this.shown = progress;
    const text = phaseText(progress, texts);
    this.status.textContent = text;
    // Each step is seen; what is read aloud is the beginning of each phase.
    if (before?.phase.kind !== phase.kind || before.cycle !== progress.cycle) this.told.textContent = text;
    this.round.textContent = !progress.cycle ? "" : progress.cycles
      ? texts.say("part_of", { cycle: texts.number(progress.cycle), cycles: texts.number(progress.cycles) })
      : texts.say("part_open", { cycle: texts.number(progress.cycle) });
    if (phase.kind === "training") {
      this.bar.max = phase.steps;
      this.bar.value = phase.step;
    } else if (phase.kind === "waiting" || phase.kind === "lost") {
      this.bar.max = progress.cycles ?? Math.max(progress.cycle, 1);
      this.bar.value = progress.sent.length;
    } else this.bar.removeAttribute("value");
    this.lost.hidden = phase.kind !== "lost";
    this.lost.textContent = phase.kind === "lost" ? texts.say("phase_lost") : "";
    this.stop.disabled = stopping;
    this.stop.textContent = texts.say(stopping ? "part_stopping" : "part_stop");
    if (before?.losses !== progress.losses) this.chart.replaceChildren(lossChart(progress.losses, texts));
    if (before?.sent !== progress.sent) this.sent.replaceChildren(sentTable(progress.sent, texts));
    this.path.textContent = progress.path ? texts.say("part_path", { path: progress.path }) : "";
  }
}

export function sentTable(sent: readonly Sent[], texts: Texts): Node {
  if (!sent.length) return el("p", {}, texts.say("sent_none"));
  const bytes = sent.reduce((total, each) => total + each.bytes, 0);
  const head = (key: Key, number: boolean) => el("th", { scope: "col", class: number ? "number" : "" }, texts.say(key));
  return el("div", { class: "scroll" }, el("table", {},
    el("caption", {}, texts.count("sent_total_one", "sent_total", sent.length, { bytes: texts.bytes(bytes) })),
    el("thead", {}, el("tr", {}, head("sent_cycle", false), head("sent_bytes", true), head("sent_samples", true), head("sent_loss", true), head("sent_at", true))),
    el("tbody", {}, [...sent].reverse().map((each) => el("tr", {},
      el("td", {}, texts.number(each.cycle)), el("td", { class: "number" }, texts.bytes(each.bytes)),
      el("td", { class: "number" }, texts.number(each.samples)),
      el("td", { class: "number" }, each.loss === null ? "–" : texts.number(each.loss, 4)),
      el("td", { class: "number" }, texts.time(each.at)))))));
}

export interface DoneActions {
  again(): void;
}

export function done(state: Extract<State, { at: "done" }>, texts: Texts, actions: DoneActions): Node[] {
  const save = el("button", { type: "button", click: () => saveReceipt(state.receipt, texts) }, texts.say("done_receipt"));
  return [heading(texts.say(`done_${state.how}`)),
    el("p", { class: "lead" }, texts.say(`done_${state.how}_lead`, { detail: state.detail })),
    el("h2", {}, texts.say("sent_title")), sentTable(state.receipt.sent, texts),
    el("p", { class: "small muted" }, texts.say("done_receipt_what")),
    el("div", { class: "actions" }, save,
      state.how === "stopped" && el("button", { type: "button", click: actions.again }, texts.say("done_again")))];
}

function saveReceipt(receipt: Receipt, texts: Texts): void {
  const url = URL.createObjectURL(new Blob([`${JSON.stringify(receipt, null, 2)}\n`], { type: "application/json" }));
  el("a", { href: url, download: `${texts.say("receipt_file")}-${receipt.training.slice(0, 8)}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
