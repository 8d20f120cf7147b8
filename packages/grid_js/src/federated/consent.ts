/**
 * What of a training may run here: exactly what somebody agreed to, whose word counts, and nothing in its place. As
 * `syft_ext/federated/consent.py`: everything that comes is held against the definition that was agreed to.
 */
import { NotAgreed, Unsupported } from "../errors.js";
import { equal, hex } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import { pack, type Packable, type Packed } from "../wire/msgpack.js";
import type { Named } from "../wire/tensor_file.js";
import type { CheckIn, DefinitionFacts, DefinitionView } from "./messages.js";

/** Throws {@link Unsupported} for reports that this browser cannot write, by the name of what it cannot do. */
export function checkFormat(format: string): void {
  if (format === "plain") return;
  const what = format === "sealed"
    ? "a confidential training: a browser cannot verify yet who would open its reports"
    : format === "secure_aggregation"
      ? "a training with masked reports: a browser cannot verify yet with whom it would be masked"
      : `a training whose reports are in the format ${format}, which this browser does not write`;
  throw new Unsupported(`this is ${what}. Take part with Grid's SDK or a Worker`, { report_format: format });
}

/** One job's agreement, from the first look at the training to its last cycle. */
export class Consent {
  facts: DefinitionFacts | null = null;
  view: DefinitionView | null = null;

  /** @param digest the definition that is agreed to; "": what reviewers at the Domain have approved, or is its own. */
  constructor(readonly name: string, readonly version: string, public digest = "") {}

  /** Looks at what the Domain shows; throws {@link NotAgreed} where it is not what was agreed to. */
  agree(view: DefinitionView): void {
    const { facts, review } = view;
    if (facts.name !== this.name || facts.version !== this.version) {
      throw new NotAgreed(`the Domain shows another training than ${this.name} ${this.version}`, { reason: "definition" });
    }
    if (this.digest && view.digest !== this.digest) {
      throw new NotAgreed(
        `${this.name} ${this.version} is not what was agreed to: its definition is ${view.digest}, agreed was ${this.digest}`,
        { reason: "definition" },
      );
    }
    const somebody = review.reviewers.some(Boolean) || review.reviewerCount > 0;
    const word = review.digest === view.digest && (review.state === "own" || (review.state === "approved" && somebody));
    if (!this.digest && !word) {
      throw new NotAgreed(
        `nobody whose word counts here has agreed to ${this.name} ${this.version} (${review.state}). To agree to exactly ` +
          `what it is now, give its digest: ${view.digest}`,
        { reason: "review", digest: view.digest },
      );
    }
    checkFormat(String(facts.serverConfig.get("report_format") ?? "plain"));
    this.digest = view.digest;
    this.facts = facts;
    this.view = view;
  }

  get agreed(): DefinitionFacts {
    if (!this.facts) throw new NotAgreed(`nobody has looked at what ${this.name} ${this.version} is`, { reason: "review" });
    return this.facts;
  }

  /** Throws {@link NotAgreed} unless an accepted check-in is for what was agreed to. */
  checkAssignment(reply: CheckIn): void {
    const facts = this.agreed;
    const names = (map: ReadonlyMap<string, string>) => [...map.keys()].sort().join("\0");
    const config = facts.serverConfig;
    const checks: readonly [what: string, holds: boolean][] = [
      ["definition", reply.definition === this.digest],
      ["set of plans", names(reply.plans) === names(facts.plans)],
      ["set of protocols", names(reply.protocols) === names(facts.protocols)],
      ["client_config", same(reply.clientConfig, facts.clientConfig)],
      ["report format", reply.reportFormat === config.get("report_format")],
      ["set of report options", same(reply.reportOptions, config.get("report_options") ?? null)],
    ];
    for (const [what, holds] of checks) {
      if (holds) continue;
      throw new NotAgreed(
        `the Domain hands out ${this.name} ${this.version} with another ${what} than was agreed to`,
        { reason: what === "definition" ? "definition" : "content" },
      );
    }
    checkFormat(reply.reportFormat);
    if (reply.reportOptions instanceof Map && reply.reportOptions.size) {
      throw new Unsupported(`plain reports have no options, the training has ${[...reply.reportOptions.keys()].join(", ")}`);
    }
  }

  /** Throws {@link NotAgreed} unless these bytes have the digest that was agreed to. */
  checkBytes(kind: "plan" | "protocol", name: string, bytes: Uint8Array): void {
    const expected = (kind === "plan" ? this.agreed.plans : this.agreed.protocols).get(name);
    if (hex(digest(bytes)) !== expected) {
      throw new NotAgreed(`the Domain sent another ${kind} ${name} than was agreed to`, { reason: "content" });
    }
  }

  /** Throws {@link NotAgreed} unless a model has exactly the tensors agreed to: a report has them too. */
  checkModel(model: readonly Named[]): void {
    const agreed = this.agreed.tensors;
    const fits = model.length === agreed.length && model.every(({ name, tensor }, at) => {
      const [wanted, dtype, shape] = agreed[at]!;
      return name === wanted && tensor.dtype === dtype && tensor.shape.join() === shape.join();
    });
    if (!fits) throw new NotAgreed("the Domain sent a model of another layout than was agreed to", { reason: "content" });
  }
}

function same(one: Packed, other: Packed): boolean {
  return equal(pack(one as Packable, true), pack(other as Packable, true));
}
