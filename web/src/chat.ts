// The chat page: its parts, put together.
import * as api from "./api";
import { App } from "./app";
import { Composer } from "./composer";
import { askKey, openSettings } from "./dialogs";
import { announce, byId, h, icon, iconButton, replace, toast } from "./dom";
import { LogView } from "./log_view";
import { loadMarkdown } from "./rich";
import { Sidebar } from "./sidebar";
import { settings } from "./settings";
import * as store from "./store";
import { count, isChinese, type Key, t } from "./strings";
import { download, exported } from "./transfer";
import type { Message } from "./types";

const RETRY_MS = 2000;
const SPOKEN = 600; // characters of an answer that a screen reader is given at once

const app: App = new App({
  onList: () => sidebar.draw(),
  onShown: show,
  onMessage: (message) => log.update(message),
  onEnd: ended,
  onFieldError: (error) => openSettings(apply, error),
  onNotKept: () => toast(t("notKept")),
  onOtherPage: () => {
    drawHead();
    log.show();
  },
});
const log = new LogView(app);
const composer = new Composer(app);
const sidebar = new Sidebar(app, open);

function open(id: string) {
  const target = id ? "#" + id : "";
  if (location.hash !== target) history.pushState(null, "", location.pathname + target);
  app.show(id);
  composer.focus();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function drawHead() {
  const known = app.conversations.has(app.current.id);
  byId("title").textContent = app.current.title || (app.server?.model ?? "ernie");
  document.title = app.current.title ? app.current.title + " · ernie" : "ernie";
  const last = app.shown().filter((m) => m.stats).at(-1)?.stats;
  const context = last && app.server && t("context", {
    used: count(last.promptTokens + last.tokens), max: count(app.server.maxModelLen),
  });
  replace(byId("head-left"),
    iconButton("menu", t("menu"), () => sidebar.toggle(true), { id: "menu" }));
  replace(byId("head-right"),
    context && h("span", { class: "context" }, context),
    known && iconButton("edit", t("rename"), rename),
    known && iconButton("save", t("export"), () => void exportShown()),
    known && iconButton("remove", t("remove"), remove),
    iconButton("settings", t("settings"), () => openSettings(apply), { id: "settings" }));
}

function rename() {
  const title = prompt(t("renameAsk"), app.current.title);
  if (title) void app.rename(title);
}

function remove() {
  if (confirm(t("removeAsk", { title: app.current.title || t("untitled") }))) {
    void app.remove(app.current).then(() => open(""));
  }
}

async function exportShown() {
  const name = app.current.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 50) || "conversation";
  download(name + ".json", await exported([app.current]));
}

function show() {
  const target = app.conversations.has(app.current.id) ? "#" + app.current.id : "";
  if (location.hash !== target) history.replaceState(null, "", location.pathname + target);
  drawHead();
  log.show();
  composer.show();
  sidebar.draw();
}

function ended(message: Message) {
  log.show();
  drawHead();
  composer.drawState();
  announce(message.state === "done" ? t("ready") + " " + message.text.slice(0, SPOKEN) : "");
  if (message.state === "broken" || message.state === "failed") void connect();
}

// Texts of the page itself, and its colours.
function localise() {
  document.documentElement.lang = isChinese() ? "zh-CN" : "en";
  for (const element of document.querySelectorAll<HTMLElement>("[data-t]")) {
    element.textContent = t(element.dataset.t as Key);
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel as Key));
  }
  for (const element of document.querySelectorAll<HTMLInputElement>("[data-t-placeholder]")) {
    element.placeholder = t(element.dataset.tPlaceholder as Key);
  }
  const toEnd = byId("to-end");
  toEnd.setAttribute("aria-label", t("toEnd"));
  replace(toEnd, icon("down"));
}

function apply() {
  if (settings.theme) document.documentElement.dataset.theme = settings.theme;
  else delete document.documentElement.dataset.theme;
  localise();
  drawHead();
  log.show(true);
  composer.show();
  sidebar.draw();
}

// Until the server is known: asks for its key, waits while it loads or cannot be reached.
async function connect() {
  const banner = byId("banner");
  let asked = false;
  while (true) {
    try {
      app.server = await api.askServer();
      byId("dashboard").hidden = !app.server.hasDashboard;
      if (!banner.hidden && banner.dataset.lost) toast(t("back"));
      banner.hidden = true;
      return;
    } catch (error) {
      const status = error instanceof api.ApiError ? error.status : 0;
      if (status === 401) {
        await askKey(asked);
        asked = true;
        continue;
      }
      banner.hidden = false;
      banner.dataset.lost = status ? "" : "1";
      const reason = error instanceof Error ? error.message : "";
      banner.textContent = status === 503 ? t("starting") : status ? t("failed", { reason }) : t("unreachable");
      await pause(RETRY_MS);
    }
  }
}

addEventListener("hashchange", () => app.show(location.hash.slice(1)));
addEventListener("popstate", () => app.show(location.hash.slice(1)));
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) app.stop();
  if (event.key === "/" && !typing) {
    event.preventDefault();
    composer.focus();
  }
});

async function start() {
  const wanted = location.hash.slice(1);
  localise();
  show();
  if (!(await store.open())) toast(t("notKept"));
  await app.load();
  app.show(wanted);
  composer.focus();
  void loadMarkdown().then(() => log.show());
  await connect();
  apply();
  composer.focus();
}

void start();
