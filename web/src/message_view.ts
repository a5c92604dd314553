// One message as it is shown.
import type { App } from "./app";
import type { Message, ToolCall } from "./types";
import { copyText } from "./clipboard";
import { findMarks } from "./coordinates";
import { add, h, iconButton, replace, toast } from "./dom";
import { readDraft, writeDraft } from "./drafts";
import { marksFigure } from "./figure";
import { sentFile } from "./files";
import { showText } from "./rich";
import { count, duration, t } from "./strings";
import { children, upTo } from "./tree";

export interface MessageView {
  element: HTMLElement;
  update(): void;
}

// A text area that grows with what it holds and keeps it.
export function keptArea(place: string, initial: string, props: Record<string, unknown> = {}) {
  const area = h("textarea", {
    rows: 3, value: readDraft(place).text || initial,
    oninput: () => writeDraft(place, { text: area.value, files: [] }), ...props,
  });
  return area;
}

function versions(app: App, message: Message): HTMLElement | false {
  const all = children(app.current, message.parent);
  if (all.length < 2) return false;
  const at = all.findIndex((m) => m.id === message.id);
  const step = (name: "left" | "right", label: string, to: number) =>
    iconButton(name, label, () => app.choose(all[to]), { disabled: !all[to] });
  return h("span", { class: "versions", role: "group", "aria-label": t("versions", { n: at + 1, of: all.length }) },
    step("left", t("previous"), at - 1), `${at + 1} / ${all.length}`, step("right", t("next"), at + 1));
}

export function userView(app: App, message: Message): MessageView {
  const element = h("article", { class: "message user", "aria-label": t("you") });
  const place = "edit." + message.id;

  const edit = () => {
    const area = keptArea(place, message.text, { "aria-label": t("edit") });
    const leave = () => {
      writeDraft(place, { text: "", files: [] });
      element.classList.remove("edited");
      update();
      element.querySelector<HTMLElement>(".actions button:last-child")?.focus();
    };
    const send = () => {
      if (app.generation()) return toast(t("wait"));
      const text = area.value;
      leave();
      app.send(message.parent, text, message.files);
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    });
    element.classList.add("edited");
    replace(element, h("div", { class: "edit" }, area, h("div", { class: "row" },
      h("button", { type: "button", onclick: leave }, t("cancel")),
      h("button", { type: "button", class: "primary", onclick: send }, t("sendEdited")))));
    return area;
  };

  const update = () => replace(element,
    message.files.length > 0 && h("div", { class: "pictures" }, ...message.files.map(sentFile)),
    message.text && h("div", { class: "said" }, message.text),
    h("div", { class: "actions" }, versions(app, message),
      iconButton("copy", t("copy"), () => void copyText(message.text)),
      iconButton("edit", t("edit"), () => edit().focus())));

  update();
  if (readDraft(place).text) edit();
  return { element, update };
}

export function toolView(message: Message): MessageView {
  const element = h("article", { class: "message tool", "aria-label": t("toolResult") },
    h("pre", { tabIndex: 0 }, message.text));
  return { element, update: () => {} };
}

function statsText(message: Message): string {
  const s = message.stats;
  if (!s || message.state === "streaming") return "";
  const rate = s.decodeMs > 0 && s.tokens > 1 ? ((s.tokens - 1) / s.decodeMs) * 1000 : 0;
  const values = { tokens: count(s.tokens), rate: rate.toFixed(rate < 10 ? 1 : 0), first: duration(s.firstTokenMs) };
  const prompt = { prompt: count(s.promptTokens), cached: count(s.cachedTokens) };
  return t(rate ? "stats" : "statsShort", values) + " · " + t(s.cachedTokens ? "statsCached" : "statsPrompt", prompt);
}

