/** The one error of a plan that is refused, as `syft_ext.errors.InvalidPlan`. */

/** Refused because of the values that the plan met, not because of what it is. */
export const VALUES = "values";

export class InvalidPlan extends Error {
  override readonly name = "InvalidPlan";
  /**
   * @param detail what is wrong, for people
   * @param extra what programs may look at: `op`, `node`, `limit`, `needed`, `reason`
   */
  constructor(readonly detail: string, readonly extra: Readonly<Record<string, unknown>> = {}) {
    super(detail);
  }
}

/** Throws unless `condition` holds. */
export function require(condition: unknown, detail: string, extra?: Readonly<Record<string, unknown>>): asserts condition {
  if (!condition) throw new InvalidPlan(detail, extra);
}
