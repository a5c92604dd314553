// Conversations as files and back. A file may come from anybody: every field is checked.
import type { Conversation, FileRef, Message, State, Stats, ToolCall } from "./types";
import * as store from "./store";
import { newConversation, newMessage } from "./tree";

const FORMAT = "ernie.cpp conversations";

export async function exported(conversations: Conversation[]): Promise<string> {
  const files: Record<string, string> = {};
  for (const file of conversations.flatMap((c) => Object.values(c.messages).flatMap((m) => m.files))) {
    const blob = await store.file(file.id);
    if (blob) files[file.id] = await store.dataUrl(blob);
  }
  return JSON.stringify({ format: FORMAT, version: 1, conversations, files }, null, 1);
}

export function download(name: string, text: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

type Raw = Record<string, unknown>;

function object(value: unknown): Raw {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("not an object");
  return value as Raw;
}
function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
function oneOf<T extends string>(value: unknown, words: readonly T[]): T {
  return words.includes(value as T) ? (value as T) : words[0];
}

// Blobs of data URLs that are pictures or clips; the Content-Security-Policy forbids to fetch them.
function blobOf(url: string): Blob | null {
  const match = /^data:((?:image|video)\/[\w.+-]+|application\/octet-stream|);base64,([A-Za-z0-9+/=]+)$/.exec(url);
  if (!match) return null;
  const binary = atob(match[2]);
  return new Blob([Uint8Array.from(binary, (c) => c.charCodeAt(0))], { type: match[1] });
}

async function importedFiles(value: unknown, files: Raw): Promise<FileRef[]> {
  const out: FileRef[] = [];
  for (const raw of list(value).map(object)) {
    const blob = blobOf(text(files[text(raw.id)]));
    if (!blob) continue;
    out.push({
      id: await store.putFile(blob), name: text(raw.name), type: blob.type, kind: oneOf(raw.kind, ["image", "video"]),
    });
  }
  return out;
}

function importedStats(value: unknown): Stats | undefined {
  if (!value) return undefined;
  const raw = object(value);
  return {
    promptTokens: number(raw.promptTokens), cachedTokens: number(raw.cachedTokens), tokens: number(raw.tokens),
    firstTokenMs: number(raw.firstTokenMs), decodeMs: number(raw.decodeMs),
  };
}

function importedCall(value: unknown): ToolCall {
  const raw = object(value);
  return { id: text(raw.id), name: text(raw.name), arguments: text(raw.arguments) };
}

async function importedMessage(raw: Raw, parent: string, files: Raw): Promise<Message> {
  const state = oneOf<State>(raw.state, ["done", "stopped", "broken", "failed"]);
  return newMessage(parent, oneOf(raw.role, ["user", "assistant", "tool"] as const), {
    created: number(raw.created), text: text(raw.text), thinking: text(raw.thinking),
    thinkingMs: number(raw.thinkingMs), callId: text(raw.callId), failure: text(raw.failure),
    finish: text(raw.finish), calls: list(raw.calls).map(importedCall), state,
    files: await importedFiles(raw.files, files), stats: importedStats(raw.stats),
  });
}

// New ids all over, so that nothing that is there is replaced.
async function importedConversation(value: unknown, files: Raw): Promise<Conversation> {
  const raw = object(value);
  const out = newConversation();
  out.title = text(raw.title);
  out.created = number(raw.created) || out.created;
  const messages = object(raw.messages);
  const renamed = new Map([["", ""]]);
  let left = Object.entries(messages).map(([id, m]) => ({ id, raw: object(m) }));
  while (left.length) {
    const ready = left.filter((m) => renamed.has(text(m.raw.parent)));
    if (!ready.length) throw new Error("a message without the one before it");
    for (const m of ready) {
      const message = await importedMessage(m.raw, renamed.get(text(m.raw.parent)) ?? "", files);
      renamed.set(m.id, message.id);
      out.messages[message.id] = message;
    }
    left = left.filter((m) => !ready.includes(m));
  }
  for (const [parent, child] of Object.entries(raw.chosen ? object(raw.chosen) : {})) {
    const [from, to] = [renamed.get(parent), renamed.get(text(child))];
    if (from !== undefined && to) out.chosen[from] = to;
  }
  return out;
}

export async function imported(content: string): Promise<Conversation[]> {
  const raw = object(JSON.parse(content));
  if (raw.format !== FORMAT) throw new Error("another kind of file");
  const files = raw.files ? object(raw.files) : {};
  const out: Conversation[] = [];
  for (const conversation of list(raw.conversations)) out.push(await importedConversation(conversation, files));
  for (const conversation of out) await store.put(conversation);
  return out;
}
