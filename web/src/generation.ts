// An answer as it comes, into its message.
import type { Conversation, Message } from "./types";
import { ApiError } from "./api";
import { requestBody } from "./request";
import { isFieldError, type FieldError } from "./settings";
import { type CallDelta, type Chunk, streamChat } from "./stream";
import { upTo } from "./tree";

export interface Generation {
  message: Message;
  stop: AbortController;
}

const SAVE_MS = 500;
const OPEN = "<think>";
const CLOSE = "</think>";

// A server that does not split thinking from content leaves its marks in the text.
function setText(message: Message, raw: string) {
  const begun = raw.trimStart();
  if (!begun.startsWith(OPEN)) {
    message.text = raw;
    return;
  }
  const end = begun.indexOf(CLOSE);
  message.thinking = (end < 0 ? begun.slice(OPEN.length) : begun.slice(OPEN.length, end)).trim();
  message.text = end < 0 ? "" : begun.slice(end + CLOSE.length).trimStart();
}

function addCall(message: Message, delta: CallDelta) {
  const call = (message.calls[delta.index] ??= { id: "", name: "", arguments: "" });
  call.id ||= delta.id ?? "";
  call.name += delta.function?.name ?? "";
  call.arguments += delta.function?.arguments ?? "";
}

class Reader {
  private readonly begun = performance.now();
  private first = 0;
  private last = 0;
  private thinkingSince = 0;
  private raw: string;

  constructor(private readonly message: Message) {
    this.raw = message.text;
  }

  read(chunk: Chunk) {
    const { message } = this;
    const now = performance.now();
    const choice = chunk.choices?.[0];
    const delta = choice?.delta ?? {};
    if (delta.reasoning_content) message.thinking += delta.reasoning_content;
    if (delta.content) setText(message, (this.raw += delta.content));
    for (const call of delta.tool_calls ?? []) addCall(message, call);
    if (choice?.finish_reason) message.finish = choice.finish_reason;
    if (delta.reasoning_content || delta.content || delta.tool_calls?.length) {
      this.first ||= now;
      this.last = now;
      if (message.thinking) {
        this.thinkingSince ||= now;
        if (!message.text || !message.thinkingMs) message.thinkingMs = now - this.thinkingSince;
      }
    }
    if (chunk.usage) {
      message.stats = {
        promptTokens: chunk.usage.prompt_tokens,
        cachedTokens: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
        tokens: chunk.usage.completion_tokens,
        firstTokenMs: (this.first || now) - this.begun,
        decodeMs: this.last - this.first,
      };
    }
  }
}

function setFailure(message: Message, error: unknown) {
  if (error instanceof DOMException && error.name === "AbortError") {
    message.state = "stopped";
  } else if (error instanceof ApiError) {
    message.state = "failed";
    message.failure = error.message;
  } else if (error instanceof Error && error.message) {
    message.state = "failed";
    message.failure = error.message;
  } else {
    message.state = "broken";
  }
}

// Writes the answer to what stands before `message` into it; `goOn` behind the text that it has.
// Gives what is wrong with the settings, if anything is.
export async function generate(model: string, conversation: Conversation, generation: Generation, goOn: boolean,
  onChange: () => void, save: () => Promise<void>): Promise<FieldError | null> {
  const { message, stop } = generation;
  const messages = upTo(conversation, goOn ? message.id : message.parent);
  message.state = "streaming";
  message.failure = message.finish = "";
  onChange();
  let saved = performance.now();
  try {
    const body = await requestBody(model, messages, goOn);
    if (isFieldError(body)) {
      message.state = "stopped";
      return body;
    }
    const reader = new Reader(message);
    await streamChat(body, stop.signal, (chunk) => {
      reader.read(chunk);
      onChange();
      if (performance.now() < saved + SAVE_MS) return;
      saved = performance.now();
      void save();
    });
    message.state = "done";
  } catch (error) {
    setFailure(message, error);
  } finally {
    conversation.updated = Date.now();
    await save();
  }
  return null;
}
