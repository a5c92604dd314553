// Prometheus' text form, as far as /metrics uses it.

export interface Sample {
  labels: Record<string, string>;
  value: number;
}
export type Metrics = Map<string, Sample[]>;

export function parseMetrics(text: string): Metrics {
  const out: Metrics = new Map();
  for (const line of text.split("\n")) {
    const match = /^([\w:]+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match || line.startsWith("#")) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    const samples = out.get(match[1]) ?? [];
    samples.push({ labels, value: match[3] === "+Inf" ? Infinity : Number(match[3]) });
    out.set(match[1], samples);
  }
  return out;
}

export function value(metrics: Metrics, name: string): number {
  return metrics.get(name)?.reduce((sum, sample) => sum + sample.value, 0) ?? 0;
}

// Of a histogram: the first boundary that this share of all values does not pass; NaN where it is
// empty, Infinity where that is the last.
export function bound(metrics: Metrics, name: string, share: number): number {
  const buckets = (metrics.get(name + "_bucket") ?? [])
    .map((s) => ({ limit: s.labels.le === "+Inf" ? Infinity : Number(s.labels.le), count: s.value }))
    .sort((a, b) => a.limit - b.limit);
  const all = buckets.at(-1)?.count ?? 0;
  return all ? buckets.find((b) => b.count >= all * share)?.limit ?? NaN : NaN;
}
