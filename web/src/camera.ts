import { h, iconButton, toast } from "./dom";
import { t } from "./strings";

const QUALITY = 0.92; // of JPEG

// Where the browser gives no stream, as on plain http, a phone's own camera may still be had.
function pick(onPicture: (file: File) => void) {
  const input = h("input", { type: "file", accept: "image/*", capture: "environment" });
  input.addEventListener("change", () => { if (input.files?.[0]) onPicture(input.files[0]); });
  input.click();
}

export async function openCamera(onPicture: (file: File) => void) {
  if (!navigator.mediaDevices) return pick(onPicture);
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return toast(t("noCamera", { reason: error instanceof Error ? error.message : String(error) }));
  }
  const video = h("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const take = () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      if (blob) onPicture(new File([blob], "camera.jpg", { type: "image/jpeg" }));
      dialog.close();
    }, "image/jpeg", QUALITY);
  };
  const dialog: HTMLDialogElement = h("dialog", { class: "camera", "aria-label": t("camera"), onclose: () => {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  } }, h("header", {}, h("h2", {}, t("camera")), iconButton("close", t("close"), () => dialog.close())),
  h("div", { class: "body" }, video,
    h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: take }, t("take")))));
  document.body.append(dialog);
  dialog.showModal();
}
