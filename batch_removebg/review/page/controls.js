import { make, mark } from "./dom.js";
import { bind } from "./keys.js";
import { hasText, text } from "./texts.js";

const GLYPHS = { keys: "?", zoom: "100 %", previous: "‹", next: "›", "zoom-in": "+", "zoom-out": "−" }; // in place of their names
const KEY_NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", Backspace: "⌫", Enter: "⏎" };

/** Actions {name: [keys, act]}: the keys are bound in a scope, and each action can have a button. */
export class Toolbar {
  constructor(scope, actions) {
    Object.assign(this, { scope, actions, buttons: {} });
    const bound = Object.entries(actions).flatMap(([name, [keys, act]]) => keys.map((key) => [key, [this.meaning(name), act]]));
    bind(scope, Object.fromEntries(bound));
  }

  /** The key of an action's text: its own, the loupe's, or the page's. */
  meaning(name) {
    return [this.scope, "loupe", "action", "keys"].map((scope) => `${scope}.${name}`).find(hasText);
  }

  /** Buttons that belong together. */
  group(name, actions) {
    return make("div", { class: "group", "data-group": name }, ...actions.map((action) => this.button(action)));
  }

  button(name) {
    const [[key], act] = this.actions[name];
    const label = text(this.meaning(name));
    const glyph = GLYPHS[name];
    const hint = key && !glyph ? [make("kbd", { "aria-hidden": "true" }, KEY_NAMES[key] ?? key.toUpperCase())] : [];
    const attributes = { type: "button", "data-action": name, "aria-label": glyph && label, title: glyph && label, click: act };
    this.buttons[name] = make("button", attributes, make("span", {}, glyph ?? label), ...hint);
    return this.buttons[name];
  }

  press(pressed) {
    for (const [name, value] of Object.entries(pressed)) mark(this.buttons[name], "aria-pressed", String(Boolean(value)));
  }

  enable(enabled) {
    for (const [name, value] of Object.entries(enabled)) this.buttons[name].disabled = !value;
  }
}

/** A labelled slider, whose own keys move it; `changed` is given its number. */
export function slider(label, attributes, changed) {
  const input = make("input", { type: "range", ...attributes, input: () => changed(Number(input.value)) });
  return make("label", { "data-scope": "" }, label, input);
}

/** Fill a part of the page anew: a control that has the focus leaves it to the one in its place, or else to `heir`. */
export function refill(host, children, heir) {
  const controls = () => [...host.querySelectorAll("button, select, input")];
  const place = controls().indexOf(document.activeElement);
  host.replaceChildren(...children);
  if (place >= 0) (controls()[place] ?? heir).focus();
}
