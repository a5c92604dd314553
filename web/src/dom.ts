// Elements are made by calls, never from markup.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

// Properties that begin with "on" are listeners; "class" and names with a dash are attributes, as
// are those of names that the element has no property for.
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (name === "class" || name.includes("-") || !(name in element)) {
      element.setAttribute(name, value === true ? "" : String(value));
    } else {
      (element as unknown as Props)[name] = value;
    }
  }
  add(element, ...children);
  return element;
}

export function add(parent: Node, ...children: Child[]) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
  }
}

export function replace(parent: Element, ...children: Child[]) {
  parent.replaceChildren();
  add(parent, ...children);
}

export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag: string, attributes: Record<string, string | number>, ...children: Node[]) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

// Outlines in a square of 24 units.
const ICONS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  attach: "M4 17V7a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2z" +
    "M4 16l5-5 4 4 3-3 4 4M15 9h.01",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  think: "M9 18h6M10 21h4M8.5 15a6 6 0 1 1 7 0c-.6.5-.9 1-1 2h-5c-.1-1-.4-1.5-1-2z",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z" +
    "M8 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  again: "M19 12a7 7 0 1 1-2-4.9M19 3v5h-5",
  edit: "M5 19l1-4L16 5l3 3L9 18z",
  branch: "M7 4v16M7 14c6 0 10-2 10-7M14 8l3-3 3 3",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  close: "M6 6l12 12M18 6L6 18",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  load: "M12 16V5M7 9l5-5 5 5M5 20h14",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  search: "M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM16 16l4 4",
  chart: "M5 20V10M12 20V4M19 20v-7",
  down: "M6 9l6 6 6-6",
  play: "M8 5l11 7-11 7z",
} as const;
export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGElement {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" },
    svg("path", { d: ICONS[name] })) as SVGElement;
}

// A button that shows an icon only; its label is read out and shown on hover.
export function iconButton(name: IconName, label: string, onclick: () => void, props: Props = {}) {
  return h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, onclick, ...props },
    icon(name));
}

// Said by screen readers, not shown.
export function announce(text: string) {
  byId("announcer").textContent = text;
}

let toastTimer = 0;
export function toast(text: string) {
  const element = byId("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => { element.hidden = true; }, 4000);
}
