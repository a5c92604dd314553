// Text as Markdown once its chunk is there, as it is before; the first paint waits for nothing.
type Markdown = typeof import("./markdown");

let markdown: Markdown | null = null;

export async function loadMarkdown() {
  markdown = await import("./markdown");
}

// An answer that is JSON as a whole, as those that follow a schema are, is shown as code.
function asShown(text: string): string {
  if (!/^\s*[{[]/.test(text)) return text;
  try {
    return "```json\n" + JSON.stringify(JSON.parse(text), null, 2) + "\n```";
  } catch {
    return text;
  }
}

function showPlain(parent: HTMLElement, text: string) {
  parent.className = "text plain-text";
  parent.textContent = text;
}

export function showText(parent: HTMLElement, text: string, streaming: boolean) {
  if (!markdown) return showPlain(parent, text);
  if (!parent.classList.contains("md")) parent.replaceChildren();
  parent.className = "text md";
  try {
    markdown.render(parent, streaming ? text : asShown(text), streaming);
  } catch {
    showPlain(parent, text); // nested deeper than the parser's stack
  }
}
