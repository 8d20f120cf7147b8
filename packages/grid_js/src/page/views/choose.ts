/** Where data come from: a file, a folder, or drawings; and what was found in them. */
import type { ArrayInputs } from "../../federated/inputs/declared.js";
import { el } from "../dom.js";
import type { Chosen, Matched, Problem, Review } from "../state.js";
import type { Key, Texts } from "../texts/index.js";
import type { drawing } from "./draw.js";
import { busy, heading } from "./frame.js";
import { listed } from "./review.js";

const PROBLEMS_SHOWN = 20;

export type Drawing = typeof drawing;

export interface ChooseActions {
  choose(chosen: Chosen): void;
  take(): void;
  other(): void;
}

export function choosePage(review: Review, reading: boolean, matched: Matched | null, texts: Texts, actions: ChooseActions, drawing: Drawing | null): Node[] {
  const inputs = review.inputs!, head = [heading(texts.say("choose_title")), el("p", { class: "lead" }, texts.say("choose_lead"))];
  if (reading) return [...head, busy(texts.say("choose_reading"))];
  const found = matched ? problems(matched, texts) : [];
  return [...head, ...found, ...(inputs.form === "table" ? [csv(texts, actions)] : pictures(inputs, texts, actions, drawing))];
}

function csv(texts: Texts, actions: ChooseActions): HTMLElement {
  const input = el("input", {
    id: "csv", type: "file", accept: ".csv,.tsv,text/csv,text/tab-separated-values", class: "quiet",
    change: () => input.files?.[0] && actions.choose({ kind: "csv", file: input.files[0] }),
  });
  const over = (on: boolean) => (event: Event) => {
    event.preventDefault();
    area.classList.toggle("over", on);
  };
  const area = el("div", {
    class: "drop", dragover: over(true), dragleave: over(false),
    drop: (event: DragEvent) => {
      over(false)(event);
      const file = event.dataTransfer?.files[0];
      if (file) actions.choose({ kind: "csv", file });
    },
  }, el("button", { class: "main", type: "button", click: () => input.click() }, texts.say("choose_csv_button")),
    input, el("p", { class: "small muted" }, texts.say("choose_csv_drop")));
  input.tabIndex = -1; // its button stands for it
  input.setAttribute("aria-label", texts.say("choose_csv_button"));
  return area;
}

/** Drawing is offered where pictures are small and grey. */
export function canDraw(inputs: ArrayInputs): boolean {
  const [channels, height = 0, width = 0] = inputs.shape;
  return inputs.shape.length === 3 && channels === 1 && Math.max(height, width) <= 64 && inputs.label.kind === "category" && inputs.label.categories.length <= 40;
}

function pictures(inputs: ArrayInputs, texts: Texts, actions: ChooseActions, drawing: Drawing | null): Node[] {
  const folder = folderArea(inputs, texts, actions);
  if (!drawing || !canDraw(inputs)) return [folder];
  const draw = drawing(inputs, texts, (chosen) => actions.choose(chosen));
  const show = (which: "draw" | "folder") => {
    draw.hidden = which !== "draw";
    folder.hidden = which !== "folder";
  };
  const option = (which: "draw" | "folder", key: Key) => el("label", {},
    el("input", { type: "radio", name: "how", value: which, checked: which === "draw", change: () => show(which) }), texts.say(key));
  show("draw");
  return [el("fieldset", { class: "tabs" }, el("legend", {}, texts.say("choose_how")), option("draw", "choose_draw"), option("folder", "choose_folder")), draw, folder];
}

function folderArea(inputs: ArrayInputs, texts: Texts, actions: ChooseActions): HTMLElement {
  const input = el("input", {
    id: "folder", type: "file", webkitdirectory: true, multiple: true, class: "quiet", tabindex: -1,
    "aria-label": texts.say("choose_folder_button"),
    change: () => input.files?.length && actions.choose({ kind: "folder", files: [...input.files] }),
  });
  const classes = inputs.label.kind === "category" ? listed(inputs.label.categories, texts) : "";
  return el("div", { class: "drop" },
    el("button", { class: "main", type: "button", click: () => input.click() }, texts.say("choose_folder_button")),
    input, el("p", { class: "small muted" }, texts.say("choose_folder_hint", { classes })));
}

// -- what was found

export function matchedPage(matched: Matched, texts: Texts, actions: ChooseActions): Node[] {
  const dropped = matched.dropped.flatMap(({ column, missing, outside }) => [
    ...(missing ? [texts.count("match_dropped_missing_one", "match_dropped_missing", missing, { column })] : []),
    ...(outside ? [texts.count("match_dropped_outside_one", "match_dropped_outside", outside, { column })] : []),
  ]);
  return [heading(texts.count("match_good_one", "match_good", matched.rows)),
    matched.title ? el("p", { class: "muted" }, matched.title) : el("p", {}),
    ...(dropped.length ? [el("ul", { class: "plain" }, dropped.map((each) => el("li", {}, each)))] : []),
    ...(matched.columns.length ? [columns(matched, texts)] : []),
    ...(matched.classes.length ? [classes(matched, texts)] : []),
    el("div", { class: "actions" }, el("button", { class: "main", type: "button", click: actions.take }, texts.say("match_go")),
      el("button", { type: "button", click: actions.other }, texts.say("match_other")))];
}

function columns(matched: Matched, texts: Texts): HTMLElement {
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, texts.say("column")), el("th", { scope: "col" }, texts.say("column_state")))),
    el("tbody", {}, matched.columns.map((column) => el("tr", {}, el("td", {}, column.name),
      el("td", { class: column.problem ? "wrong" : "ok" }, column.problem ? "✕" : `✓ ${texts.say("match_ok")}`))))));
}

function classes(matched: Matched, texts: Texts): HTMLElement {
  return el("div", { class: "scroll" }, el("table", {},
    el("caption", {}, texts.say("match_classes")),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, texts.say("match_class")), el("th", { scope: "col", class: "number" }, texts.say("match_rows")))),
    el("tbody", {}, matched.classes.map((each) => el("tr", {}, el("td", {}, each.name), el("td", { class: "number" }, texts.number(each.rows)))))));
}

function problems(matched: Matched, texts: Texts): Node[] {
  const more = matched.problems.length - PROBLEMS_SHOWN;
  return [el("div", { class: "notice bad", role: "alert" }, el("p", {}, texts.say("match_bad")),
    ...(matched.title ? [el("p", {}, texts.say("match_problems", { file: matched.title }))] : []),
    el("ul", { class: "plain" }, matched.problems.slice(0, PROBLEMS_SHOWN).map((each) => el("li", {}, problemText(each, texts)))),
    ...(more > 0 ? [el("p", {}, texts.count("match_more_one", "match_more", more))] : []))];
}

/** Where it is and what it is: "age, row 7 (line 8): …". */
export function problemText(found: Problem, texts: Texts): string {
  const row = found.row === null ? "" : found.line === null
    ? texts.say("at_row", { row: texts.number(found.row) })
    : texts.say("at_line", { row: texts.number(found.row), line: texts.number(found.line) });
  const place = [found.column, row].filter(Boolean).join(", ");
  const what = texts.say(`p_${found.code.replaceAll("-", "_")}` as Key, { value: found.value, more: found.more });
  return place ? `${place}: ${what}` : what;
}
