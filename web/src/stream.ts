// One streamed answer.
import * as api from "./api";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

export interface CallDelta {
  index: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

export interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  tool_calls?: CallDelta[] | null;
}

export interface Chunk {
  choices?: { delta: Delta; finish_reason?: string | null }[];
  usage?: Usage | null;
  error?: { message: string; code?: string | null };
}

// The connection ended before the answer did.
export class Broken extends Error {}

// The data of the events of a stream, as they come.
export async function* events(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    buffer += decoder.decode(value, { stream: true });
    let end: number;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      for (const line of buffer.slice(0, end).split("\n")) {
        if (line.startsWith("data:")) yield line.slice(5).trim();
      }
      buffer = buffer.slice(end + 2);
    }
  }
}

const QUIET_MS = 15_000;
const HEALTH_MS = 5_000;

// Calls `lost` when nothing came for a while and the server cannot be reached either: a connection
// that died without a word.
function watch(lost: () => void) {
  let last = performance.now();
  const timer = window.setInterval(async () => {
    if (performance.now() - last < QUIET_MS) return;
    last = performance.now();
    const giveUp = new AbortController();
    const limit = window.setTimeout(() => giveUp.abort(), HEALTH_MS);
    try {
      await fetch("/health", { signal: giveUp.signal });
    } catch {
      lost();
    }
    clearTimeout(limit);
  }, 1000);
  return { seen: () => { last = performance.now(); }, end: () => clearInterval(timer) };
}

// Gives each chunk to `onChunk`. Throws ApiError for what the server says, Broken for a connection
// that was lost, and AbortError when `signal` was used.
export async function streamChat(body: object, signal: AbortSignal, onChunk: (chunk: Chunk) => void) {
  const inner = new AbortController();
  signal.addEventListener("abort", () => inner.abort());
  if (signal.aborted) inner.abort();
  const line = watch(() => inner.abort());
  try {
    const response = await api.post("/v1/chat/completions", body, inner.signal);
    for await (const data of events(response.body!, line.seen)) {
      if (data === "[DONE]") return;
      const chunk: Chunk = JSON.parse(data);
      if (chunk.error) throw new api.ApiError(200, chunk.error.message, chunk.error.code ?? "");
      onChunk(chunk);
    }
    throw new Broken();
  } catch (error) {
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
    if (error instanceof api.ApiError || error instanceof Broken) throw error;
    throw new Broken();
  } finally {
    line.end();
  }
}
