/** Ways to a node through its Network; a part of its own, loaded where an address asks for one. */
import { Identity } from "../identity/identity.js";
import type { Transport } from "./base.js";
import { HttpTransport } from "./http.js";
import { relayTransport } from "./relayed.js";
import { WaysTransport } from "./ways.js";
import { WebRtcTransport } from "./webrtc.js";

/** The relay, WebRTC, or all ways that lead to the node with the key through the Network at `origin`. */
export function throughNetwork(address: string, scheme: string, origin: string, key: string): Transport {
  if (scheme === "relay") return relayTransport(origin, key);
  if (scheme === "grid") return new WaysTransport(address, origin, key);
  return new WebRtcTransport(address, async () => ({
    way: relayTransport(origin, key), network: new HttpTransport(origin), nodeKey: key, identity: await Identity.generate(),
  }));
}
