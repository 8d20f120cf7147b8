/** Addresses, and the transport that each stands for: the schemes of `syft_ext/transport/registry.py`. */
import { BadRequest } from "../errors.js";
import type { Transport } from "./base.js";
import { HttpTransport } from "./http.js";
import { LaterTransport } from "./later.js";
import { MultiplexedTransport } from "./multiplexed.js";
import { WebSocketPipe } from "./websocket.js";

/** An address, taken apart. `key` is the node's verify key where the address says by itself whom one speaks to. */
export interface Address {
  readonly scheme: string;
  /** `http(s)://host:port` of the node, or of the Network that leads to it. */
  readonly origin: string;
  readonly key: string;
}

/** Ways through a Network: its relay, WebRTC, or all that lead there. */
const BY_KEY = ["relay", "webrtc", "grid"];

/** Reads `http(s)://host:port`, `ws(s)://host:port` or `relay|webrtc|grid+http(s)://network:port/<verify key>`. */
export function parseAddress(address: string): Address {
  const found = /^(?:(\w+)\+)?(https?|wss?):\/\/([^/?#@\s]+)(?:\/([0-9a-f]{64}))?\/?$/.exec(address.trim());
  if (!found) throw notOne(address);
  const [, way = "", scheme = "", authority = "", key = ""] = found;
  if (way ? !BY_KEY.includes(way) || !key || scheme.startsWith("ws") : key) throw notOne(address);
  try {
    new URL(`${scheme}://${authority}`);
  } catch {
    throw notOne(address);
  }
  return { scheme: way || scheme, origin: `${scheme.replace(/^ws/, "http")}://${authority.toLowerCase()}`, key };
}

function notOne(address: string): BadRequest {
  return new BadRequest(
    `not the address of a node: ${address.slice(0, 200)} (write https://host:port, wss://host:port or ` +
      "grid+https://network:port/<its verify key, 64 hex digits>)",
  );
}

/** The transport that an address stands for; nothing is sent yet. */
export function openTransport(address: string): Transport {
  const { scheme, origin, key } = parseAddress(address);
  if (BY_KEY.includes(scheme)) {
    return new LaterTransport(address, async () => (await import("./through_network.js")).throughNetwork(address, scheme, origin, key));
  }
  if (scheme.startsWith("ws")) return webSocketTransport(origin);
  return new HttpTransport(origin);
}

/** Every exchange over one WebSocket of the node at `origin` (`http(s)://host:port`). */
export function webSocketTransport(origin: string): MultiplexedTransport {
  const address = origin.replace(/^http/, "ws");
  return new MultiplexedTransport(address, () => WebSocketPipe.open(address, "/messages", null));
}
