// Boxes [x1, y1, x2, y2] and points [x, y] of an answer, in thousandths of a picture.

export interface Mark {
  label: string;
  picture: number; // counted from 1 where the answer names it; 0: it does not
  x1: number;
  y1: number;
  x2: number; // of a point: as x1
  y2: number;
}

const NUMBER = "\\s*(\\d{1,4})\\s*";
const PATTERN = new RegExp(`\\[${NUMBER},${NUMBER}(?:,${NUMBER},${NUMBER})?\\]`, "g");
const PICTURE = /(?:picture|image|图片?)\s*(\d{1,2})/gi;
const MAX_LABEL = 40;

// What stands before a mark on its line, without the marks before it and what only writes it.
function labelOf(before: string): string {
  const line = before.slice(before.lastIndexOf("\n") + 1).split("]").pop() ?? "";
  const named = /"label"\s*:\s*"([^"]*)"/.exec(line);
  const text = (named ? named[1] : line).replace(/["`*_#{}[\]<>|]|bbox(_2d)?|point_2d/gi, " ")
    .replace(/\s+/g, " ").replace(/^[\s\d.,;:)（：，、。-]+|[\s,;:(（：，、-]+$/g, "");
  return text.length > MAX_LABEL ? "…" + text.slice(1 - MAX_LABEL) : text;
}

function pictureOf(before: string): number {
  let found = 0;
  for (const match of before.matchAll(PICTURE)) found = Number(match[1]);
  return found;
}

export function findMarks(text: string): Mark[] {
  const out: Mark[] = [];
  for (const match of text.matchAll(PATTERN)) {
    const [x1, y1, x2, y2] = match.slice(1).map((n) => (n === undefined ? NaN : Number(n)));
    const box = !Number.isNaN(x2);
    if (Math.max(x1, y1) > 1000 || (box && (Math.max(x2, y2) > 1000 || x2 <= x1 || y2 <= y1))) continue;
    const before = text.slice(0, match.index);
    out.push({ label: labelOf(before), picture: pictureOf(before), x1, y1, x2: box ? x2 : x1, y2: box ? y2 : y1 });
  }
  return out;
}
