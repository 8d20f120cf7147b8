/** Names that are nearly equal: never taken for one another, always named where one of them is missing. */

/** Those of `names` that were probably meant by `name`. */
export function nearly(name: string, names: readonly string[]): string[] {
  const meant = folded(name), same = names.filter((each) => folded(each) === meant);
  if (same.length) return same;
  const close = names.map((each) => ({ each, far: distance(meant, folded(each)) }));
  return close
    .filter(({ each, far }) => far <= Math.max(name.length, each.length) * 0.4)
    .sort((one, other) => one.far - other.far)
    .slice(0, 3)
    .map(({ each }) => each);
}

/** Without case, accents, spaces, signs, and a unit in brackets. */
function folded(name: string): string {
  const plain = name.replace(/[[(].*?[\])]/g, "").normalize("NFKD").toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]/gu, "") || name;
}

/** How many letters are to be put in, left out or changed (V. Levenshtein, 1966); long names are cut. */
function distance(one: string, other: string): number {
  const left = one.slice(0, 64), right = other.slice(0, 64);
  let row = Array.from({ length: right.length + 1 }, (_, at) => at);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[right.length]!;
}
