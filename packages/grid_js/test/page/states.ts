/** Every state of the page, to look at: the address's fragment says which. What it shows is made up, and says so. */
import { Conflict } from "../../src/errors.js";
import { App } from "../../src/page/app.js";
import type { Participant } from "../../src/page/participant.js";
import type { TrainingInputs } from "../../src/federated/inputs/declared.js";
import type { Attendance, Chosen, Matched, Phase, Progress, Receipt, Review, Sent } from "../../src/page/state.js";
import { Texts, preferred } from "../../src/page/texts/index.js";
import { read } from "../../src/page/data/reading.js";

const TABLE: TrainingInputs = {
  form: "table",
  columns: [
    { kind: "number", description: "", name: "age", unit: "years", whole: true, low: 0, high: 120, outside: "refuse", missing: "drop", centre: 50, scale: 20, scaling: "declared" },
    { kind: "number", description: "", name: "mean radius", unit: "mm", whole: false, low: null, high: null, outside: "refuse", missing: "refuse", centre: 14, scale: 3.5, scaling: "declared" },
    { kind: "category", description: "", name: "ward", categories: ["north", "south"], oneHot: true, missing: "refuse" },
  ],
  label: { kind: "category", description: "", name: "diagnosis", categories: ["benign", "malignant"], oneHot: false, missing: "refuse" },
};
const PICTURES: TrainingInputs = {
  form: "arrays", name: "x", shape: [1, 28, 28], picture: true, bits: 8, whole: false, unit: "", description: "", low: null, high: null, centre: [], scale: [],
  label: { kind: "category", description: "", name: "digit", categories: [..."0123456789"], oneHot: false, missing: "refuse" },
};
const TEXT = "training plan digits_plan\nid 3f2a…\nsizes: B in 1..4096\ntakes:\n  %0    data      xs: f32[B, 784]\nruns:\n  %8 = mm(%0, %5)\n  %9 = relu(%8)\nreturns:\n  metric    loss: f32[] = %40";
const ATTENDANCE: Attendance = {
  status: "accepted", training: "running", name: "digits", version: "1.0", host: "sue@lab.example", reportFormat: "plain", statement: [],
  policy: { minParticipants: 3, clipNorm: 1, noiseMultiplier: null, minRows: 1, participation: "accepted" },
};

const which = location.hash.slice(1);
const inputs = which.includes("csv") || which === "matched" || which === "mismatch" ? TABLE : PICTURES;
const REVIEW: Review = {
  definition: "9c1185a5c5e9fc54612808977ee8f548b2258d31ddadef707ba62c9b4ef1b4a3".repeat(1), cycles: 30, numbers: 25450, bytes: 101_900, steps: 10, batchSize: 32, inputs,
  word: "approved", reviewers: 2, refusal: which === "confidential" ? "confidential" : "",
  plans: [{ name: "training_plan", digest: "3f2a", bytes: 2541, operations: 32, flops: 3_300_000, peak: 1_240_000, text: TEXT }],
};
const SENT: Sent[] = [1, 2, 3].map((cycle) => ({ cycle, bytes: 102_334, samples: 240, loss: 2.1 / cycle, at: Date.UTC(2026, 10, 30, 16, 20, cycle) }));

class Fake implements Participant {
  private stopped: (() => void) | undefined;

  async key() { return "ab12cd34".repeat(8); }
  async attendance(): Promise<Attendance> {
    if (which === "loading") return new Promise(() => undefined);
    if (which === "failed") throw new Error("the Domain does not answer: it may restart, or this device has no network");
    if (which === "unknown" || which.startsWith("invited")) return { ...ATTENDANCE, status: "none", training: "" };
    if (which === "waiting" || which === "refused") return { ...ATTENDANCE, status: which };
    if (which === "open") return { ...ATTENDANCE, status: "open", host: "", policy: { ...ATTENDANCE.policy!, participation: "open" } };
    if (which === "ended") return { ...ATTENDANCE, training: "completed" };
    return ATTENDANCE;
  }
  async redeem(): Promise<Attendance> {
    if (which === "invited-expired") throw new Conflict("this invitation is expired", { state: "expired" });
    return { ...ATTENDANCE, status: "waiting" };
  }
  async review() { return REVIEW; }
  async match(_: Review, chosen: Chosen): Promise<Matched> {
    return (await read(inputs, chosen)).matched;
  }
  take(_: Review, say: (progress: Progress) => void) {
    const phase: Phase = which === "lost" ? { kind: "lost", retryIn: 3 } : which === "waits" ? { kind: "waiting", reason: "taking-part" } : { kind: "training", step: 7, steps: 10 };
    const losses = Array.from({ length: 37 }, (_, step) => 2.3 * Math.exp(-step / 14) + 0.12 * Math.sin(step * 1.7));
    say({ phase, cycle: 4, cycles: 30, losses, sent: SENT, path: "websocket" });
    return new Promise<{ how: "completed" | "stopped"; detail: string }>((resolve) => {
      this.stopped = () => resolve({ how: "stopped", detail: "" });
      if (which === "done") resolve({ how: "completed", detail: "" });
    });
  }
  async stop() { this.stopped?.(); }
  async receipt(): Promise<Receipt> {
    return { training: "0".repeat(32), name: "digits", version: "1.0", domain: "hospital", domainKey: "", participantKey: "", definition: "", plans: {}, sent: SENT };
  }
  async unfinished() { return which === "resumed"; }
}

const app = new App({
  root: document.getElementById("page")!, domain: "City hospital", here: new URL("http://hospital.example/join/" + "0".repeat(32)),
  texts: await Texts.load(preferred(new URLSearchParams(location.search).getAll("lang"))), secret: which.startsWith("invited") ? "s" : "",
  speak: () => undefined, forget: () => undefined,
}, new Fake());
if (which === "insecure") app.refuse({ at: "insecure" });
else if (which === "unsupported") app.refuse({ at: "unsupported", detail: "IndexedDB" });
else void app.begin();
