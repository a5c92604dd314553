// Pictures and clips that were added, and how they are shown.
import type { FileRef } from "./types";
import * as store from "./store";
import { h, icon, iconButton } from "./dom";
import { t } from "./strings";

const PICTURES = /\.(jpe?g|png|webp|gif|bmp|tiff?|avif|heic|heif)$/i;
const CLIPS = /\.(mp4|m4v|mov|webm|mkv|avi|ts|mpe?g)$/i;

export function kindOf(file: File): FileRef["kind"] | null {
  if (file.type.startsWith("image/") || PICTURES.test(file.name)) return "image";
  if (file.type.startsWith("video/") || CLIPS.test(file.name)) return "video";
  return null;
}

const urls = new Map<string, Promise<string>>();

function url(file: FileRef): Promise<string> {
  let found = urls.get(file.id);
  if (!found) {
    found = store.file(file.id).then((blob) => (blob ? URL.createObjectURL(blob) : ""));
    urls.set(file.id, found);
  }
  return found;
}

// The picture, or what stands for a clip or a format that the browser cannot show.
export function thumbnail(file: FileRef): HTMLElement {
  const standIn = () => h("span", { class: "stand-in" }, icon(file.kind === "video" ? "play" : "attach"));
  if (file.kind === "video") return standIn();
  const image = pictureOf(file, () => image.replaceWith(standIn()));
  return image;
}

export function pictureOf(file: FileRef, onError: () => void): HTMLImageElement {
  const image = h("img", { alt: file.name, onerror: onError });
  void url(file).then((source) => { image.src = source; });
  return image;
}

function clip(file: FileRef): HTMLVideoElement {
  const video = h("video", { controls: true, muted: true, "aria-label": file.name });
  void url(file).then((source) => { video.src = source; });
  return video;
}

export function showLarge(file: FileRef) {
  const dialog: HTMLDialogElement = h("dialog", {
    class: "picture", "aria-label": file.name, onclose: () => dialog.remove(),
  },
    h("header", {}, h("h2", {}, file.name), iconButton("close", t("close"), () => dialog.close())),
    h("div", { class: "body" }, file.kind === "video" ? clip(file) : pictureOf(file, () => {})));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}

export function sentFile(file: FileRef): HTMLElement {
  const button = h("button", {
    type: "button", "aria-label": t("openPicture", { name: file.name }), onclick: () => showLarge(file),
  });
  const plain = () => {
    button.className = "plain";
    button.replaceChildren(file.name);
  };
  if (file.kind === "video") plain();
  else button.append(pictureOf(file, plain));
  return button;
}
