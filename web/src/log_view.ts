// The messages of the shown conversation, scrolled along while an answer comes.
import type { App } from "./app";
import type { Message } from "./types";
import { byId } from "./dom";
import { answerView, emptyView, type MessageView, toolView, userView } from "./message_view";

const NEAR_END = 60; // pixels
const DRAW_MS = 40;

export class LogView {
  private readonly log = byId("log");
  private readonly scroll = byId("scroll");
  private readonly toEnd = byId<HTMLButtonElement>("to-end");
  private views = new Map<Message, MessageView>();
  private conversation = "";
  private pending: Message | null = null;
  private follows = true;
  private lastTop = 0;

  constructor(private readonly app: App) {
    this.scroll.addEventListener("scroll", () => {
      // It also moves when what is above changes its height; only who goes up wants to stay.
      const wentUp = this.scroll.scrollTop < this.lastTop;
      this.lastTop = this.scroll.scrollTop;
      if (this.distance() < NEAR_END) this.follows = true;
      else if (wentUp) this.follows = false;
      this.toEnd.hidden = this.follows;
      byId("head").classList.toggle("lifted", this.scroll.scrollTop > 4);
    });
    this.toEnd.addEventListener("click", () => this.goToEnd());
    new ResizeObserver(() => { if (this.follows) this.goToEnd(); }).observe(this.log);
  }

  private distance(): number {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight;
  }

  goToEnd() {
    this.follows = true;
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  // Everything is made anew where the language or the conversation changed.
  show(anew = false) {
    const focused = this.focusedButton();
    const another = anew || this.conversation !== this.app.current.id;
    if (another) this.views = new Map();
    this.conversation = this.app.current.id;
    const messages = this.app.shown();
    for (const message of messages) {
      const view = this.views.get(message);
      if (!view) this.views.set(message, this.made(message));
      else if (!view.element.classList.contains("edited")) view.update();
    }
    this.log.classList.toggle("empty", messages.length === 0);
    const elements = messages.map((m) => this.views.get(m)!.element);
    this.log.replaceChildren(...(elements.length ? elements : [emptyView(this.app)]));
    if (another || this.follows || messages.at(-1)?.state === "streaming") this.goToEnd();
    if (focused) this.focusAgain(focused);
  }

  // The button of a message that has the focus, to be found again when it was made anew.
  private focusedButton() {
    const button = document.activeElement;
    const message = [...this.log.children].findIndex((element) => element.contains(button));
    return message < 0 ? null : { message, label: button?.getAttribute("aria-label") ?? "" };
  }

  private focusAgain({ message, label }: { message: number; label: string }) {
    if (this.log.contains(document.activeElement)) return;
    const buttons = [...this.log.children[message]?.querySelectorAll<HTMLButtonElement>("button:enabled") ?? []];
    const same = buttons.find((button) => button.getAttribute("aria-label") === label);
    (same ?? buttons.find((button) => button.closest(".versions")) ?? buttons.at(-1))?.focus({ preventScroll: true });
  }

  private made(message: Message): MessageView {
    if (message.role === "user") return userView(this.app, message);
    return message.role === "tool" ? toolView(message) : answerView(this.app, message);
  }

  // As often as the eye follows, however many pieces of an answer came.
  update(message: Message) {
    if (!this.pending) setTimeout(() => this.flush(), DRAW_MS);
    this.pending = message;
  }

  private flush() {
    if (this.pending) this.views.get(this.pending)?.update();
    this.pending = null;
  }
}
