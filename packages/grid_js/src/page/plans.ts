/** Plans of a job, run by the engine beside the page. */
import { Engine } from "../engine/index.js";
import { decode } from "../plan/decode.js";
import type { LoadPlan } from "../federated/index.js";

/** Checks the digest, the plan and its self-test before anybody runs it. */
export const loadPlan: LoadPlan = async (bytes, digest) => {
  const engine = await Engine.load(bytes, digest);
  try {
    await engine.selfTest();
  } catch (error) {
    engine.close();
    throw error;
  }
  return { document: decode(bytes, digest), run: (inputs) => engine.run(inputs), close: () => engine.close() };
};
