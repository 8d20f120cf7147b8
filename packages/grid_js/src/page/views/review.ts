/** What would run, in words and numbers: everything that somebody reads before they agree. */
import type { InputColumn, TrainingInputs } from "../../federated/inputs/declared.js";
import { el } from "../dom.js";
import type { Attendance, Review } from "../state.js";
import type { Key, Texts } from "../texts/index.js";
import { heading } from "./frame.js";

const WORDS_SHOWN = 12;

export function reviewPage(
  attendance: Attendance, review: Review, resumed: boolean, texts: Texts, domain: string, agree: () => void, given: Node[],
): Node[] {
  return [heading(texts.say("review_title", { name: attendance.name, version: attendance.version })),
    el("p", { class: "lead" }, texts.say("review_asks", { host: attendance.host || domain }), " ", texts.say("review_stay")),
    ...(resumed ? [el("p", { class: "notice" }, texts.say("review_resumed"))] : []),
    ...facts(attendance, review, texts, domain),
    ...(review.refusal ? [refusal(review.refusal, texts)] : takesPart(review.inputs) ? [
      el("div", { class: "actions" }, el("button", { class: "main", type: "button", click: agree }, texts.say("agree"))),
      el("p", { class: "small muted" }, texts.say("not_agree")),
    ] : []),
    ...given];
}

/** Whether this page can read the data that a training takes. */
export function takesPart(inputs: TrainingInputs | null): boolean {
  return inputs !== null && (inputs.form === "table" || (inputs.picture && inputs.bits === 8 && inputs.label.kind === "category"));
}

function refusal(why: "confidential" | "format", texts: Texts): HTMLElement {
  return el("div", { class: "notice warn", role: "note" },
    ...(why === "confidential" ? [el("p", {}, el("b", {}, texts.say("refuse_confidential_title")))] : []),
    el("p", {}, texts.say(why === "confidential" ? "refuse_confidential" : "refuse_format")));
}

/** The facts alone: for those who wait to be accepted, too. */
export function facts(attendance: Attendance, review: Review, texts: Texts, domain: string): Node[] {
  const fact = (name: Key, value: string) => el("div", {}, el("dt", {}, texts.say(name)), el("dd", {}, value));
  return [el("dl", { class: "facts" },
    fact("fact_leaves", texts.say("fact_leaves_is", { numbers: texts.number(review.numbers), bytes: texts.bytes(review.bytes) })),
    fact("fact_rounds", review.cycles === null ? texts.say("fact_rounds_open") : texts.count("fact_rounds_is_one", "fact_rounds_is", review.cycles)),
    fact("fact_cost", cost(review, texts)),
    fact("fact_counted", counted(attendance, texts))),
    el("h2", {}, texts.say("sees_title")), el("ul", { class: "plain" }, seen(attendance, texts).map((each) => el("li", {}, each))),
    ...(attendance.statement.length ? [el("p", { class: "small muted" }, texts.say("sees_more")),
      el("ul", { class: "plain small", lang: "en" }, attendance.statement.map((each) => el("li", {}, each)))] : []),
    el("h2", {}, texts.say("word_title")), el("p", {}, word(review, texts, domain)),
    el("h2", {}, texts.say("takes_title")), ...taken(review.inputs, texts),
    el("h2", {}, texts.say("runs_title")),
    ...review.plans.map((plan) => el("details", {},
      el("summary", {}, texts.count("runs_plan_one", "runs_plan", plan.operations, { name: plan.name, bytes: texts.bytes(plan.bytes) })),
      el("pre", { tabindex: 0, lang: "en" }, plan.text))),
    el("p", { class: "small muted" }, ...digestLine(review, texts))];
}

function digestLine(review: Review, texts: Texts): Node[] {
  const [before, after] = texts.say("runs_digest", { digest: "\0" }).split("\0");
  return [document.createTextNode(before ?? ""), el("code", {}, review.definition), document.createTextNode(after ?? "")];
}

