/** The page: one state at a time, and what leads from each to the next. */
import { GridError, NotFound, Conflict, TooManyRequests, Unavailable, DeadlineExceeded } from "../errors.js";
import { el } from "./dom.js";
import type { Participant } from "./participant.js";
import { ENDS, NOTHING_YET, type Attendance, type Chosen, type Matched, type Progress, type Review, type State } from "./state.js";
import { Texts, type Key, type Language } from "./texts/index.js";
import { canDraw, choosePage, matchedPage, type Drawing } from "./views/choose.js";
import { header, steps } from "./views/frame.js";
import { notice, waiting } from "./views/notices.js";
import { PartView, done } from "./views/progress.js";
import { facts, reviewPage } from "./views/review.js";

/** Milliseconds between two looks whether somebody was accepted. */
const LOOK = 3000;

export interface Surroundings {
  readonly root: HTMLElement;
  readonly domain: string;
  readonly here: URL;
  readonly texts: Texts;
  /** The invitation that the address brought; "" without one. */
  readonly secret: string;
  /** Is told of the language that was chosen. */
  speak(language: Language): void;
  /** Takes the invitation out of the address, once it was used. */
  forget(): void;
}

export class App {
  private state: State = { at: "loading" };
  private texts: Texts;
  private attendance: Attendance | null = null;
  private part: PartView | null = null;
  private drawing: Drawing | null = null;
  private readonly main = el("main", {});
  private readonly top = el("div", {});

  constructor(private readonly around: Surroundings, private readonly participant: Participant) {
    this.texts = around.texts;
    around.root.replaceChildren(this.top, this.main);
    this.show(this.state);
  }

  /** Begins, or begins anew. */
  async begin(): Promise<void> {
    this.show({ at: "loading" });
    await this.trying(async () => this.arrive(await this.participant.attendance()));
  }

  /** Shows that nothing can begin. */
  refuse(state: Extract<State, { at: "insecure" | "unsupported" }>): void {
    this.show(state);
  }

  private async arrive(attendance: Attendance): Promise<void> {
    this.attendance = attendance;
    if (attendance.status === "refused") return this.show({ at: "refused" });
    if (attendance.status === "none" || (attendance.status === "open" && !attendance.training)) {
      return this.show(this.around.secret ? { at: "invited", busy: false, problem: "" } : { at: "unknown" });
    }
    if (this.around.secret) this.around.forget();
    if (!attendance.training) return this.show({ at: "unknown" });
    if (ENDS.some((each) => each === attendance.training)) return this.show({ at: "ended", training: attendance.training });
    if (attendance.status === "waiting") return this.wait(attendance);
    const review = await this.participant.review(attendance);
    this.show({ at: "review", attendance, review, resumed: await this.participant.unfinished() });
  }

  private async redeem(name: string): Promise<void> {
    this.show({ at: "invited", busy: true, problem: "" });
    try {
      await this.arrive(await this.participant.redeem(this.around.secret, name));
    } catch (error) {
      this.show({ at: "invited", busy: false, problem: this.refusedInvitation(error) });
    }
  }

  private refusedInvitation(error: unknown): string {
    if (error instanceof NotFound) return this.texts.say("invitation_unknown");
    if (error instanceof Conflict) {
      const key = `invitation_${String(error.extra["state"] ?? "").replaceAll("-", "_")}` as Key;
      return this.texts.has(key) ? this.texts.say(key) : error.detail;
    }
    if (error instanceof TooManyRequests) return this.texts.say("invitation_slow", { seconds: String(error.extra["retry_after"] ?? 60) });
    return told(error);
  }

  private async wait(attendance: Attendance): Promise<void> {
    const key = await this.participant.key(), review = await this.participant.review(attendance).catch(() => null);
    const shown: State = { at: "waiting", attendance, key, review };
    this.show(shown);
    while (this.state === shown || (this.state.at === "waiting" && this.state.key === key)) {
      await new Promise((resolve) => setTimeout(resolve, LOOK));
      if (this.state.at !== "waiting") return;
      let now: Attendance;
      try {
        now = await this.participant.attendance();
      } catch (error) {
        if (passing(error)) continue; // the Domain will be there again
        throw error;
      }
      if (now.status !== "waiting" || ENDS.some((each) => each === now.training)) return this.arrive(now);
    }
  }

  /** Asks for data; the script of drawing comes where drawings are taken. */
  private async chooseData(review: Review): Promise<void> {
    await this.trying(async () => {
      if (review.inputs?.form === "arrays" && canDraw(review.inputs)) this.drawing ??= (await import("./views/draw.js")).drawing;
      this.show({ at: "choose", review, busy: false, matched: null });
    });
  }

