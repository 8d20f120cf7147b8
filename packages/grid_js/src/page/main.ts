/** Begins the page: what its document says, what this browser can, and then {@link App}. */
import { App } from "./app.js";
import { BrowserParticipant } from "./browser.js";
import { LANGUAGES, Texts, preferred, type Language } from "./texts/index.js";

const CHOSEN = "grid language";

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

/** Workers are started from this Domain's own scripts, and from nothing else. */
function trustOwnScripts(): void {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  types?.createPolicy("default", {
    createScriptURL: (url) => {
      const found = new URL(url, location.href);
      if (found.origin !== location.origin || !/^\/static\/peer\/[\w-]+\.js$/.test(found.pathname)) throw new TypeError(`${url} is no script of this page`);
      return found.href;
    },
  });
}

function language(): Language {
  let chosen: string | null = null;
  try {
    chosen = localStorage.getItem(CHOSEN);
  } catch {
    // Storage may be off; the language is the browser's then.
  }
  return chosen && chosen in LANGUAGES ? (chosen as Language) : preferred(navigator.languages);
}

function lacking(): string {
  if (!globalThis.crypto?.subtle) return "WebCrypto";
  if (typeof indexedDB === "undefined") return "IndexedDB";
  if (typeof WebAssembly === "undefined") return "WebAssembly";
  return typeof DecompressionStream === "undefined" ? "DecompressionStream" : "";
}

/** Begins the page that this script was loaded by. */
export async function beginPage(): Promise<void> {
  trustOwnScripts();
  const { training = "", node: domain = "", key: nodeKey = "" } = document.body.dataset;
  const secret = /^#([\w-]{43})$/.exec(location.hash)?.[1] ?? "";
  const app = new App({
    root: document.getElementById("page")!, domain, here: new URL(location.href), texts: await Texts.load(language()), secret,
    speak: (chosen) => {
      try {
        localStorage.setItem(CHOSEN, chosen);
      } catch {
        // As above.
      }
    },
    forget: () => history.replaceState(null, "", location.pathname),
  }, new BrowserParticipant({ address: location.origin, training, domain, nodeKey }));
  if (!isSecureContext) app.refuse({ at: "insecure" });
  else if (lacking()) app.refuse({ at: "unsupported", detail: lacking() });
  else void app.begin();
}