function cost(review: Review, texts: Texts): string {
  const flops = sum(review.plans.map((plan) => plan.flops)), peak = review.plans.map((plan) => plan.peak);
  const each = flops === null || peak.includes(null) ? texts.say("fact_cost_unknown") : texts.say("fact_cost_is", {
    flops: texts.large(flops), memory: texts.bytes(Math.max(...(peak as number[]), 0)),
  });
  return review.steps === null ? each : each + texts.say("fact_steps", { n: texts.number(review.steps) });
}

function sum(values: readonly (number | null)[]): number | null {
  return values.includes(null) ? null : (values as number[]).reduce((total, each) => total + each, 0);
}

function counted(attendance: Attendance, texts: Texts): string {
  const policy = attendance.policy;
  if (policy?.participation === "open") return texts.say("fact_counted_open");
  const least = policy?.minParticipants ?? 1;
  return least > 1 ? texts.say("fact_counted_is", { n: texts.number(least) }) : texts.say("fact_counted_one");
}

function seen(attendance: Attendance, texts: Texts): string[] {
  const policy = attendance.policy, masked = attendance.reportFormat === "secure_aggregation", told: string[] = [];
  told.push(texts.say(masked ? "sees_masked" : "sees_plain"));
  if (!masked) told.push(texts.say("sees_metrics"));
  if (policy?.clipNorm != null) told.push(texts.say("sees_clip", { clip: texts.number(policy.clipNorm) }));
  if (policy?.noiseMultiplier != null) told.push(texts.say("sees_noise", { noise: texts.number(policy.noiseMultiplier) }));
  else if (!masked) told.push(texts.say("sees_no_noise"));
  return told;
}

function word(review: Review, texts: Texts, domain: string): string {
  if (review.word === "approved") return texts.count("word_approved_one", "word_approved", review.reviewers, { domain });
  if (review.word === "own") return texts.say("word_own", { domain });
  return texts.say(review.word === "open" ? "word_open" : "word_other", { domain });
}

function taken(inputs: TrainingInputs | null, texts: Texts): Node[] {
  if (inputs === null) return [el("p", {}, texts.say("takes_nothing"))];
  if (inputs.form === "table") {
    const rows = [...inputs.columns, inputs.label].map((column) => el("tr", {},
      el("td", {}, column === inputs.label ? texts.say("column_label", { name: column.name }) : column.name),
      el("td", {}, described(column, texts))));
    return [el("p", {}, texts.say("takes_table")), el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, texts.say("column")), el("th", { scope: "col" }, texts.say("column_what")))),
      el("tbody", {}, rows)))];
  }
  if (!inputs.picture) return [el("p", {}, texts.say("takes_arrays"))];
  const [height, width] = inputs.shape.slice(-2), colour = inputs.shape.length === 3 && inputs.shape[0] === 3;
  return [el("p", {}, texts.say("takes_pictures", {
    width: width ?? 1, height: height ?? 1, colour: texts.say(colour ? "takes_colour" : "takes_grey"),
  })), el("p", {}, inputs.label.kind === "category" ? listed(inputs.label.categories, texts) : inputs.label.name)];
}

export function listed(words: readonly string[], texts: Texts): string {
  const more = words.length - WORDS_SHOWN;
  const shown = words.slice(0, WORDS_SHOWN).join(", ");
  return more > 0 ? `${shown} ${texts.say("and_more", { n: texts.number(more) })}` : shown;
}

function described(column: InputColumn, texts: Texts): string {
  if (column.kind === "category") return texts.say("column_words", { words: listed(column.categories, texts) });
  const parts = [texts.say(column.whole ? "column_whole" : "column_numbers")];
  if (column.low !== null && column.high !== null) parts.push(texts.say("column_range", { low: texts.number(column.low), high: texts.number(column.high) }));
  else if (column.low !== null) parts.push(texts.say("column_from", { low: texts.number(column.low) }));
  else if (column.high !== null) parts.push(texts.say("column_to", { high: texts.number(column.high) }));
  if (column.unit) parts.push(column.unit);
  return parts.join(", ");
}
