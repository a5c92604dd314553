// Settings, and the server's key.
import * as api from "./api";
import { add, byId, h, iconButton } from "./dom";
import { change, type FieldError, requestFields, isFieldError, reset, type Settings, settings } from "./settings";
import { type Key, t } from "./strings";

const NUMBERS: [keyof Settings & Key, Record<string, unknown>][] = [
  ["temperature", { min: 0, max: 2, step: 0.1 }], ["topP", { min: 0, max: 1, step: 0.05 }],
  ["topK", { min: -1, step: 1 }], ["minP", { min: 0, max: 1, step: 0.01 }], ["maxTokens", { min: 1, step: 1 }],
  ["seed", { min: 0, step: 1 }], ["repetitionPenalty", { min: 0.01, max: 10, step: 0.05 }],
  ["presencePenalty", { min: -2, max: 2, step: 0.1 }], ["frequencyPenalty", { min: -2, max: 2, step: 0.1 }],
];
const PROBLEMS = { json: "badJson", tools: "badTools", number: "badNumber" } as const;

function select(name: "theme" | "language", label: Key, options: [string, string][], onChange: () => void) {
  return h("label", { class: "half" }, t(label), h("select", { onchange: (event: Event) => {
    change({ [name]: (event.target as HTMLSelectElement).value });
    onChange();
  } }, ...options.map(([value, text]) => h("option", { value, selected: settings[name] === value }, text))));
}

function numberField(name: keyof Settings & Key, props: Record<string, unknown>) {
  return h("label", { class: name === "thinkingBudget" ? "half" : "" }, t(name), h("input", {
    type: "number", inputMode: "decimal", value: String(settings[name]), name, ...props,
    oninput: (event: Event) => change({ [name]: (event.target as HTMLInputElement).value }),
  }));
}

function area(name: keyof Settings, label: Key, json: boolean, check: () => void) {
  return h("label", { class: "full" }, t(label), h("textarea", {
    class: json ? "json" : "", spellcheck: !json, value: String(settings[name]), name,
    oninput: (event: Event) => {
      change({ [name]: (event.target as HTMLTextAreaElement).value });
      check();
    },
  }));
}

function modal(title: string, ...body: Node[]): HTMLDialogElement {
  const dialog: HTMLDialogElement = h("dialog", { "aria-label": title, onclose: () => dialog.remove() },
    h("header", {}, h("h2", {}, title), iconButton("close", t("close"), () => dialog.close())),
    h("div", { class: "body" }, ...body));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// `apply` follows a change of colours or language. `wrong`: the field to begin with.
export function openSettings(apply: () => void, wrong?: FieldError) {
  const problem = h("p", { class: "bad", role: "alert", hidden: true });
  const check = () => {
    const fields = requestFields(settings);
    const bad = isFieldError(fields) ? fields : null;
    problem.hidden = !bad;
    problem.textContent = bad ? t(PROBLEMS[bad.message]) : "";
    const label = bad && dialog?.querySelector(`[name="${bad.field}"]`)?.closest("label");
    if (label) add(label, problem);
  };
  let dialog: HTMLDialogElement | null = null;
  const again = () => {
    apply();
    dialog?.close();
    openSettings(apply);
  };
  const group = (legend: Key, ...children: Node[]) => h("fieldset", {}, h("legend", {}, t(legend)), ...children);
  const think = h("label", { class: "check full" }, h("input", {
    type: "checkbox", checked: settings.thinking,
    onchange: (event: Event) => {
      change({ thinking: (event.target as HTMLInputElement).checked });
      apply();
    },
  }), t("think"));
  dialog = modal(t("settings"),
    group("appearance",
      select("theme", "theme", [["", t("themeAuto")], ["light", t("light")], ["dark", t("dark")]], apply),
      select("language", "language", [["", t("languageAuto")], ["en", "English"], ["zh", "中文"]], again)),
    group("answers", area("system", "system", false, check), think,
      numberField("thinkingBudget", { min: 0, step: 1 })),
    group("sampling", h("p", { class: "hint full" }, t("samplingHint")),
      ...NUMBERS.map(([name, props]) => numberField(name, props)), area("stop", "stopStrings", false, check)),
    group("structure", area("tools", "tools", true, check), area("schema", "schema", true, check)),
    h("div", { class: "row" },
      api.key.get() ? h("button", { type: "button", onclick: () => {
        api.key.forget();
        location.reload();
      } }, t("forgetKey")) : "",
      h("button", { type: "button", onclick: () => {
        reset();
        again();
      } }, t("reset"))) as HTMLElement);
  // The button that had the focus may have been made anew.
  dialog.addEventListener("close", () => {
    if (document.activeElement === document.body) byId("settings").focus();
  });
  check();
  if (wrong) dialog.querySelector<HTMLElement>(`[name="${wrong.field}"]`)?.focus();
}

// Ends once a key was given.
export function askKey(wasWrong: boolean): Promise<void> {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", name: "key", autocomplete: "off", required: true });
    const keep = h("input", { type: "checkbox" });
    const form = h("form", { class: "body", method: "dialog", onsubmit: () => {
      api.key.set(input.value.trim(), keep.checked);
      resolve();
    } },
    wasWrong && h("p", { class: "bad", role: "alert" }, t("keyWrong")),
    h("label", {}, t("key"), input), h("label", { class: "check" }, keep, t("keyKeep")),
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, t("keyUse"))));
    const dialog: HTMLDialogElement = h("dialog", {
      class: "key", "aria-label": t("keyTitle"), onclose: () => dialog.remove(),
      oncancel: (event: Event) => event.preventDefault(),
    }, h("header", {}, h("h2", {}, t("keyTitle"))), form);
    document.body.append(dialog);
    dialog.showModal();
  });
}
