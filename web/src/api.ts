// Calls of the server's API.

import { local, session } from "./browser_storage";

const KEY = "ernie.key";

export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly code = "") {
    super(message);
  }
}

export const key = {
  get(): string {
    return session.get(KEY) ?? local.get(KEY) ?? "";
  },
  set(value: string, remember: boolean) {
    this.forget();
    (remember ? local : session).set(KEY, value);
  },
  forget() {
    session.remove(KEY);
    local.remove(KEY);
  },
};

export function headers(): Record<string, string> {
  const value = key.get();
  return value ? { Authorization: "Bearer " + value } : {};
}

async function failure(response: Response): Promise<ApiError> {
  try {
    const { error } = await response.json();
    return new ApiError(response.status, String(error.message), String(error.code ?? ""));
  } catch {
    return new ApiError(response.status, `${response.status} ${response.statusText}`);
  }
}

export async function get<T>(path: string): Promise<T> {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw await failure(response);
  return response.json();
}

export async function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(path, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { ...headers(), "Content-Type": "application/json" },
  });
  if (!response.ok) throw await failure(response);
  return response;
}

export interface Server {
  model: string;
  maxModelLen: number;
  pictures: number; // most of a conversation
  clips: number;
  hasDashboard: boolean; // else it is on the metrics' own port
}

interface ConfigInfo {
  flags: { "limit-mm-per-prompt"?: { image?: number; video?: number } };
  model: { vision: unknown };
}

// What the page must know of the server. Where the metrics have a port of their own, its limits
// are not to be had, and show only when they are passed.
export async function askServer(): Promise<Server> {
  const models = await get<{ data: { id: string; max_model_len: number }[] }>("/v1/models");
  const out = {
    model: models.data[0].id, maxModelLen: models.data[0].max_model_len, pictures: Infinity, clips: Infinity,
    hasDashboard: true,
  };
  try {
    const info = await get<ConfigInfo>("/config-info");
    const limits = info.flags["limit-mm-per-prompt"];
    out.pictures = info.model.vision ? limits?.image ?? Infinity : 0;
    out.clips = info.model.vision ? limits?.video ?? Infinity : 0;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    out.hasDashboard = false;
  }
  return out;
}

interface Rendered {
  media: { tokens: number }[];
}

// How many tokens a picture or clip costs, by the server's own count.
export async function mediaTokens(model: string, part: unknown): Promise<number> {
  const messages = [{ role: "user", content: [part] }];
  const response = await post("/v1/chat/completions/render", { model, messages });
  const rendered: Rendered = await response.json();
  return rendered.media.reduce((sum, item) => sum + item.tokens, 0);
}
