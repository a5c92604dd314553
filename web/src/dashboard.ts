// The dashboard: what the server itself says of its work, asked again and again.
import { get } from "./api";
import { bar, sparkline, swatch } from "./chart";
import { d, type Key, reason } from "./dashboard_strings";
import { byId, h, replace } from "./dom";
import { bound, type Metrics, parseMetrics, value } from "./prometheus";
import { count, duration, isChinese } from "./strings";

const POLL_MS = 1000;
const SLOW = 4; // the other routes are asked every so many times
const KEPT = 120; // values of a curve

interface Load {
  running: number;
  waiting: number;
  max_running: number;
  max_waiting: number;
  kv_usage: number;
  kv_blocks: { total: number; available: number; tokens_each: number };
  totals: { steps: number; prompt_tokens: number; cached_tokens: number; generated_tokens: number };
}

interface Failed {
  time: number;
  method: string;
  path: string;
  status: number;
  reason: string;
  count: number;
  request_id: string;
}

interface Config {
  flags: Record<string, unknown> & { "limit-mm-per-prompt": { image: number; video: number } };
  engine: { weights: string; kv_cache_dtype: string };
  model: { architecture: string; vision: unknown };
  memory: Record<"device_total_bytes" | "budget_bytes" | "weight_bytes" | "workspace_bytes" | "kv_bytes" |
    "encoder_cache_bytes" | "num_blocks", number>;
  start_seconds: number;
}

interface Point {
  at: number; // performance.now()
  load: Load;
}

const curves = { rate: [] as (number | null)[], step: [] as (number | null)[], cache: [] as (number | null)[] };
let last: Point | null = null;
let heard = Date.now();

function percent(share: number): string {
  return Number.isFinite(share) ? (share * 100).toFixed(share < 0.0995 && share > 0 ? 1 : 0) + " %" : "–";
}

function gib(bytes: number): string {
  const mib = bytes / 2 ** 20;
  return mib < 1000 ? mib.toFixed(mib < 10 ? 1 : 0) + " MiB" : (mib / 1024).toFixed(2) + " GiB";
}

function keep(curve: (number | null)[], v: number | null) {
  curve.push(v);
  if (curve.length > KEPT) curve.shift();
}

function tile(label: Key, shown: string, unit: string, note: string, drawing?: SVGElement): HTMLElement {
  return h("section", { class: "tile" }, h("h3", {}, d(label)),
    h("p", { class: "value" }, shown, unit && h("small", {}, " " + unit)),
    note && h("p", { class: "note" }, note), drawing);
}

function section(title: Key, id: string, className: string) {
  return [h("h2", {}, d(title)), h("div", { id, class: className })];
}

function drawFrame() {
  byId("to-chat").textContent = d("chat");
  replace(byId("main"), ...section("now", "now", "tiles"), ...section("sinceStart", "since", "tiles"),
    ...section("memory", "memory", "panel"), ...section("summary", "summary", "panel"),
    ...section("errors", "errors", "panel"));
  const errors = byId("errors");
  errors.tabIndex = 0; // it scrolls on narrow screens
  errors.setAttribute("role", "region");
  errors.setAttribute("aria-label", d("errors"));
}

function drawNow(load: Load) {
  const now = performance.now();
  const elapsed = last ? (now - last.at) / 1000 : 0;
  const tokens = last ? load.totals.generated_tokens - last.load.totals.generated_tokens : 0;
  const steps = last ? load.totals.steps - last.load.totals.steps : 0;
  // Between two looks at a server that was never idle, steps took all the time.
  const busy = last && steps > 0 && load.running > 0 && last.load.running > 0;
  const rate = last ? tokens / elapsed : null;
  const step = busy ? elapsed / steps : null;
  last = { at: now, load };
  keep(curves.rate, rate);
  keep(curves.step, step);
  keep(curves.cache, load.kv_usage);
  const blocks = load.kv_blocks;
  replace(byId("now"),
    tile("running", count(load.running), d("ofMost", { n: count(load.max_running) }), "",
      bar([load.running / load.max_running])),
    tile("waiting", count(load.waiting), d("ofMost", { n: count(load.max_waiting) }), "",
      bar([load.waiting / load.max_waiting])),
    tile("rate", rate === null ? "–" : count(Math.round(rate)), "",
      d("generated", { n: count(load.totals.generated_tokens) }), sparkline(curves.rate, KEPT)),
    tile("step", step === null ? d("idle") : duration(1000 * step), "", d("steps", { n: count(load.totals.steps) }),
      sparkline(curves.step, KEPT)),
    tile("cache", percent(load.kv_usage), "", d("blocks", {
      used: count(blocks.total - blocks.available), all: count(blocks.total), tokens: blocks.tokens_each,
    }), sparkline(curves.cache, KEPT)));
}

