// What axe-core checks by its rules for WCAG 2.2 AA, as far as these pages could break them: gives a list of breaches.
(() => {
  const CONTROLS = "button, a[href], input:not([type=hidden]), select, textarea, summary, [role=button]";
  const REGIONS = "dialog, [role=dialog], nav, [role=region], [role=log], article, [role=group]";
  const breaches = [];
  const breach = (rule, element, detail = "") => {
    const id = element.id ? "#" + element.id : "";
    const name = element.tagName.toLowerCase() + id + [...element.classList].map((c) => "." + c).join("");
    breaches.push(`${rule}: ${name} ${detail}`.trim());
  };
  const modal = document.querySelector("dialog[open]");
  const scope = modal ?? document.body;
  const visible = (element) => {
    for (let e = element; e && e !== document.documentElement; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (e.hidden || style.display === "none" || style.visibility === "hidden") return false;
      if (e.parentElement?.tagName === "DETAILS" && !e.parentElement.open && e.tagName !== "SUMMARY") return false;
    }
    const r = element.getBoundingClientRect();
    return r.width > 0 && r.height > 0;
  };
  const all = [...scope.querySelectorAll("*")].filter(visible);

  const labelOf = (element) => {
    const by = element.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    return element.getAttribute("aria-label")?.trim();
  };
  const nameOf = (element) => {
    if (labelOf(element)) return labelOf(element);
    if (element.labels?.length) return [...element.labels].map((l) => l.textContent).join(" ").trim();
    const text = element.textContent.trim() || [...element.querySelectorAll("img")].map((i) => i.alt).join(" ").trim();
    return text || element.title;
  };

  for (const e of all) {
    const interactive = e.matches(CONTROLS);
    if (interactive && !nameOf(e)) breach("name", e);
    if (e.tagName === "IMG" && !e.hasAttribute("alt")) breach("image-alt", e);
    if (e.tabIndex > 0) breach("tabindex", e);
    if (interactive && e.parentElement?.closest("button, a[href]")) breach("nested-interactive", e);
    const hidden = e.closest("[aria-hidden=true]") && !(e instanceof SVGElement);
    if (hidden && (interactive || e.tabIndex >= 0)) breach("aria-hidden-focus", e);
    for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
      for (const id of (e.getAttribute(attribute) ?? "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) breach("aria-reference", e, id);
      }
    }
    if (e.matches(REGIONS) && !labelOf(e)) breach("region-name", e);
    if (e.matches("ul, ol") && [...e.children].some((c) => c.tagName !== "LI")) breach("list", e);
    if (e.matches("li") && !e.parentElement.matches("ul, ol")) breach("listitem", e);
    if (e.matches("dl > *") && !e.matches("dt, dd, div")) breach("definition-list", e);
    const r = e.getBoundingClientRect();
    const inText = e.matches("a") && getComputedStyle(e).display === "inline";
    const small = Math.min(r.width, r.height) < 24 && !e.matches("input[type=checkbox]"); // its label is pressed, too
    if (interactive && !inText && small) breach("target-size", e, `${r.width}x${r.height}`);
    const scrolls = /auto|scroll/.test(getComputedStyle(e).overflowX + getComputedStyle(e).overflowY) &&
      (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1);
    const reachable = e.tabIndex >= 0 || e.querySelector(CONTROLS + ", [tabindex='0']");
    if (scrolls && !reachable) breach("scrollable-region-focusable", e);
  }

  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => breaches.push("duplicate-id: " + id));
  if (!document.documentElement.lang) breaches.push("html-has-lang");
  if (!document.title.trim()) breaches.push("document-title");
  if (document.querySelectorAll("main").length !== 1) breaches.push("landmark-one-main");
  if (document.querySelectorAll("h1").length !== 1) breaches.push("page-has-heading-one");
  let level = 1;
  for (const e of modal ? [] : all.filter((e) => /^H[1-6]$/.test(e.tagName))) {
    const own = Number(e.tagName[1]);
    if (own > level + 1 && !e.closest(".md")) breach("heading-order", e);
    level = own;
  }
  // What is wider than the screen may be moved sideways on its own, never the page or a conversation.
  for (const e of all) {
    const { overflowX } = getComputedStyle(e);
    const moves = overflowX !== "visible" && overflowX !== "hidden" && e.scrollWidth > e.clientWidth + 1;
    if (moves && !e.matches("pre, .table, .math, .panel")) breach("reflow", e);
    const clipped = e.parentElement.closest("pre, .table, .math, .panel, #scroll, #sidebar, h1, button, .name");
    if (!clipped && e.getBoundingClientRect().right > innerWidth + 1) breach("reflow", e);
  }

  // Colours, laid over what is behind them.
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.unshift(rgba(getComputedStyle(e).backgroundColor));
      if (e === modal) break;
    }
    return layers.reduce((under, top) => over(top, under), rgba(getComputedStyle(document.body).backgroundColor));
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  for (const e of all) {
    const texts = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
    const placeholder = e.matches("input, textarea") && !e.value && e.placeholder;
    if ((!texts && !placeholder && !e.value) || e.matches(":disabled, option, svg *")) continue;
    if (e.closest(".unseen, .skip:not(:focus), .katex")) continue;
    const style = getComputedStyle(e, placeholder ? "::placeholder" : null);
    const under = behind(e);
    const ratio = contrast(over(rgba(style.color), under), under);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const text = (e.value || e.textContent).trim().slice(0, 30);
    if (ratio < (large ? 3 : 4.5)) breach("color-contrast", e, `${ratio.toFixed(2)} "${text}"`);
  }
  // Icons that say something must be seen.
  for (const e of all.filter((e) => e.matches("button:not(:disabled) > svg.icon"))) {
    const under = behind(e.parentElement);
    const ratio = contrast(over(rgba(getComputedStyle(e).color), under), under);
    if (ratio < 3) breach("non-text-contrast", e.parentElement, ratio.toFixed(2));
  }
  return [...new Set(breaches)];
})();
