/** What a browser keeps of a participant, in IndexedDB: keys, known nodes, trainings under way. */
import { Unsupported } from "../errors.js";

/** Rooms of the database: `keys` (identities), `nodes` (pinned keys), `jobs` (trainings under way), `counts` (reports). */
export type Table = "keys" | "nodes" | "jobs" | "counts";
const TABLES: readonly Table[] = ["keys", "nodes", "jobs", "counts"];

/** A small store of values that structured cloning can copy. */
export interface Store {
  get(table: Table, name: string): Promise<unknown>;
  /** What is there afterwards: `make` is given what was there, and nobody else changes it meanwhile. */
  change<T>(table: Table, name: string, make: (before: unknown) => T): Promise<T>;
  remove(table: Table, name: string): Promise<void>;
}

/** A store that lives as long as the page: for tests, and for whoever wants to leave nothing behind. */
export class MemoryStore implements Store {
  private readonly values = new Map<string, unknown>();

  async get(table: Table, name: string): Promise<unknown> {
    return this.values.get(`${table}/${name}`);
  }

  async change<T>(table: Table, name: string, make: (before: unknown) => T): Promise<T> {
    const made = make(this.values.get(`${table}/${name}`));
    this.values.set(`${table}/${name}`, made);
    return made;
  }

  async remove(table: Table, name: string): Promise<void> {
    this.values.delete(`${table}/${name}`);
  }
}

/** IndexedDB of the page's origin: what one Domain's page keeps, no other origin's page reads. */
export class BrowserStore implements Store {
  private opened: Promise<IDBDatabase> | undefined;

  constructor(private readonly name = "grid") {}

  private database(): Promise<IDBDatabase> {
    return (this.opened ??= new Promise((resolve, reject) => {
      if (typeof indexedDB === "undefined") {
        reject(new Unsupported("this browser keeps nothing here (no IndexedDB): a private window, or blocked storage"));
        return;
      }
      const opening = indexedDB.open(this.name, 1);
      opening.onupgradeneeded = () => TABLES.forEach((table) => opening.result.createObjectStore(table));
      opening.onsuccess = () => {
        // Another tab with a later version of this page waits for us.
        opening.result.onversionchange = () => {
          opening.result.close();
          this.opened = undefined;
        };
        resolve(opening.result);
      };
      opening.onerror = () => {
        this.opened = undefined;
        reject(new Unsupported(`this browser keeps nothing here: ${opening.error?.message ?? "storage is blocked"}`));
      };
    }));
  }

  private async run<T>(mode: IDBTransactionMode, table: Table, act: (store: IDBObjectStore, done: (value: T) => void) => void): Promise<T> {
    const database = await this.database();
    return new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(table, mode, { durability: "strict" });
      let found: { value: T } | undefined;
      let thrown: unknown;
      transaction.oncomplete = () => (found ? resolve(found.value) : reject(new Error("nothing was read")));
      transaction.onabort = () =>
        reject(thrown ?? new Unsupported(`this browser cannot keep it: ${transaction.error?.message ?? "storage is full"}`));
      act(transaction.objectStore(table), (value) => (found = { value }));
      // What `make` throws ends the transaction, and is what the caller hears of.
      function fail(error: unknown): void {
        thrown = error;
        transaction.abort();
      }
      transactions.set(transaction, fail);
    });
  }

  get(table: Table, name: string): Promise<unknown> {
    return this.run<unknown>("readonly", table, (store, done) => {
      const asked = store.get(name);
      asked.onsuccess = () => done(asked.result);
    });
  }

  change<T>(table: Table, name: string, make: (before: unknown) => T): Promise<T> {
    return this.run<T>("readwrite", table, (store, done) => {
      const asked = store.get(name);
      asked.onsuccess = () => {
        try {
          const made = make(asked.result);
          store.put(made, name);
          done(made);
        } catch (error) {
          transactions.get(store.transaction)?.(error);
        }
      };
    });
  }

  remove(table: Table, name: string): Promise<void> {
    return this.run<void>("readwrite", table, (store, done) => {
      store.delete(name);
      done();
    });
  }
}

const transactions = new WeakMap<IDBTransaction, (error: unknown) => void>();
