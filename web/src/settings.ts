// What the user chose, kept in the browser. Fields of requests that are empty are not sent, so the
// model's own values hold.
import { local } from "./browser_storage";

export interface Settings {
  theme: "" | "light" | "dark";
  language: "" | "en" | "zh";
  thinking: boolean;
  thinkingBudget: string;
  system: string;
  temperature: string;
  topP: string;
  topK: string;
  minP: string;
  maxTokens: string;
  seed: string;
  repetitionPenalty: string;
  presencePenalty: string;
  frequencyPenalty: string;
  stop: string; // one on each line
  tools: string; // JSON
  schema: string; // JSON
}

const DEFAULTS: Settings = {
  theme: "", language: "", thinking: true, thinkingBudget: "", system: "", temperature: "", topP: "", topK: "",
  minP: "", maxTokens: "", seed: "", repetitionPenalty: "", presencePenalty: "", frequencyPenalty: "", stop: "",
  tools: "", schema: "",
};
const KEY = "ernie.settings"; // boot.ts reads it, too

function read(): Settings {
  const out = { ...DEFAULTS };
  try {
    const kept = JSON.parse(local.get(KEY) ?? "{}");
    for (const name of Object.keys(DEFAULTS) as (keyof Settings)[]) {
      if (typeof kept[name] === typeof DEFAULTS[name]) Object.assign(out, { [name]: kept[name] });
    }
  } catch {
    // As if nothing was chosen.
  }
  return out;
}

export const settings: Settings = read();

export function change(fields: Partial<Settings>) {
  Object.assign(settings, fields);
  local.set(KEY, JSON.stringify(settings));
}

export function reset() {
  const { theme, language } = settings;
  change({ ...DEFAULTS, theme, language });
}

export type FieldError = { field: keyof Settings; message: "json" | "tools" | "number" };

const NUMBERS: [keyof Settings, string][] = [
  ["temperature", "temperature"], ["topP", "top_p"], ["topK", "top_k"], ["minP", "min_p"],
  ["maxTokens", "max_tokens"], ["seed", "seed"], ["repetitionPenalty", "repetition_penalty"],
  ["presencePenalty", "presence_penalty"], ["frequencyPenalty", "frequency_penalty"],
];

// The fields of a request that the settings ask for, or what is wrong with them.
export function requestFields(s: Settings): Record<string, unknown> | FieldError {
  const out: Record<string, unknown> = { enable_thinking: s.thinking };
  const numbers = s.thinking ? [...NUMBERS, ["thinkingBudget", "reasoning_max_tokens"] as const] : NUMBERS;
  for (const [field, name] of numbers) {
    const text = String(s[field]).trim();
    if (!text) continue;
    const value = Number(text);
    if (!Number.isFinite(value)) return { field, message: "number" };
    out[name] = value;
  }
  const stops = s.stop.split("\n").filter((line) => line);
  if (stops.length) out.stop = stops;
  try {
    if (s.tools.trim()) out.tools = JSON.parse(s.tools);
  } catch {
    return { field: "tools", message: "json" };
  }
  if (out.tools !== undefined && !Array.isArray(out.tools)) return { field: "tools", message: "tools" };
  try {
    if (s.schema.trim()) {
      const schema = JSON.parse(s.schema);
      out.response_format = { type: "json_schema", json_schema: { name: "answer", strict: true, schema } };
    }
  } catch {
    return { field: "schema", message: "json" };
  }
  return out;
}

export function isFieldError(value: unknown): value is FieldError {
  return typeof value === "object" && value !== null && "field" in value && "message" in value;
}
