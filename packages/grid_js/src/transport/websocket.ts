/** A WebSocket as a pipe of messages. */
import { GridError, Unauthenticated, Unavailable } from "../errors.js";
import { requireNotMixed } from "../identity/secure.js";
import type { Bytes } from "../wire/bytes.js";
import { WINDOW } from "../wire/segments.js";
import type { Listener, Pipe } from "./pipe.js";

const CONNECT_TIMEOUT = 10_000;
/** Bytes that may wait in the browser to be sent, before the next message does. */
const BUFFERED = 1 << 20;
const LOG_IN_FIRST = "log in first: of strangers only small messages are taken";

export class WebSocketPipe implements Pipe {
  readonly window = WINDOW;
  listener: Listener | null = null;
  private why: GridError | null = null;

  private constructor(private readonly socket: WebSocket, private readonly address: string, readonly maxMessage: number | null) {
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.listener?.message(new Uint8Array(data)); // text is no frame
    };
    socket.onclose = ({ code, reason }) => {
      const said = reason ? ` (${code}: ${reason})` : ` (${code})`;
      this.end(reason === LOG_IN_FIRST ? new Unauthenticated(`${address}: ${reason}`) : new Unavailable(`${address} hung up${said}`));
    };
  }

  /** Opens `path` of the node at `address` (`ws://…` or `wss://…`). */
  static async open(address: string, path: string, maxMessage: number | null): Promise<WebSocketPipe> {
    const url = new URL(`${address}${path}`);
    requireNotMixed(url);
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    await new Promise<void>((resolve, reject) => {
      const fail = () => {
        clearTimeout(timer);
        socket.close();
        const page = globalThis.location?.origin;
        const foreign = page && new URL(page).host !== url.host ? `, or does not name this page's origin (${page}) in its setting \`origins\`` : "";
        reject(new Unavailable(`${address} cannot be reached: it is not there, takes no WebSocket at ${path}${foreign}`));
      };
      const timer = setTimeout(fail, CONNECT_TIMEOUT);
      socket.onopen = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.onerror = socket.onclose = fail;
    });
    socket.onerror = null;
    return new WebSocketPipe(socket, address, maxMessage);
  }

  async send(message: Bytes): Promise<void> {
    while (!this.why && this.socket.bufferedAmount > BUFFERED) await new Promise((resolve) => setTimeout(resolve, 5));
    if (this.why || this.socket.readyState !== WebSocket.OPEN) throw this.why ?? new Unavailable(`${this.address} hung up`);
    this.socket.send(message);
  }

  close(code = 1000, reason = ""): void {
    this.end(new Unavailable(`the connection to ${this.address} was closed`));
    // Browsers let a page say only 1000 and its own codes.
    this.socket.close(code === 1000 ? 1000 : 4000 + (code % 1000), reason.slice(0, 40));
  }

  private end(why: GridError): void {
    if (this.why) return;
    this.why = why;
    this.listener?.ended(why);
  }
}
