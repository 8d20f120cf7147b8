/** What the page says, in the reader's language. */
import type { en } from "./en.js";

export type Key = keyof typeof en;
export type Values = Readonly<Record<string, string | number>>;
export const LANGUAGES = { en: "English", pt: "Português" } as const;
export type Language = keyof typeof LANGUAGES;
export type Words = Readonly<Record<Key, string>>;
/** A reader fetches the language that they read. */
const ALL: Readonly<Record<Language, () => Promise<Words>>> = {
  en: async () => (await import("./en.js")).en,
  pt: async () => (await import("./pt.js")).pt,
};

export class Texts {
  constructor(readonly language: Language, private readonly words: Words) {}

  static async load(language: Language): Promise<Texts> {
    return new Texts(language, await ALL[language]());
  }

  /** The text of that name, `{names}` in it replaced. */
  say(key: Key, values: Values = {}): string {
    return this.words[key].replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
  }

  has(key: string): key is Key {
    return Object.hasOwn(this.words, key);
  }

  /** `one` or `many` of a name, by the number. */
  count(one: Key, many: Key, n: number, values: Values = {}): string {
    return this.say(n === 1 ? one : many, { n: this.number(n), ...values });
  }

  number(value: number, digits?: number): string {
    return new Intl.NumberFormat(this.language, digits === undefined ? {} : { maximumSignificantDigits: digits }).format(value);
  }

  /** As people say it: 3.1 MB. */
  bytes(value: number): string {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
    let power = 0;
    while (value >= 1000 && power < 3) (value /= 1000), power++;
    return new Intl.NumberFormat(this.language, {
      style: "unit", unit: units[power]!, unitDisplay: power ? "short" : "long", maximumSignificantDigits: 3,
    }).format(value);
  }

  /** 12 million, 3.4 billion. */
  large(value: number): string {
    return new Intl.NumberFormat(this.language, { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 2 }).format(value);
  }

  time(at: number): string {
    return new Intl.DateTimeFormat(this.language, { timeStyle: "medium" }).format(at);
  }
}

/** The first language of the reader's that the page has; English where it has none of them. */
export function preferred(languages: readonly string[]): Language {
  for (const each of languages) {
    const found = each.toLowerCase().split("-")[0]!;
    if (found in LANGUAGES) return found as Language;
  }
  return "en";
}
