import { framed, make, mark, showDialog } from "./dom.js";
import { text } from "./texts.js";

const DECIDING = ["accept", "reject", "redo", "note", "undecide"];
const SIGN = { accept: "✓", reject: "✕", redo: "↻", note: "✉", undecide: "○", undo: "↶", open: "⤢", select: "☐", everything: "☑" };

/** What can be done with the selection, or with the item that has the focus. */
export class Actions {
  constructor(store, open) {
    Object.assign(this, { store, open });
  }

  accept() {
    return this.decide("accepted");
  }

  reject() {
    return this.decide("rejected");
  }

  undecide() {
    return this.decide("undecided");
  }

  /** What is to be decided on; null where nothing can be, which is said. */
  target() {
    const { store } = this;
    if (store.api.readOnly) store.say("said.read-only");
    else if (store.changing) store.say("said.wait");
    else return store.target;
    return null;
  }

  /** Returns whether there was something to decide on, as do those above; `redo` resolves with that. */
  decide(verdict) {
    const target = this.target();
    if (target) this.store.decide(target, verdict);
    return target !== null;
  }

  async redo() {
    const target = this.target();
    if (!target) return false;
    const dialog = redoDialog(this.store);
    if ((await shown(dialog)) !== "ok") return false;
    const values = Object.fromEntries([...new FormData(dialog.querySelector("form"))].filter(([, value]) => value));
    const { note, zoom, ...redo } = values;
    this.store.decide(target, "redo", { redo: zoom ? { ...redo, zoom: true } : redo, ...(note && { note }) });
    return true;
  }

  /** A note on items whose verdicts stay: not on all that match, since those aren't known here. */
  async note() {
    const { items } = this.target() ?? {};
    if (!items) return;
    const rows = await Promise.all(items.map((n) => this.known(n)));
    const dialog = noteDialog(this.store, rows.length === 1 ? this.store.verdict(rows[0]).note : "");
    if ((await shown(dialog)) !== "ok") return;
    const note = dialog.querySelector("textarea").value.trim();
    for (const those of Map.groupBy(rows, ({ decision }) => JSON.stringify([decision?.verdict, decision?.redo])).values()) {
      const { verdict = "undecided", redo } = those[0].decision ?? {};
      this.store.decide({ items: those.map(({ n }) => n) }, verdict, { note, ...(verdict === "redo" && redo && { redo }) });
    }
  }

  known(n) {
    for (const row of this.store.windows.rows()) if (row.n === n) return row;
    return this.store.api.item(n);
  }

  undo() {
    return this.store.undo();
  }

  select() {
    const { focused } = this.store;
    if (focused) this.store.toggleSelected(focused.n);
  }

  everything() {
    if (this.store.changing) this.store.say("said.wait");
    else this.store.select([], !this.store.everything);
  }
}

async function shown(dialog) {
  document.body.append(dialog);
  const answer = await showDialog(dialog);
  dialog.remove();
  return answer;
}

/** A dialog with a form; its buttons answer "ok" or nothing. */
function formDialog(name, title, ...parts) {
  const cancel = make("button", { value: "", formnovalidate: true }, text("action.cancel"));
  const ok = make("button", { value: "ok", class: "primary", "data-ok": true }, text("action.save"));
  const heading = make("h2", { id: `title-${name}` }, title);
  const form = make("form", { method: "dialog" }, heading, ...parts, make("footer", {}, cancel, ok));
  const dialog = make("dialog", { "aria-labelledby": `title-${name}`, "data-dialog": name }, form);
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || (event.target.matches("textarea") && !event.ctrlKey)) return;
    if (event.target.matches("button")) return;
    event.preventDefault();
    dialog.close("ok");
  });
  return dialog;
}

function option(name, values) {
  const none = make("option", { value: "" }, text("redo.as-before"));
  const select = make("select", { name }, none, ...values.map((value) => make("option", { value }, value)));
  return make("label", { class: "field" }, make("span", {}, text(`redo.${name}`)), select);
}

function noteField(note) {
  const field = make("textarea", { name: "note", rows: 3, maxlength: 2000 });
  field.value = note ?? "";
  return make("label", { class: "field" }, make("span", {}, text("note.label")), field);
}

/** A class names a model, so one of the two is chosen; where nothing is, the picture is made by a better class. */
function bindOptions(form) {
  const { class: ofClass, model } = form.elements;
  if (!ofClass || !model) return;
  const show = () => {
    model.disabled = Boolean(ofClass.value);
    ofClass.disabled = Boolean(model.value);
    const asked = new FormData(form);
    asked.delete("note");
    ofClass.options[0].text = text([...asked.values()].some(Boolean) ? "redo.as-before" : "redo.better-class");
  };
  form.addEventListener("change", show);
  show();
}

function redoDialog(store) {
  const offered = Object.entries(store.about.redo ?? {}).filter(([, values]) => values.length);
  const zoom = make("label", { class: "field check" }, make("input", { type: "checkbox", name: "zoom", value: "1" }), text("redo.zoom"));
  const hint = make("p", {}, text(offered.length ? "redo.hint" : "redo.hint-api"));
  const fields = offered.map(([name, values]) => option(name, values));
  const dialog = formDialog("redo", text("redo.title", { n: store.targetSize }), hint, make("div", { class: "fields" }, ...fields), ...(offered.length ? [zoom] : []), noteField());
  bindOptions(dialog.querySelector("form"));
  return dialog;
}

function noteDialog(store, note) {
  return formDialog("note", text("note.title", { n: store.targetSize }), noteField(note));
}

/** The bar with the actions; `actions` does them, and `count` says with how many items. */
export function makeActionBar(host, count, store, actions) {
  const button = (name, act) =>
    make("button", { type: "button", "data-action": name, click: act }, make("span", { class: "sign", "aria-hidden": "true" }, SIGN[name]), make("span", { class: "word", "data-text": `action.${name}` }));
  const deciding = DECIDING.map((name) => button(name, () => actions[name]()));
  const undo = button("undo", () => actions.undo());
  const choosing = ["everything", "select"].map((name) => button(name, () => actions[name]()));
  const open = button("open", () => actions.open(store.focus));
  host.append(...deciding, undo, ...choosing, open);
  const show = () => {
    for (const element of [...deciding, undo, ...choosing]) element.hidden = store.api.readOnly;
    for (const element of [...deciding, ...choosing, open]) element.disabled = !store.total || store.changing;
    deciding[DECIDING.indexOf("note")].disabled ||= store.everything;
    mark(choosing[0], "aria-pressed", String(store.everything));
    mark(choosing[1], "aria-pressed", String(Boolean(store.focused && store.selection.has(store.focused.n))));
    const chosen = store.everything ? "chosen.everything" : store.selection.size ? "chosen.some" : "chosen.focus";
    count.textContent = store.total ? text(chosen, { n: store.targetSize, at: store.focus + 1, of: store.total }) : "";
  };
  store.addEventListener("view", show); // at once: buttons must not act on what is no longer asked for
  for (const name of ["about", "selection", "focus", "rows"]) store.addEventListener(name, framed(show));
}
