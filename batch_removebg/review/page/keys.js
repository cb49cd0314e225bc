import { make, showDialog } from "./dom.js";
import { hasText, text } from "./texts.js";

const NAMES = { " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
const TYPING = "input:not([type=checkbox], [type=range], [type=radio], [type=button]), textarea, select";
const scopes = new Map();

/** Let keys act while the focus is within `[data-scope=…]`: `{key: [textKey, action]}`; keys such as "x", "Ctrl+a". */
export function bind(scope, table) {
  if (!scopes.size) document.addEventListener("keydown", press);
  const named = Object.entries(table).map(([key, meaning]) => [plainKey(key), meaning]);
  scopes.set(scope, { ...scopes.get(scope), ...Object.fromEntries(named) });
}

/** Letters are meant in either case, and "Space" is the key's name in tables. */
function plainKey(key) {
  return key.replace(/Space$/, " ").replace(/(^|\+)\p{Lu}$/u, (letter) => letter.toLowerCase());
}

/** The name of what was pressed; Shift is named only where it doesn't make another character. */
export function keyOf(event) {
  const named = event.key.length > 1 || event.key === " ";
  const control = event.ctrlKey || event.metaKey;
  return [control && "Ctrl", event.altKey && "Alt", event.shiftKey && (named || control) && "Shift", plainKey(event.key)].filter(Boolean).join("+");
}

/** An action that a key does once, however long it is held. */
export function once(act) {
  return (event) => event.repeat || act(event);
}

function press(event) {
  const scope = event.target.closest?.("[data-scope]")?.dataset.scope;
  if (!scope || event.defaultPrevented || event.isComposing || event.target.matches(TYPING)) return;
  const table = scopes.get(scope) ?? {};
  const found = table[keyOf(event)];
  const pressing = event.target.matches("button, summary, input, a") && [" ", "Enter"].includes(event.key);
  if ((pressing && event.repeat) || (found && !pressing)) event.preventDefault();
  if (found && !pressing) found[1](event);
}

/** Keys with the same meaning stand in one line; those without one aren't told of. */
function byMeaning(table) {
  const lines = new Map();
  for (const [key, [meaning]] of Object.entries(table)) if (meaning) lines.set(meaning, [...(lines.get(meaning) ?? []), key]);
  return lines;
}

function nameOfKey(part) {
  return NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);
}

function keyLine([meaning, keys]) {
  const shown = keys.flatMap((key) => [make("kbd", {}, key.split(/\+(?=.)/).map(nameOfKey).join(" ")), " "]);
  return [make("dt", {}, ...shown), make("dd", {}, text(meaning))];
}

/** Show the keys of all scopes. */
export async function help() {
  const close = make("button", { value: "close", class: "primary" }, text("action.close"));
  const parts = [...scopes].map(([scope, table]) =>
    make("section", {}, make("h3", {}, hasText(`keys.${scope}`) ? text(`keys.${scope}`) : scope),
      make("dl", { class: "keys" }, ...[...byMeaning(table)].flatMap(keyLine))));
  const dialog = make("dialog", { class: "help", "aria-label": text("keys.title"), "data-dialog": "help" },
    make("form", { method: "dialog" }, make("h2", { tabindex: -1, autofocus: true }, text("keys.title")), make("div", { class: "scopes" }, ...parts), make("footer", {}, close)));
  document.body.append(dialog);
  await showDialog(dialog);
  dialog.remove();
}