function failureNote(app: App, message: Message): HTMLElement | false {
  const again = () => {
    if (app.generation()) return toast(t("wait"));
    if (message.text && message.state !== "failed") app.goOn(message);
    else app.answer(message.parent);
  };
  const note = (mild: boolean, text: string, action: "continue" | "retry") => h(
    "div", { class: mild ? "failure mild" : "failure", role: mild ? undefined : "alert" }, h("span", {}, text),
    h("button", { type: "button", onclick: again }, t(action)));
  const resumable = message.text ? "continue" : "retry";
  if (message.state === "failed") return note(false, t("failed", { reason: message.failure }), "retry");
  if (message.state === "broken") return note(false, t("broken"), resumable);
  if (message.state === "stopped") return note(true, t("stopped"), resumable);
  if (message.finish === "length") return note(true, t("cut"), resumable);
  return false;
}

function prettyJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // as the model wrote it
  }
}

function callsForm(app: App, message: Message, open: boolean): HTMLElement[] {
  const areas: HTMLTextAreaElement[] = [];
  const shown = message.calls.map((call: ToolCall) => {
    const card = h("div", { class: "call" }, h("h3", {}, t("call", { name: call.name })),
      h("pre", {}, prettyJson(call.arguments)));
    if (open) {
      const area = keptArea("call." + message.id + call.id, "");
      areas.push(area);
      add(card, h("label", {}, t("callResult"), area));
    }
    return card;
  });
  if (!open || !shown.length) return shown;
  const send = () => {
    if (app.generation()) return toast(t("wait"));
    message.calls.forEach((call) => writeDraft("call." + message.id + call.id, { text: "", files: [] }));
    app.sendResults(message, areas.map((area) => area.value));
  };
  return [...shown, h("div", { class: "row" },
    h("button", { type: "button", class: "primary", onclick: send }, t("sendResults")))];
}

export function answerView(app: App, message: Message): MessageView {
  const summary = h("summary");
  const thoughts = h("div", { class: "thoughts" });
  const thinking = h("details", { class: "thinking", hidden: true }, summary, thoughts);
  const text = h("div", { class: "text" });
  const waiting = h("span", { class: "waiting", hidden: true });
  const marks = h("div");
  const calls = h("div");
  const failure = h("div");
  const under = h("div", { class: "under" });
  const element = h("article", { class: "message assistant", "aria-label": t("answer") },
    thinking, text, waiting, marks, calls, failure, under);
  let drawnMarks = "";
  let shownText: string | null = null;

  const drawMarks = () => {
    const question = upTo(app.current, message.parent).reverse().find((m) => m.files.some((f) => f.kind === "image"));
    const found = question ? findMarks(message.text) : [];
    const all = JSON.stringify(found);
    if (all === drawnMarks) return;
    drawnMarks = all;
    const files = question?.files.filter((f) => f.kind === "image") ?? [];
    replace(marks, found.length > 0 && marksFigure(files, found));
  };

  const update = () => {
    const streaming = message.state === "streaming";
    element.setAttribute("aria-busy", String(streaming));
    thinking.hidden = !message.thinking;
    if (thoughts.textContent !== message.thinking.trim()) thoughts.textContent = message.thinking.trim();
    summary.textContent = streaming && !message.text ? t("thinkingNow")
      : t("thoughtFor", { time: duration(message.thinkingMs) });
    if (shownText !== message.text || !streaming) showText(text, message.text, streaming);
    shownText = message.text;
    waiting.hidden = !streaming || message.text !== "" || message.calls.length > 0;
    if (!streaming) drawMarks(); // once, so that the picture does not flicker
    const isLast = app.shown().at(-1) === message;
    replace(calls, ...callsForm(app, message, isLast && !streaming));
    replace(failure, failureNote(app, message));
    replace(under, ...(streaming ? [] : [
      h("div", { class: "actions" }, versions(app, message),
        iconButton("copy", t("copy"), () => void copyText(message.text)),
        iconButton("again", t("again"), () => (app.generation() ? toast(t("wait")) : app.answer(message.parent))),
        iconButton("branch", t("branch"), () => void app.fork(message).then(() => toast(t("branched"))))),
      h("div", { class: "stats" }, statsText(message)),
    ]));
  };
  update();
  return { element, update };
}

export function emptyView(app: App): HTMLElement {
  const clips = (app.server?.clips ?? 0) > 0;
  return h("div", { class: "hello" }, h("h2", {}, t("hello")),
    h("p", {}, app.server?.pictures === 0 && !clips ? "" : t(clips ? "helloClips" : "helloText")));
}

