// Markdown to elements. What a model or a file says becomes markup nowhere else, and here only
// through DOMPurify with a short list of what may stand.
import DOMPurify from "dompurify";
import { marked } from "marked";
import { copyText } from "./clipboard";
import { add, h, icon } from "./dom";
import { t } from "./strings";

const TAGS = [
  "a", "b", "blockquote", "br", "code", "del", "details", "em", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li",
  "mark", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th",
  "thead", "tr", "u", "ul",
];
const ATTRIBUTES = ["align", "class", "data-display", "href", "start", "title"];
const CLASSES = /^(math|language-[\w+#.-]+|hljs-[\w-]+)$/;

// Other classes would let an answer dress as part of the page.
DOMPurify.addHook("uponSanitizeAttribute", (_, data) => {
  if (data.attrName !== "class") return;
  data.attrValue = data.attrValue.split(/\s+/).filter((name) => CLASSES.test(name)).join(" ");
  data.keepAttr = data.attrValue !== "";
});
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

export function clean(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ATTRIBUTES, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(https?:|mailto:)/i, ADD_URI_SAFE_ATTR: ["align", "data-display", "start"],
    RETURN_DOM_FRAGMENT: true,
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

interface MathToken extends marked.Tokens.Generic {
  tex: string;
  display: boolean;
}

function mathExtension(name: string, level: "block" | "inline", start: RegExp, pattern: RegExp, display: boolean) {
  return {
    name, level,
    start: (source: string) => source.search(start),
    tokenizer(source: string): MathToken | undefined {
      const match = pattern.exec(source);
      return match ? { type: name, raw: match[0], tex: match[1].trim(), display } : undefined;
    },
    renderer: (token: marked.Tokens.Generic) =>
      `<span class="math" data-display="${token.display}">${escaped(token.tex)}</span>`,
  };
}

// Markup in an answer is shown as it was written, but for plain tags that say how text looks.
const PLAIN_TAG = /&#60;(\/?(?:b|br|del|details|em|i|kbd|mark|s|small|strong|sub|summary|sup|u) ?\/?)&#62;/gi;

marked.use({
  gfm: true, breaks: true, headerIds: false, mangle: false,
  extensions: [
    mathExtension("mathBlock", "block", /\$\$/, /^ {0,3}\$\$([^$]+?)\$\$(?:\n|$)/, true),
    mathExtension("mathBracketBlock", "block", /\\\[/, /^ {0,3}\\\[([\s\S]+?)\\\](?:\n|$)/, true),
    mathExtension("mathDouble", "inline", /\$\$/, /^\$\$([^$]+?)\$\$/, true),
    mathExtension("mathBracket", "inline", /\\\[/, /^\\\[([\s\S]+?)\\\]/, true),
    mathExtension("mathParen", "inline", /\\\(/, /^\\\(([\s\S]+?)\\\)/, false),
    // A dollar is money unless a formula closes before a blank or a digit.
    mathExtension("mathDollar", "inline", /\$/, /^\$((?:\\\$|[^$\n\s])(?:(?:\\\$|[^$\n])*?[^$\n\s\\])?)\$(?![\d\w])/,
      false),
  ],
  renderer: {
    // The page's own headings are above those of answers.
    heading: (text, level) => `<h${Math.min(level + 2, 6)}>${text}</h${Math.min(level + 2, 6)}>`,
    // Pictures of strangers would tell them that the answer was read.
    image: (href, _, text) => `<a href="${escaped(href ?? "")}">${escaped(text || href || "")}</a>`,
    html: (text) => escaped(text).replace(PLAIN_TAG, "<$1>"),
    checkbox: (checked) => (checked ? "☑ " : "☐ "),
  },
});

async function drawFormula(element: HTMLElement) {
  const tex = element.textContent ?? "";
  const display = element.getAttribute("data-display") === "true";
  try {
    const math = await import("./math");
    loadMathStyle();
    element.replaceChildren(math.formula(tex, display));
  } catch {
    element.replaceChildren(h("code", {}, tex));
  }
}

let mathStyle: HTMLLinkElement | null = null;
function loadMathStyle() {
  if (mathStyle) return;
  mathStyle = h("link", { rel: "stylesheet", href: document.body.dataset.mathStyle ?? "" });
  document.head.append(mathStyle);
}

async function colour(code: HTMLElement, language: string) {
  const { highlighted } = await import("./code");
  const html = highlighted(language, code.textContent ?? "");
  if (html !== null) code.replaceChildren(clean(html));
}

function dressCode(pre: HTMLElement, whole: boolean) {
  const code = pre.querySelector("code");
  if (!code) return;
  const language = /language-([\w+#.-]+)/.exec(code.className)?.[1]?.toLowerCase() ?? "";
  const bar = h("div", { class: "code-bar" }, h("span", {}, language || t("code")),
    h("button", {
      type: "button", class: "quiet", "aria-label": t("copy"), onclick: () => void copyText(code.textContent ?? ""),
    }, icon("copy"), t("copy")));
  const box = h("div", { class: "code" }, bar);
  pre.replaceWith(box);
  pre.tabIndex = 0; // it scrolls
  pre.setAttribute("aria-label", language || t("code"));
  pre.setAttribute("role", "region");
  box.append(pre);
  if (language && whole) void colour(code, language);
}

function dress(block: HTMLElement, whole: boolean) {
  for (const element of block.querySelectorAll<HTMLElement>("span.math")) void drawFormula(element);
  for (const pre of block.querySelectorAll("pre")) dressCode(pre, whole);
  for (const table of block.querySelectorAll("table")) {
    const box = h("div", { class: "table", tabIndex: 0, role: "region", "aria-label": t("answer") });
    table.replaceWith(box);
    box.append(table);
  }
}

interface Block extends HTMLElement {
  source?: string;
  whole?: boolean;
}

// Shows `text` in `parent`, whose blocks that did not change stay as they are. `streaming`: the
// last block is still being written.
export function render(parent: HTMLElement, text: string, streaming: boolean) {
  const tokens = marked.lexer(text).filter((token) => token.type !== "space");
  const old = [...parent.children] as Block[];
  tokens.forEach((token, i) => {
    const whole = !streaming || i < tokens.length - 1;
    if (old[i]?.source === token.raw && old[i].whole === whole) return;
    const block: Block = h("div", { class: "block" });
    block.source = token.raw;
    block.whole = whole;
    add(block, clean(marked.parser([token])));
    dress(block, whole);
    if (old[i]) old[i].replaceWith(block);
    else parent.append(block);
  });
  for (const extra of old.slice(tokens.length)) extra.remove();
}