function drawSince(load: Load, metrics: Metrics) {
  const m = (name: string) => value(metrics, "fastdeploy:" + name);
  const times = (label: Key, name: string) => {
    const [half, most] = [0.5, 0.95].map((share) => duration(1000 * bound(metrics, "fastdeploy:" + name, share)));
    const mean = m(name + "_sum") / m(name + "_count");
    return tile(label, duration(1000 * mean), "", mean >= 0 ? d("quantiles", { half, most }) : "");
  };
  const { prompt_tokens: prompt, cached_tokens: cached } = load.totals;
  const [queries, hits] = [m("encoder_cache_queries_total"), m("encoder_cache_hits_total")];
  replace(byId("since"),
    tile("requests", count(m("requests_number_total")), "", d("requestsNote", {
      good: count(m("request_success_total")), preempted: count(m("request_preempted_total")),
    })),
    times("first", "time_to_first_token_seconds"),
    times("perToken", "time_per_output_token_seconds"),
    times("queue", "request_queue_time_seconds"),
    tile("promptHits", percent(cached / prompt), "", d("promptHitsNote", { hit: count(cached), all: count(prompt) }),
      bar([cached / Math.max(prompt, 1)])),
    tile("pictureHits", percent(hits / queries), "", d("pictureHitsNote", { hit: count(hits), all: count(queries) }),
      bar([hits / Math.max(queries, 1)])));
}

function drawMemory({ memory }: Config) {
  const parts: [Key, number][] = [["weights", memory.weight_bytes], ["kv", memory.kv_bytes],
    ["encoder", memory.encoder_cache_bytes], ["work", memory.workspace_bytes]];
  const all = memory.device_total_bytes;
  const spare = all - parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  replace(byId("memory"), bar(parts.map(([, bytes]) => bytes / all)), h("ul", { class: "legend" },
    ...parts.map(([key, bytes], i) => h("li", {}, swatch(i), `${d(key)} ${gib(bytes)}`)),
    h("li", {}, swatch(-1), d("spare", { spare: gib(spare), all: gib(all) }))));
}

function drawSummary(config: Config, load: Load) {
  const { flags, engine, model, memory } = config;
  const capacity = memory.num_blocks * load.kv_blocks.tokens_each;
  const longest = Number(flags["max-model-len"]);
  const media = flags["limit-mm-per-prompt"];
  const facts: [Key, string][] = [
    ["model", String(flags["served-model-name"])], ["architecture", model.architecture],
    ["weightType", engine.weights], ["kvType", engine.kv_cache_dtype],
    ["device", String(flags.device)], ["ranks", String(flags["tensor-parallel-size"])],
    ["started", duration(1000 * config.start_seconds)], ["cacheTokens", d("tokens", { n: count(capacity) })],
    ["length", d("tokens", { n: count(longest) })], ["atOnce", (capacity / longest).toFixed(1)],
    ["batch", count(Number(flags["max-num-batched-tokens"]))],
    ["media", model.vision ? `${media.image}, ${media.video}` : d("none")],
    ["reasoning", String(flags["reasoning-parser"] ?? d("none"))], ["key", String(flags["api-key"])],
  ];
  byId("to-chat").hidden = flags["metrics-port"] !== null; // then the pages are on two ports
  document.title = byId("title").textContent = d("title", { model: String(flags["served-model-name"]) });
  replace(byId("summary"), h("dl", { class: "facts" },
    ...facts.map(([key, text]) => h("div", {}, h("dt", {}, d(key)), h("dd", {}, text)))));
}

function drawErrors(errors: Failed[]) {
  if (!errors.length) return replace(byId("errors"), h("p", { class: "note" }, d("noErrors")));
  const head = (["time", "times", "status", "reason", "path", "id"] as const).map((key) => h("th", { scope: "col" }, d(key)));
  const rows = errors.map((e) => h("tr", {},
    h("td", {}, new Date(e.time * 1000).toLocaleTimeString(isChinese() ? "zh-CN" : "en-GB")),
    h("td", {}, count(e.count)), h("td", {}, String(e.status)), h("td", {}, reason(e.reason), " ", h("code", {}, e.reason)),
    h("td", {}, `${e.method} ${e.path}`), h("td", {}, h("code", {}, e.request_id))));
  return replace(byId("errors"),
    h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

async function refresh(round: number) {
  const load = await get<Load>("/load");
  drawNow(load);
  if (round % SLOW === 0) {
    const response = await fetch("/metrics");
    drawSince(load, parseMetrics(await response.text()));
    drawErrors((await get<{ errors: Failed[] }>("/errors")).errors);
    // Another process may have come in the place of the one before.
    const config = await get<Config>("/config-info");
    drawMemory(config);
    drawSummary(config, load);
  }
}

function drawState(fine: boolean) {
  const state = byId("state");
  if (fine) heard = Date.now();
  const time = new Date(heard).toLocaleTimeString(isChinese() ? "zh-CN" : "en-GB");
  const text = fine ? d("fine") : d("lost", { time });
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("lost", !fine);
}

async function run() {
  drawFrame();
  for (let round = 0; ; ++round) {
    try {
      await refresh(round);
      drawState(true);
    } catch {
      drawState(false);
      last = null;
      round = -1; // everything is asked again once the server is back
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

void run();
