/** A node through its Network, which carries what is said and cannot read it: `relay+https://network/<verify key>`. */
import { BadSignature, GridError, Unavailable } from "../errors.js";
import { fromHex, type Bytes } from "../wire/bytes.js";
import { nodeIdOf } from "../wire/envelope.js";
import { Greeting, MAX_SEALED, TAG, type SealedChannel } from "../wire/sealed.js";
import { WINDOW } from "../wire/segments.js";
import { MultiplexedTransport } from "./multiplexed.js";
import { Inbox, type Listener, type Pipe } from "./pipe.js";
import { WebSocketPipe } from "./websocket.js";

const GREETING_TIMEOUT = 30_000;

/** Exchanges over one sealed pipe through the Network at `network` (`http(s)://host:port`). */
export function relayTransport(network: string, verifyKey: string): MultiplexedTransport {
  const socket = network.replace(/^http/, "ws");
  const path = `/relay/${nodeIdOf(fromHex(verifyKey))}`;
  return new MultiplexedTransport(`relay+${network}/${verifyKey}`, async () =>
    askSealed(await WebSocketPipe.open(socket, path, MAX_SEALED), verifyKey));
}

/**
 * Exchanges with a node at an address that somebody else told (`http(s)://host:port`), sealed to its key: a signed answer
 * says who answered, and not who reads.
 */
export function straightTransport(address: string, verifyKey: string): MultiplexedTransport {
  return new MultiplexedTransport(address, async () =>
    askSealed(await WebSocketPipe.open(address.replace(/^http/, "ws"), "/sealed", MAX_SEALED), verifyKey));
}

/** The caller's end of a sealed pipe over `carried`, once the node of `verifyKey` has answered. */
export async function askSealed(carried: Pipe, verifyKey: string): Promise<SealedPipe> {
  const inbox = new Inbox();
  carried.listener = inbox;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const greeting = await Greeting.of(verifyKey);
    await carried.send(greeting.hello);
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Unavailable("nobody answers at the other end")), GREETING_TIMEOUT);
    });
    const welcome = await Promise.race([inbox.next(), late]);
    return new SealedPipe(carried, await greeting.welcomed(welcome), inbox);
  } catch (error) {
    carried.close(1002, "no sealed pipe was made");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Messages over `carried`, sealed, in the order in which they are sent. */
export class SealedPipe implements Pipe {
  readonly maxMessage: number;
  readonly window = WINDOW;
  private heard: Listener | null = null;
  private sending: Promise<void> = Promise.resolve();
  private opening: Promise<void> = Promise.resolve();
  private why: GridError | null = null;

  constructor(private readonly carried: Pipe, private readonly channel: SealedChannel, private readonly inbox: Inbox) {
    this.maxMessage = Math.min(MAX_SEALED, carried.maxMessage ?? MAX_SEALED) - TAG;
  }

  get listener(): Listener | null {
    return this.heard;
  }

  set listener(listener: Listener | null) {
    const first = this.heard === null;
    this.heard = listener;
    if (first) this.inbox.handOver(this.carried, { message: (bytes) => this.take(bytes), ended: (why) => this.end(why) });
  }

  send(message: Bytes): Promise<void> {
    const sent = this.sending.then(async () => this.carried.send(await this.channel.seal(message)));
    this.sending = sent.catch(() => undefined);
    return sent;
  }

  private take(sealed: Bytes): void {
    this.opening = this.opening.then(async () => {
      if (this.why) return;
      try {
        const opened = await this.channel.open(sealed);
        if (!this.why) this.heard?.message(opened);
      } catch (error) {
        this.end(error instanceof GridError ? error : new BadSignature("a message does not open"));
        this.carried.close(1002, "a message does not open");
      }
    });
  }

  private end(why: GridError): void {
    // After what came before: it is still being opened.
    this.opening = this.opening.then(() => {
      if (this.why) return;
      this.why = why;
      this.heard?.ended(why);
    });
  }

  close(code?: number, reason?: string): void {
    this.sending.finally(() => this.carried.close(code, reason));
  }
}
