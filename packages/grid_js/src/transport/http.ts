/** Frames over HTTP(S): `POST /messages`, by `fetch`. */
import { GridError, InvalidEnvelope, Unavailable } from "../errors.js";
import { requireNotMixed } from "../identity/secure.js";
import { concat, owned } from "../wire/bytes.js";
import { PREFIX, decodeEnvelope, envelopeSize, frameHead, type Envelope } from "../wire/envelope.js";
import { checkSize, within, type Exchange, type Frame, type Transport } from "./base.js";

const MEDIA_TYPE = "application/vnd.grid.message";
/** What a node that stops, or a proxy before one that is not there, answers: it passes. */
const PASSING = [502, 503, 504];

export class HttpTransport implements Transport {
  ahead = 0;
  readonly address: string;
  private readonly url: URL;
  private readonly closing = new AbortController();

  constructor(address: string) {
    this.address = address.replace(/\/$/, "");
    this.url = new URL(`${this.address}/messages`);
    requireNotMixed(this.url);
  }

  isUnintroduced(): boolean {
    return false;
  }

  exchange(envelope: Envelope, payload: Uint8Array, { timeout, most }: Exchange): Promise<Frame> {
    return within(timeout, `${this.address} did not answer in time`, async (signal, again) => {
      try {
        const response = await fetch(this.url, {
          method: "POST",
          headers: { "Content-Type": MEDIA_TYPE },
          body: new Blob([frameHead(envelope), owned(payload)]),
          mode: "cors", credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer",
          signal: AbortSignal.any([signal, this.closing.signal]),
        });
        again();
        return await this.read(response, most, again);
      } catch (error) {
        if (error instanceof GridError) throw error;
        throw new Unavailable(`${this.address} cannot be reached: ${this.reason(error)}`);
      }
    });
  }

  private async read(response: Response, most: number, again: () => void): Promise<Frame> {
    if (response.headers.get("Content-Type") !== MEDIA_TYPE) {
      await response.body?.cancel();
      const what = `${this.address} answered HTTP ${response.status} without a signed message`;
      throw PASSING.includes(response.status) ? new Unavailable(what) : new InvalidEnvelope(what);
    }
    const body = new Body(response, again);
    try {
      const envelope = decodeEnvelope(await body.take(envelopeSize(await body.take(PREFIX))));
      checkSize(envelope.payloadSize, most);
      const payload = await body.take(envelope.payloadSize);
      if (await body.more()) throw new InvalidEnvelope(`${this.address} answered with more bytes than it announced`);
      return { envelope, payload };
    } finally {
      body.drop();
    }
  }

  /** Browsers say of a failed call only that it failed: these are the causes that there are. */
  private reason(error: unknown): string {
    if (this.closing.signal.aborted) return "this side closed it";
    const page = globalThis.location?.origin;
    const foreign = page && page !== this.url.origin;
    const allowed = foreign ? `, or does not name this page's origin (${page}) in its setting \`origins\`` : "";
    const said = error instanceof Error && error.message ? ` (${error.message})` : "";
    return `it is not there, its certificate is not trusted here${allowed}${said}`;
  }

  close(): void {
    this.closing.abort();
  }
}

/** The body of an answer, in the pieces that are asked for. */
class Body {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(response: Response, private readonly again: () => void) {
    if (!response.body) throw new InvalidEnvelope("an answer without a body");
    this.reader = response.body.getReader();
  }

  private async next(): Promise<boolean> {
    const { done, value } = await this.reader.read();
    this.again();
    if (value) this.rest = value;
    return !done;
  }

  /** Exactly `count` bytes. */
  async take(count: number): Promise<Uint8Array> {
    if (this.rest.length >= count) return this.cut(count);
    const parts = [];
    let missing = count;
    for (;;) {
      const part = this.cut(Math.min(missing, this.rest.length));
      parts.push(part);
      missing -= part.length;
      if (!missing) return parts.length === 1 ? part : concat(...parts);
      if (!(await this.next())) throw new Unavailable("the answer broke off");
    }
  }

  private cut(count: number): Uint8Array {
    const found = this.rest.subarray(0, count);
    this.rest = this.rest.subarray(count);
    return found;
  }

  async more(): Promise<boolean> {
    while (!this.rest.length) if (!(await this.next())) return false;
    return true;
  }

  drop(): void {
    this.reader.cancel().catch(() => undefined);
  }
}
