// The message box: text, files with what they cost, and the buttons under it.
import type { App } from "./app";
import type { FileRef } from "./types";
import { mediaTokens } from "./api";
import { openCamera } from "./camera";
import { byId, h, icon, iconButton, replace, toast } from "./dom";
import { readDraft, writeDraft } from "./drafts";
import { kindOf, thumbnail } from "./files";
import { filePart } from "./request";
import { change, settings } from "./settings";
import * as store from "./store";
import { count, t } from "./strings";

// With the endings of files whose types some systems do not know.
const PICTURE_FILES = "image/*,.heic,.heif,.avif,.tif,.tiff";
const CLIP_FILES = "video/*,.mkv,.ts";

type Cost = { tokens: number } | { error: string } | null; // null: being counted

export class Composer {
  private readonly form = byId<HTMLFormElement>("composer");
  private readonly input = byId<HTMLTextAreaElement>("input");
  private readonly picker = byId<HTMLInputElement>("file");
  private readonly list = byId("files");
  private readonly problem = byId("composer-error");
  private readonly costs = new Map<string, Cost>();
  private files: FileRef[] = [];
  private think!: HTMLButtonElement;
  private sendButton!: HTMLButtonElement;

  constructor(private readonly app: App) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.app.generation()) this.app.stop();
      else this.send();
    });
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (this.app.generation()) toast(t("wait"));
      else this.send();
    });
    this.input.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      // Of text out of an office program there is a picture, too.
      if (!files.length || event.clipboardData?.types.includes("text/plain")) return;
      event.preventDefault();
      void this.add(files);
    });
    this.picker.addEventListener("change", () => {
      void this.add([...(this.picker.files ?? [])]);
      this.picker.value = "";
    });
    this.acceptDrops();
  }

  // The draft of the shown conversation.
  show() {
    const draft = readDraft(this.place());
    this.input.value = draft.text;
    this.files = draft.files;
    this.drawButtons();
    this.fit();
    this.drawFiles();
  }

  focus() {
    this.input.focus();
  }

  private place(): string {
    return this.app.conversations.has(this.app.current.id) ? this.app.current.id : "new";
  }

  private keep() {
    writeDraft(this.place(), { text: this.input.value, files: this.files });
  }

  private typed() {
    this.keep();
    this.fit();
    this.drawState();
  }

  private fit() {
    this.input.style.height = "auto";
    this.input.style.height = this.input.scrollHeight + "px";
  }

  private drawButtons() {
    const clips = (this.app.server?.clips ?? 0) > 0;
    const takes = clips || this.app.server?.pictures !== 0;
    this.picker.accept = clips ? PICTURE_FILES + "," + CLIP_FILES : PICTURE_FILES;
    this.think = h("button", { type: "button", class: "toggle", onclick: () => {
      change({ thinking: !settings.thinking });
      this.drawState();
    } }, icon("think"), h("span", {}, t("thinking")));
    this.sendButton = h("button", { id: "send", type: "submit", class: "primary" });
    replace(byId("tools-left"),
      takes && iconButton("attach", t(clips ? "attachClips" : "attach"), () => this.picker.click(), { id: "attach" }),
      takes && iconButton("camera", t("camera"), () => void openCamera((file) => this.add([file])), { id: "camera" }),
      this.think);
    replace(byId("tools-right"), this.sendButton);
    this.input.placeholder = t("messageHint", { model: this.app.server?.model ?? "" });
    this.drawState();
  }

  drawState() {
    const running = this.app.generation() !== undefined;
    this.think.setAttribute("aria-pressed", String(settings.thinking));
    this.think.title = t(settings.thinking ? "thinkingOn" : "thinkingOff");
    const label = t(running ? "stop" : "send");
    replace(this.sendButton, icon(running ? "stop" : "send"));
    this.sendButton.setAttribute("aria-label", label);
    this.sendButton.title = label;
    const problem = this.tooMany();
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
    const bad = this.files.some((f) => {
      const cost = this.costs.get(f.id);
      return cost && "error" in cost;
    });
    const empty = !this.input.value.trim() && !this.files.length;
    this.sendButton.disabled = !running && (empty || bad || problem !== "" || !this.app.server);
  }

  // What the whole conversation would hold beyond the server's limits.
  private tooMany(): string {
    const server = this.app.server;
    if (!server) return "";
    const sent = this.app.shown().flatMap((m) => m.files);
    const over = (kind: FileRef["kind"], most: number) =>
      this.files.some((f) => f.kind === kind) &&
      [...sent, ...this.files].filter((f) => f.kind === kind).length > most;
    if (over("image", server.pictures)) {
      return t("tooMany", { n: t(server.pictures === 1 ? "pictures1" : "pictures", { n: server.pictures }) });
    }
    if (over("video", server.clips)) {
      return t("tooMany", { n: t(server.clips === 1 ? "clips1" : "clips", { n: server.clips }) });
    }
    return "";
  }

  async add(files: File[]) {
    const server = this.app.server;
    for (const file of files) {
      const kind = kindOf(file);
      if (!kind) toast(t("notTaken", { name: file.name }));
      else if (kind === "image" && server?.pictures === 0) toast(t("noPictures"));
      else if (kind === "video" && server?.clips === 0) toast(t("noClips"));
      else await this.take(file, kind);
    }
    this.keep();
    this.drawFiles();
  }

  private async take(file: File, kind: FileRef["kind"]) {
    try {
      this.files.push({ id: await store.putFile(file), name: file.name, type: file.type, kind });
    } catch {
      toast(t("notKept")); // the browser's database is full
    }
  }

  private remove(file: FileRef) {
    this.files = this.files.filter((f) => f !== file);
    this.keep();
    this.drawFiles();
    this.focus();
  }

  private drawFiles() {
    replace(this.list, ...this.files.map((file) => this.drawnFile(file)));
    this.list.hidden = this.files.length === 0;
    this.drawState();
  }

  private drawnFile(file: FileRef): HTMLElement {
    const cost = h("span", { class: "cost" }, t("counting"));
    const item = h("li", { class: "file" }, thumbnail(file),
      h("div", { class: "about" }, h("span", { class: "name", title: file.name }, file.name), cost),
      iconButton("close", t("removeFile", { name: file.name }), () => this.remove(file)));
    void this.cost(file).then((known) => {
      if (!known) return;
      item.classList.toggle("bad", "error" in known);
      cost.textContent = "error" in known ? known.error : t("tokens", { n: count(known.tokens) });
      this.drawState();
    });
    return item;
  }

  private async cost(file: FileRef): Promise<Cost> {
    const known = this.costs.get(file.id);
    if (known || !this.app.server) return known ?? null;
    let cost: Cost;
    try {
      cost = { tokens: await mediaTokens(this.app.server.model, await filePart(file)) };
    } catch (error) {
      cost = { error: error instanceof Error ? error.message : String(error) };
    }
    this.costs.set(file.id, cost);
    return cost;
  }

  private send() {
    this.drawState();
    if (this.sendButton.disabled) return;
    const { files } = this;
    const text = this.input.value.trim();
    writeDraft(this.place(), { text: "", files: [] });
    this.app.send(this.app.shown().at(-1)?.id ?? "", text, files);
    this.focus();
  }

  private acceptDrops() {
    const shade = byId("drop");
    let depth = 0; // dragenter comes for every element that is crossed
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    addEventListener("dragenter", (event) => {
      if (carriesFiles(event)) shade.hidden = ++depth === 0;
    });
    addEventListener("dragleave", (event) => {
      if (carriesFiles(event)) shade.hidden = --depth === 0;
    });
    addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      depth = 0;
      shade.hidden = true;
      void this.add([...(event.dataTransfer?.files ?? [])]);
    });
  }
}
