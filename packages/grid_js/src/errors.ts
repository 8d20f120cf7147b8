/** One tree of errors, with the names and codes that Python's has (`syft_ext.errors`). */

export type Extra = Readonly<Record<string, unknown>>;

/** The root of the tree. `code` is stable; `extra` holds facts for programs; the message is for people. */
export class GridError extends Error {
  readonly code: string = "error";
  readonly status: number = 500;

  constructor(readonly detail: string, readonly extra: Extra = {}) {
    super(detail);
  }
}
// Of the code and not of the class: names of classes are short and nobody's once they are built.
Object.defineProperty(GridError.prototype, "name", {
  get(this: GridError) {
    if (this.code === "error" || this.code === "internal") return this.code === "error" ? "GridError" : "InternalError";
    return this.code.replace(/(?:^|-)(.)/g, (_, letter: string) => letter.toUpperCase());
  },
});

export class BadRequest extends GridError {
  override readonly code: string = "bad-request";
  override readonly status: number = 400;
}
/** What came cannot be read as a signed message, or answers another one. */
export class InvalidEnvelope extends BadRequest {
  override readonly code = "invalid-envelope";
}
/** A tensor file that contradicts itself, or the model that it is for. */
export class InvalidTensors extends BadRequest {
  override readonly code = "invalid-tensors";
}
/** Data that are not what a training declares; `extra.form` says so without a word of the data. */
export class DataMismatch extends BadRequest {
  override readonly code = "data-mismatch";
}
/** A configuration that cannot be honoured; `extra.field` may name what. */
export class InvalidConfig extends BadRequest {
  override readonly code = "invalid-config";
}
export class Unauthenticated extends GridError {
  override readonly code: string = "unauthenticated";
  override readonly status = 401;
}
/** The signature is not that of the key that it ought to be. */
export class BadSignature extends Unauthenticated {
  override readonly code = "bad-signature";
}
/** Issued too long ago, too far ahead, or before the node started. */
export class ExpiredMessage extends Unauthenticated {
  override readonly code = "expired-message";
}
export class InvalidToken extends Unauthenticated {
  override readonly code = "invalid-token";
}
export class Forbidden extends GridError {
  override readonly code = "forbidden";
  override readonly status = 403;
}
/** What is offered is not what was agreed to: nothing of it has run. `extra.reason` says in one word why. */
export class NotAgreed extends GridError {
  override readonly code = "not-agreed";
  override readonly status = 403;
}
export class NotFound extends GridError {
  override readonly code = "not-found";
  override readonly status = 404;
}
export class Conflict extends GridError {
  override readonly code = "conflict";
  override readonly status = 409;
}
export class TooLarge extends GridError {
  override readonly code = "too-large";
  override readonly status = 413;
}
/** Understood, and not offered here. */
export class Unsupported extends GridError {
  override readonly code = "unsupported";
  override readonly status = 422;
}
export class TooManyRequests extends GridError {
  override readonly code = "too-many-requests";
  override readonly status = 429;
}
export class InternalError extends GridError {
  override readonly code = "internal";
}
/** Not ready, or a peer cannot be reached: it may pass. */
export class Unavailable extends GridError {
  override readonly code = "unavailable";
  override readonly status = 503;
}
export class DeadlineExceeded extends GridError {
  override readonly code = "deadline-exceeded";
  override readonly status = 504;
}
/** An error of a node that has no class of its own here. */
class Other extends GridError {
  constructor(detail: string, extra: Extra, override readonly code: string, override readonly status: number) {
    super(detail, extra);
  }
}

const KINDS = new Map<string, new (detail: string, extra: Extra) => GridError>([
  ["bad-request", BadRequest], ["invalid-envelope", InvalidEnvelope], ["invalid-tensors", InvalidTensors],
  ["data-mismatch", DataMismatch], ["invalid-config", InvalidConfig], ["unauthenticated", Unauthenticated],
  ["bad-signature", BadSignature], ["expired-message", ExpiredMessage], ["invalid-token", InvalidToken],
  ["forbidden", Forbidden], ["not-agreed", NotAgreed], ["not-found", NotFound], ["conflict", Conflict],
  ["too-large", TooLarge], ["unsupported", Unsupported], ["too-many-requests", TooManyRequests],
  ["unavailable", Unavailable], ["deadline-exceeded", DeadlineExceeded],
]);

/** The error that a node's problem document (RFC 9457) stands for. */
export function fromProblem(code: string, status: number, detail: string, extra: Extra): GridError {
  const kind = KINDS.get(code);
  if (kind) return new kind(detail, extra);
  const alike = [InternalError, Unavailable, Conflict, TooLarge].find((each) => new each("").status === status);
  return alike ? new alike(detail, { ...extra, code }) : new Other(detail, extra, code, status);
}