  private async choose(review: Review, chosen: Chosen): Promise<void> {
    this.show({ at: "choose", review, busy: true, matched: null });
    await this.trying(async () => {
      const matched: Matched = await this.participant.match(review, chosen);
      this.show(matched.problems.length ? { at: "choose", review, busy: false, matched } : { at: "matched", review, matched });
    });
  }

  private async take(review: Review): Promise<void> {
    this.show({ at: "part", review, progress: NOTHING_YET, stopping: false });
    await this.trying(async () => {
      const { how, detail } = await this.participant.take(review, (progress) => this.follow(progress));
      this.show({ at: "done", how, detail, receipt: await this.participant.receipt() });
    });
  }

  private follow(progress: Progress): void {
    if (this.state.at !== "part") return;
    this.state = { ...this.state, progress };
    this.part?.show(progress, this.state.stopping);
  }

  private async stop(): Promise<void> {
    if (this.state.at !== "part" || this.state.stopping) return;
    this.state = { ...this.state, stopping: true };
    this.part?.show(this.state.progress, true);
    await this.participant.stop();
  }

  private async trying(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.show({ at: "failed", detail: told(error), again: true });
    }
  }

  private async speak(language: Language): Promise<void> {
    this.texts = await Texts.load(language);
    this.around.speak(language);
    this.show(this.state, document.getElementById("language"));
    document.getElementById("language")?.focus();
  }

  /** Draws a state from scratch, and puts the focus where it begins. */
  private show(state: State, focus?: HTMLElement | null): void {
    const moved = this.state.at !== state.at;
    this.state = state;
    document.documentElement.lang = this.texts.language;
    document.title = this.attendance?.name ? `${this.attendance.name} – ${this.around.domain}` : this.texts.say("title");
    this.top.replaceChildren(header(this.texts, this.around.domain, (language) => void this.speak(language)));
    const line = steps(this.texts, state.at);
    if (line) this.top.append(line);
    this.part = null;
    this.main.replaceChildren(...this.drawn(state));
    if (moved && focus === undefined) {
      this.main.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }

  private drawn(state: State): Node[] {
    const { texts } = this, { domain } = this.around;
    switch (state.at) {
      case "waiting":
        return waiting(state.attendance, state.key, texts, domain, state.review ? facts(state.attendance, state.review, texts, domain) : []);
      case "review":
        return reviewPage(state.attendance, state.review, state.resumed, texts, domain,
          () => void this.chooseData(state.review),
          state.attendance.status === "open" ? [this.give()] : []);
      case "choose":
        return choosePage(state.review, state.busy, state.matched, texts, this.choosing(state.review), this.drawing);
      case "matched":
        return matchedPage(state.matched, texts, this.choosing(state.review));
      case "part": {
        this.part = new PartView(texts, () => void this.stop());
        this.part.show(state.progress, state.stopping);
        return this.part.nodes;
      }
      case "done":
        return done(state, texts, { again: () => void this.begin() });
      default:
        return notice(state, texts, domain, this.around.here, { redeem: (name) => void this.redeem(name), again: () => void this.begin() });
    }
  }

  private choosing(review: Review) {
    return {
      choose: (chosen: Chosen) => void this.choose(review, chosen),
      take: () => void this.take(review),
      other: () => void this.chooseData(review),
    };
  }

  /** The address, to give to others. */
  private give(): HTMLElement {
    const { texts } = this, address = new URL(this.around.here.pathname, this.around.here.origin).href;
    const told = el("span", { class: "small muted", role: "status" });
    return el("section", {}, el("h2", {}, texts.say("give_title")), el("div", { class: "give" },
      el("img", { src: `${this.around.here.pathname}/qr.svg`, alt: texts.say("give_qr") }),
      el("div", {}, el("p", {}, texts.say("give_lead")), el("p", {}, el("code", {}, address)),
        el("button", {
          type: "button",
          click: () => void navigator.clipboard.writeText(address).then(() => (told.textContent = texts.say("give_copied"))),
        }, texts.say("give_copy")), " ", told)));
  }
}

function told(error: unknown): string {
  return error instanceof GridError ? error.detail : error instanceof Error ? error.message : String(error);
}

function passing(error: unknown): boolean {
  return error instanceof Unavailable || error instanceof DeadlineExceeded || error instanceof TooManyRequests;
}
