/** Reads and matches data beside the page, so that it answers while a large file is read. */
import type { TrainingInputs } from "../../federated/inputs/declared.js";
import type { Chosen } from "../state.js";
import { read, type Reading } from "./reading.js";

export interface Asked {
  readonly inputs: TrainingInputs;
  readonly chosen: Chosen;
}
export type Answer = { readonly reading: Reading } | { readonly error: string };

async function answer({ data }: MessageEvent<Asked>): Promise<void> {
  let made: Answer, held: Transferable[] = [];
  try {
    const reading = await read(data.inputs, data.chosen);
    made = { reading };
    if (reading.rows) held = [reading.rows.x.data, reading.rows.y.data];
  } catch (error) {
    made = { error: error instanceof Error ? error.message : String(error) };
  }
  (self as unknown as Worker).postMessage(made, held);
}

/** Makes this worker one that reads data. */
export function serveData(): void {
  self.onmessage = answer;
}
