import { make, mark } from "./dom.js";
import { bind } from "./keys.js";
import { hasText, text } from "./texts.js";

const GLYPHS = { keys: "?", previous: "‹", next: "›", "zoom-in": "+", "zoom-out": "−" }; // in place of their names
const KEY_NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", Backspace: "⌫", Enter: "⏎" };

/** Actions, each with a button and keys: `keys` is {name: [key…]}, and `act(name, event)` does them. */
export class Toolbar {
  constructor(scope, keys, act) {
    Object.assign(this, { scope, keys, act, buttons: {} });
    const bound = Object.entries(keys).flatMap(([name, list]) => list.map((key) => [key, name]));
    bind(scope, Object.fromEntries(bound.map(([key, name]) => [key, [this.meaning(name), (event) => act(name, event)]])));
  }

  /** The key of an action's text: its own, the loupe's, or the page's. */
  meaning(name) {
    return [this.scope, "loupe", "action", "keys"].map((scope) => `${scope}.${name}`).find(hasText);
  }

  /** Buttons that belong together. */
  group(label, names) {
    return make("div", { class: "group", role: "group", "aria-label": text(label), "data-group": label.split(".").at(-1) }, ...names.map((name) => this.button(name)));
  }

  button(name) {
    const [key] = this.keys[name] ?? [];
    const label = text(this.meaning(name));
    const sign = GLYPHS[name];
    const hint = key && !sign ? [make("kbd", { "aria-hidden": "true" }, KEY_NAMES[key] ?? key.toUpperCase())] : [];
    const attributes = { type: "button", "data-action": name, "aria-label": sign && label, title: sign && label };
    const button = make("button", { ...attributes, click: (event) => this.act(name, event) }, make("span", {}, sign ?? label), ...hint);
    this.buttons[name] = button;
    return button;
  }

  press(pressed) {
    for (const [name, value] of Object.entries(pressed)) mark(this.buttons[name], "aria-pressed", String(Boolean(value)));
  }

  enable(enabled) {
    for (const [name, value] of Object.entries(enabled)) this.buttons[name].disabled = !value;
  }
}

/** A labelled slider; `changed` is given its number. */
export function slider(label, attributes, changed) {
  const input = make("input", { type: "range", ...attributes, input: () => changed(Number(input.value)) });
  return make("label", { "data-scope": "" }, make("span", {}, label), input);
}

/** Fill a part of the page anew: a control that has the focus leaves it to the one in its place, or else to `heir`. */
export function refill(host, children, heir) {
  const controls = () => [...host.querySelectorAll("button, select, input")];
  const place = controls().indexOf(document.activeElement);
  host.replaceChildren(...children);
  if (place >= 0) (controls()[place] ?? heir).focus();
}
