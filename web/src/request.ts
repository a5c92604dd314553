// From messages to the body of a request.
import type { FileRef, Message } from "./types";
import * as store from "./store";
import { t } from "./strings";
import { requestFields, settings, type FieldError, isFieldError } from "./settings";

export async function filePart(file: FileRef): Promise<object> {
  const blob = await store.file(file.id);
  if (!blob) throw new Error(t("gone", { name: file.name }));
  const url = await store.dataUrl(blob.type ? blob : new Blob([blob], { type: "application/octet-stream" }));
  return file.kind === "video" ? { type: "video_url", video_url: { url } } : { type: "image_url", image_url: { url } };
}

async function wireMessage(m: Message, goesOn: boolean): Promise<object> {
  if (m.role === "tool") return { role: "tool", tool_call_id: m.callId, content: m.text };
  if (m.role === "assistant") {
    const calls = m.calls.map((c) => ({
      id: c.id, type: "function", function: { name: c.name, arguments: c.arguments },
    }));
    return {
      role: "assistant", content: m.text, ...(calls.length ? { tool_calls: calls } : {}),
      ...(goesOn ? { reasoning_content: m.thinking } : {}),
    };
  }
  if (!m.files.length) return { role: "user", content: m.text };
  const parts = await Promise.all(m.files.map(filePart));
  return { role: "user", content: m.text ? [...parts, { type: "text", text: m.text }] : parts };
}

// `goOn`: the last message is an answer that broke off, whose text the model goes on with.
export async function requestBody(model: string, messages: Message[], goOn: boolean): Promise<object | FieldError> {
  const fields = requestFields(settings);
  if (isFieldError(fields)) return fields;
  const wire = await Promise.all(messages.map((m, i) => wireMessage(m, goOn && i === messages.length - 1)));
  if (settings.system.trim()) wire.unshift({ role: "system", content: settings.system });
  return {
    model, ...fields, messages: wire, stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    ...(goOn ? { continue_final_message: true, add_generation_prompt: false, enable_thinking: false } : {}),
  };
}
