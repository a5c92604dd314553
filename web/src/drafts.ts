// What is typed and not sent, kept at every keystroke.
import type { FileRef } from "./types";
import { local } from "./browser_storage";

export interface Draft {
  text: string;
  files: FileRef[];
}

const PREFIX = "ernie.draft.";

export function readDraft(place: string): Draft {
  try {
    const kept = JSON.parse(local.get(PREFIX + place) ?? "null");
    if (kept && typeof kept.text === "string" && Array.isArray(kept.files)) return kept;
  } catch {
    // Nothing that can be read: as if nothing was typed.
  }
  return { text: "", files: [] };
}

export function writeDraft(place: string, draft: Draft) {
  if (draft.text || draft.files.length) local.set(PREFIX + place, JSON.stringify(draft));
  else local.remove(PREFIX + place);
}

export function draftFiles(): FileRef[] {
  const places = local.keys().filter((key) => key.startsWith(PREFIX));
  return places.flatMap((key) => readDraft(key.slice(PREFIX.length)).files);
}
