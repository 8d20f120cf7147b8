/** Text that others wrote, made safe to show, as `syft_ext/readable.py`: what is not seen, or acts, is named. */

/** Default_Ignorable_Code_Point of Unicode, as far as the category does not tell; then what is no visible character. */
const HIDDEN = /[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\u{e0100}-\u{e01ef}]|[\p{C}\p{Zl}\p{Zp}]/gu;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** @param lines text of several lines is meant: line feeds and tabs stay */
export function readable(text: string, lines = false): string {
  return text.replace(HIDDEN, (char) => {
    if (lines && (char === "\n" || char === "\t")) return char;
    const code = char.codePointAt(0)!;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return NAMED[char] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}
