import type { Conversation, FileRef, Message } from "./types";

let counter = 0;
export function newId(): string {
  const random = crypto.getRandomValues(new Uint32Array(2));
  return Date.now().toString(36) + (counter++).toString(36) + random[0].toString(36) + random[1].toString(36);
}

export function newConversation(): Conversation {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, messages: {}, chosen: {} };
}

export function newMessage(parent: string, role: Message["role"], fields: Partial<Message> = {}): Message {
  return {
    id: newId(), parent, role, created: Date.now(), text: "", files: [], thinking: "", thinkingMs: 0, calls: [],
    callId: "", state: "done", failure: "", finish: "", ...fields,
  };
}

export function children(conversation: Conversation, parent: string): Message[] {
  return Object.values(conversation.messages).filter((m) => m.parent === parent)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

// The messages that are shown, from the first on.
export function path(conversation: Conversation): Message[] {
  const out: Message[] = [];
  let at = "";
  while (true) {
    const all = children(conversation, at);
    const next = all.find((m) => m.id === conversation.chosen[at]) ?? all[all.length - 1];
    if (!next) return out;
    out.push(next);
    at = next.id;
  }
}

// The messages before and with this one.
export function upTo(conversation: Conversation, id: string): Message[] {
  const out: Message[] = [];
  for (let m = conversation.messages[id]; m; m = conversation.messages[m.parent]) out.unshift(m);
  return out;
}

export function insert(conversation: Conversation, message: Message) {
  conversation.messages[message.id] = message;
  conversation.chosen[message.parent] = message.id;
  conversation.updated = Date.now();
  if (!conversation.title && message.role === "user") conversation.title = titleOf(message);
}

function titleOf(message: Message): string {
  const line = message.text.trim().split("\n")[0];
  if (!line) return message.files.map((f) => f.name).join(", ");
  return line.length > 60 ? line.slice(0, 58) + "…" : line;
}

// The path up to a message as a conversation of its own.
export function fork(conversation: Conversation, id: string): Conversation {
  const out = newConversation();
  out.title = conversation.title;
  let parent = "";
  for (const m of upTo(conversation, id)) {
    const copy: Message = { ...structuredClone(m), id: newId(), parent };
    insert(out, copy);
    parent = copy.id;
  }
  return out;
}

export function filesOf(conversation: Conversation): FileRef[] {
  return Object.values(conversation.messages).flatMap((m) => m.files);
}

export function matches(conversation: Conversation, words: string[]): boolean {
  const texts = Object.values(conversation.messages).map((m) => m.text + " " + m.files.map((f) => f.name).join(" "));
  const all = (conversation.title + "\n" + texts.join("\n")).toLowerCase();
  return words.every((word) => all.includes(word));
}
