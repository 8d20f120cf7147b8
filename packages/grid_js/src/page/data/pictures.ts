/** Pictures, of folders or drawn, as samples to be matched. */
import type { ArrayInputs } from "../../federated/inputs/declared.js";
import type { SiteSamples } from "../../federated/inputs/matching.js";
import type { Drawn, Problem } from "../state.js";
import type { Picture } from "./png.js";
import { Unreadable, problem } from "./unreadable.js";

/** Bytes of the pixels that a page holds. */
const MOST = 128 << 20;
const SHOWN = 50;

/**
 * One folder for each class, its name the class's; files that begin with a point are none. Throws
 * {@link Unreadable} with what is wrong with each.
 */
export async function readFolder(inputs: ArrayInputs, files: readonly File[]): Promise<SiteSamples> {
  const classes = classesOf(inputs), problems: Problem[] = [], pictures: Picture[] = [], labels: string[] = [];
  const placed = files.map((file) => ({ file, path: (file.webkitRelativePath || file.name).split("/") }))
    .filter(({ path }) => path.slice(1).every((part) => !part.startsWith(".")))
    .sort((one, other) => order(one.path, other.path));
  const title = placed[0]?.path[0] ?? "", strange = new Set<string>();
  let bytes = 0;
  const { NotExact, readPng } = await import("./png.js"); // who draws needs none of it
  for (const { file, path } of placed) {
    if (problems.length >= SHOWN) break;
    const name = path.slice(1).join("/"), folder = path.length === 3 ? path[1]! : "";
    if (!classes.includes(folder)) {
      if (!strange.has(folder)) problems.push(problem("not-a-class", { column: folder || name, more: classes.join(", ") }));
      strange.add(folder);
      continue;
    }
    try {
      if (!/\.png$/i.test(file.name)) throw new NotExact("not-a-picture", "");
      const picture = await readPng(new Uint8Array(await file.arrayBuffer()));
      check(inputs, picture, name, problems);
      bytes += picture.pixels.length;
      if (bytes > MOST) throw new Unreadable([problem("too-large", { value: String(placed.length), more: String(pictures.length) })], title);
      pictures.push(picture);
      labels.push(folder);
    } catch (error) {
      if (!(error instanceof NotExact)) throw error;
      problems.push(problem(error.code, { column: name, value: error.value, more: wanted(inputs) }));
    }
  }
  if (!pictures.length && !problems.length) problems.push(problem("no-folders", { more: classes.join(", ") }));
  const channels = pictures.some((picture) => picture.channels === 3) ? 3 : 1;
  if (!problems.length && channels !== inputs.shape[0]) problems.push(problem("picture-kind", { value: "grey", more: wanted(inputs) }));
  if (problems.length) throw new Unreadable(problems, title);
  return samples(inputs, title, pictures, labels);
}

export function drawnSamples(inputs: ArrayInputs, size: readonly [number, number], drawn: readonly Drawn[]): SiteSamples {
  const [height, width] = size, classes = classesOf(inputs);
  const pictures = drawn.map(({ pixels }): Picture => ({ width, height, channels: 1, pixels }));
  return samples(inputs, "", pictures, drawn.map(({ label }) => classes[label]!));
}

function check(inputs: ArrayInputs, picture: Picture, name: string, problems: Problem[]): void {
  const [channels, height, width] = inputs.shape;
  if (inputs.shape.length !== 3 || picture.height !== height || picture.width !== width) {
    problems.push(problem("picture-size", { column: name, value: `${picture.width} × ${picture.height}`, more: wanted(inputs) }));
  } else if (picture.channels === 3 && channels === 1) {
    problems.push(problem("picture-kind", { column: name, value: "RGB", more: wanted(inputs) }));
  }
}

function samples(inputs: ArrayInputs, title: string, pictures: readonly Picture[], labels: readonly string[]): SiteSamples {
  const [channels = 1, height = 1, width = 1] = inputs.shape, plane = height * width, values = new Uint8Array(pictures.length * channels * plane);
  pictures.forEach((picture, number) => {
    // Grey among colour: three times the same.
    for (let c = 0; c < channels; c++) {
      const from = picture.channels === 1 ? 0 : c * plane;
      values.set(picture.pixels.subarray(from, from + plane), (number * channels + c) * plane);
    }
  });
  return { kind: "samples", title, shape: [channels, height, width], values, labels };
}

function classesOf(inputs: ArrayInputs): readonly string[] {
  return inputs.label.kind === "category" ? inputs.label.categories : [];
}

function wanted(inputs: ArrayInputs): string {
  const [channels, height, width] = inputs.shape;
  return `${width} × ${height}, ${channels === 3 ? "RGB" : "grey"}, 8 bits`;
}

/** Class by class, and by name in each: as Python sorts paths, by the numbers of their letters. */
function order(one: readonly string[], other: readonly string[]): number {
  const [left, right] = [one.join("\0"), other.join("\0")];
  return left < right ? -1 : left > right ? 1 : 0;
}
