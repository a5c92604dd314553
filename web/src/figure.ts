// A picture with the boxes and points that an answer names.
import type { Mark } from "./coordinates";
import type { FileRef } from "./types";
import { h, svg, replace } from "./dom";
import { pictureOf } from "./files";
import { t } from "./strings";

function coordinates(mark: Mark): string {
  return mark.x1 === mark.x2 && mark.y1 === mark.y2
    ? `[${mark.x1}, ${mark.y1}]` : `[${mark.x1}, ${mark.y1}, ${mark.x2}, ${mark.y2}]`;
}

// `unit`: how much of the drawing's width a pixel of the screen is.
function drawn(mark: Mark, number: number, width: number, height: number, unit: number): SVGElement {
  const [x1, x2] = [mark.x1, mark.x2].map((x) => (x / 1000) * width);
  const [y1, y2] = [mark.y1, mark.y2].map((y) => (y / 1000) * height);
  const box = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
  const radius = 9 * unit;
  const isPoint = x1 === x2 && y1 === y2;
  const shape = isPoint
    ? [svg("circle", { class: "dot", cx: x1, cy: y1, r: 6 * unit })]
    : [svg("rect", { class: "halo", ...box }), svg("rect", { class: "edge", ...box })];
  const cx = Math.min(Math.max(isPoint ? x1 + 1.7 * radius : x1, radius), width - radius);
  const cy = Math.min(Math.max(y1, radius), height - radius);
  const text = svg("text", { x: cx, y: cy, "font-size": 12 * unit });
  text.textContent = String(number);
  return svg("g", { class: "mark" }, ...shape, svg("circle", { class: "tag", cx, cy, r: radius }), text) as SVGElement;
}

export function marksFigure(files: FileRef[], marks: Mark[]): HTMLElement {
  const stage = h("div", { class: "stage" });
  const list = h("ol");
  const show = (chosen: number) => {
    const here = marks.filter((m) => (m.picture || 1) === chosen + 1 || files.length === 1);
    const overlay = svg("svg", { class: "overlay", "aria-hidden": "true" });
    const image = pictureOf(files[chosen], () => {});
    image.addEventListener("load", () => {
      const { naturalWidth: width, naturalHeight: height } = image;
      overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const unit = width / Math.max(image.clientWidth, 1);
      const shapes = here.map((mark, i) => drawn(mark, i + 1, width, height, unit));
      overlay.replaceChildren(...shapes);
      [...list.children].forEach((item, i) => {
        item.addEventListener("mouseenter", () => shapes[i].classList.add("lit"));
        item.addEventListener("mouseleave", () => shapes[i].classList.remove("lit"));
      });
    });
    stage.replaceChildren(image, overlay);
    replace(list, ...here.map((mark) =>
      h("li", {}, mark.label ? mark.label + " " : "", h("code", {}, coordinates(mark)))));
  };
  const first = Math.min((marks.find((m) => m.picture)?.picture ?? 1) - 1, files.length - 1);
  const choice = files.length > 1 && h("div", { class: "which" }, h("label", {}, t("whichPicture"), " ",
    h("select", { onchange: (event: Event) => show((event.target as HTMLSelectElement).selectedIndex) },
      ...files.map((file, i) => h("option", { selected: i === first }, `${i + 1} · ${file.name}`)))));
  show(first);
  return h("figure", { class: "marks" }, stage,
    h("figcaption", {}, choice, h("span", {}, t("marksOf", { n: marks.length })), list));
}
