// Small drawings of numbers. What they show also stands beside them as text.
import { svg } from "./dom";

const WIDTH = 120;
const HEIGHT = 38;

// The last values, the newest at the right; gaps where there is none.
export function sparkline(values: (number | null)[], length: number): SVGElement {
  const top = Math.max(1e-9, ...values.map((v) => v ?? 0));
  const x = (i: number) => ((length - values.length + i) / (length - 1)) * WIDTH;
  const y = (v: number) => HEIGHT - 2 - (v / top) * (HEIGHT - 5);
  let line = "";
  let under = "";
  values.forEach((v, i) => {
    if (v === null) return;
    const starts = (values[i - 1] ?? null) === null;
    line += `${starts ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    under += `${starts ? `M${x(i).toFixed(1)} ${HEIGHT}L` : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    if ((values[i + 1] ?? null) === null) under += `L${x(i).toFixed(1)} ${HEIGHT}Z`;
  });
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
  return svg("svg", { class: "spark", ...box, "aria-hidden": "true" },
    svg("path", { class: "under", d: under || "M0 0" }), svg("path", { d: line || "M0 0" })) as SVGElement;
}

// Shares of a whole, side by side.
export function bar(shares: number[]): SVGElement {
  let x = 0;
  const parts = shares.map((share, i) => {
    const part = svg("rect", { class: `part${i}`, x, y: 0, width: Math.max(share, 0) * 100, height: 10 });
    x += Math.max(share, 0) * 100;
    return part;
  });
  return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "empty", x: 0, y: 0, width: 100, height: 10 }), ...parts) as SVGElement;
}

export function swatch(part: number): SVGElement {
  return svg("svg", { class: "bar", viewBox: "0 0 10 10", "aria-hidden": "true" },
    svg("rect", { class: part < 0 ? "empty" : `part${part}`, x: 0, y: 0, width: 10, height: 10, rx: 2 })) as SVGElement;
}
