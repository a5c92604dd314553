// The list of conversations, its search, and files of them.
import type { App } from "./app";
import { byId, h, replace, toast } from "./dom";
import { count, t } from "./strings";
import { download, exported, imported } from "./transfer";
import { matches } from "./tree";

export class Sidebar {
  private readonly element = byId("sidebar");
  private readonly shade = byId("shade");
  private readonly search = byId<HTMLInputElement>("search");

  constructor(private readonly app: App, private readonly open: (id: string) => void) {
    this.search.addEventListener("input", () => this.draw());
    byId("new").addEventListener("click", () => this.choose(""));
    this.shade.addEventListener("click", () => this.toggle(false));
    byId("export-all").addEventListener("click", () => void this.exportAll());
    const picker = byId<HTMLInputElement>("import-file");
    byId("import").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      const file = picker.files?.[0];
      if (file) void this.import(file);
      picker.value = "";
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.shade.hidden) return;
      event.stopPropagation(); // it does not stop the answer, too
      this.toggle(false);
    });
  }

  // On narrow screens the list lies over the conversation.
  toggle(open: boolean) {
    const was = this.element.classList.contains("open");
    this.element.classList.toggle("open", open);
    this.shade.hidden = !open;
    if (open) this.search.focus();
    else if (was) byId("menu").focus();
  }

  private choose(id: string) {
    this.toggle(false);
    this.open(id);
  }

  draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter((word) => word);
    const found = this.app.list().filter((c) => matches(c, words));
    const items = found.map((conversation) => h("li", {}, h("button", {
      type: "button", "aria-current": conversation === this.app.current && "true", title: conversation.title,
      onclick: () => this.choose(conversation.id),
    }, conversation.title || t("untitled"))));
    replace(byId("conversations"),
      ...(items.length ? items : [h("li", { class: "empty" }, t(words.length ? "noMatch" : "none"))]));
  }

  private async exportAll() {
    download("conversations.json", await exported(this.app.list()));
  }

  private async import(file: File) {
    try {
      const conversations = await imported(await file.text());
      for (const conversation of conversations) this.app.conversations.set(conversation.id, conversation);
      toast(t(conversations.length === 1 ? "imported1" : "imported", { n: count(conversations.length) }));
      this.draw();
      if (conversations.length) this.choose(conversations[0].id);
    } catch {
      toast(t("importFailed"));
    }
  }
}
