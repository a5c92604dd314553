export interface FileRef {
  id: string; // of its bytes in the store
  name: string;
  type: string;
  kind: "image" | "video";
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export interface Stats {
  promptTokens: number;
  cachedTokens: number;
  tokens: number;
  firstTokenMs: number;
  decodeMs: number; // from the first token to the last
}

// "broken": the connection ended before the answer did; "failed": the server said why.
export type State = "done" | "streaming" | "stopped" | "broken" | "failed";

export interface Message {
  id: string;
  parent: string; // "": the first of the conversation
  role: "user" | "assistant" | "tool";
  created: number;
  text: string;
  files: FileRef[];
  thinking: string;
  thinkingMs: number;
  calls: ToolCall[];
  callId: string; // of a tool's result: the call that it answers
  state: State;
  failure: string;
  finish: string; // why the answer ended, in the server's word
  stats?: Stats;
}

// A tree of messages: an edit or another answer is a sibling of what it stands for.
export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  messages: Record<string, Message>;
  chosen: Record<string, string>; // of a message's id (""): its child that is shown
}
