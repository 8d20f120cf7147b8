/** A transport whose code is loaded at its first exchange: most peers never need it. */
import { Unavailable } from "../errors.js";
import type { Envelope } from "../wire/envelope.js";
import type { Exchange, Frame, Path, Transport } from "./base.js";

export class LaterTransport implements Transport {
  private offset = 0;
  private now: Transport | null = null;
  private coming: Promise<Transport> | null = null;
  private closed = false;

  constructor(readonly address: string, private readonly load: () => Promise<Transport>) {}

  get ahead(): number {
    return this.now?.ahead ?? this.offset;
  }

  set ahead(seconds: number) {
    this.offset = seconds;
    if (this.now) this.now.ahead = seconds;
  }

  get path(): Path | null {
    return this.now?.path ?? null;
  }

  isUnintroduced(): boolean {
    return this.now?.isUnintroduced() ?? false;
  }

  async exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame> {
    return (await this.loaded()).exchange(envelope, payload, how);
  }

  private loaded(): Promise<Transport> {
    return (this.coming ??= this.load().then(
      (transport) => {
        transport.ahead = this.offset;
        if (this.closed) transport.close();
        return (this.now = transport);
      },
      (error: unknown) => {
        this.coming = null;
        throw new Unavailable(`the script of the way to ${this.address} did not come: ${String(error)}`);
      },
    ));
  }

  close(): void {
    this.closed = true;
    this.now?.close();
  }
}
