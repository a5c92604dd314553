// What the page knows and does, apart from how it looks.
import type { Conversation, FileRef, Message } from "./types";
import type { Server } from "./api";
import type { FieldError } from "./settings";
import * as store from "./store";
import { draftFiles, writeDraft } from "./drafts";
import { generate, type Generation } from "./generation";
import { filesOf, fork, insert, newConversation, newMessage, path } from "./tree";

export interface Listener {
  onList(): void; // conversations came, went or were renamed
  onShown(): void; // another conversation or another branch is shown
  onMessage(message: Message): void; // one message of the shown conversation changed
  onEnd(message: Message): void; // an answer ended
  onFieldError(error: FieldError): void;
  onNotKept(): void; // the browser's database failed, or is full
  onOtherPage(): void; // the shown conversation changed in another tab
}

export class App {
  server: Server | null = null;
  current: Conversation = newConversation();
  readonly conversations = new Map<string, Conversation>();
  private readonly running = new Map<string, Generation>(); // by conversation

  private readonly otherPages = new BroadcastChannel("ernie"); // ids of what was saved or deleted

  constructor(private readonly listener: Listener) {
    this.otherPages.onmessage = (event) => void this.takeOver(String(event.data));
  }

  async load() {
    for (const conversation of await store.all()) {
      for (const m of Object.values(conversation.messages)) {
        if (m.state === "streaming") m.state = "broken"; // the page was left while it came
      }
      this.conversations.set(conversation.id, conversation);
    }
    await this.dropUnusedFiles();
    this.listener.onList();
  }

  // The newest first.
  list(): Conversation[] {
    return [...this.conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  shown(): Message[] {
    return path(this.current);
  }

  generation(): Generation | undefined {
    return this.running.get(this.current.id);
  }

  show(id: string) {
    this.current = this.conversations.get(id) ?? newConversation();
    this.listener.onShown();
  }

  choose(message: Message) {
    this.current.chosen[message.parent] = message.id;
    void this.save(this.current);
    this.listener.onShown();
  }

  async save(conversation: Conversation) {
    this.conversations.set(conversation.id, conversation);
    await store.put(conversation).catch(() => this.listener.onNotKept());
    this.otherPages.postMessage(conversation.id);
  }

  // What another tab saved; else this one would write its older copy over it.
  private async takeOver(id: string) {
    if (this.running.has(id)) return;
    const saved = await store.get(id);
    if (saved) this.conversations.set(id, saved);
    else this.conversations.delete(id);
    this.listener.onList();
    if (this.current.id !== id) return;
    if (saved) {
      this.current = saved;
      this.listener.onOtherPage();
    } else {
      this.show("");
    }
  }

  send(parent: string, text: string, files: FileRef[]) {
    const question = newMessage(parent, "user", { text, files });
    insert(this.current, question);
    this.answer(question.id);
  }

  sendResults(answer: Message, results: string[]) {
    let parent = answer.id;
    answer.calls.forEach((call, i) => {
      const result = newMessage(parent, "tool", { text: results[i], callId: call.id });
      insert(this.current, result);
      parent = result.id;
    });
    this.answer(parent);
  }

  // A new answer to what ends with `parent`.
  answer(parent: string) {
    const answer = newMessage(parent, "assistant", { state: "streaming" });
    insert(this.current, answer);
    void this.run(answer, false);
  }

  goOn(answer: Message) {
    void this.run(answer, answer.text !== "");
  }

  stop() {
    this.generation()?.stop.abort();
  }

  private async run(message: Message, goOn: boolean) {
    const conversation = this.current;
    const generation = { message, stop: new AbortController() };
    this.running.set(conversation.id, generation);
    await this.save(conversation);
    this.listener.onList();
    this.listener.onShown();
    const wrong = await generate(this.server?.model ?? "", conversation, generation, goOn, () => {
      if (this.current === conversation) this.listener.onMessage(message);
    }, () => this.save(conversation));
    this.running.delete(conversation.id);
    if (wrong) this.listener.onFieldError(wrong);
    this.listener.onList();
    if (this.current === conversation) this.listener.onEnd(message);
  }

  async fork(message: Message) {
    const copy = fork(this.current, message.id);
    await this.save(copy);
    this.listener.onList();
    this.show(copy.id);
  }

  async rename(title: string) {
    this.current.title = title;
    await this.save(this.current);
    this.listener.onList();
    this.listener.onShown();
  }

  async remove(conversation: Conversation) {
    this.running.get(conversation.id)?.stop.abort();
    this.conversations.delete(conversation.id);
    writeDraft(conversation.id, { text: "", files: [] });
    await store.remove(conversation.id);
    this.otherPages.postMessage(conversation.id);
    await this.dropUnusedFiles();
    this.listener.onList();
    if (this.current === conversation) this.show("");
  }

  private async dropUnusedFiles() {
    const used = new Set([...this.conversations.values()].flatMap(filesOf).concat(draftFiles()).map((f) => f.id));
    for (const id of await store.fileIds()) if (!used.has(id)) await store.removeFile(id);
  }
}
