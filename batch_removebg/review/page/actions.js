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

  decide(verdict, more) {
    const { store } = this;
    const { target } = store;
    if (store.api.readOnly) return store.say("said.read-only");
    if (target) return store.decide(target, verdict, more);
  }

  async redo() {
    const { store } = this;
    if (store.api.readOnly || !store.target) return;
    const { target } = store;
    const dialog = redoDialog(store);
    if ((await shown(dialog)) !== "ok") return;
    const values = Object.fromEntries([...new FormData(dialog.querySelector("form"))].filter(([, value]) => value));
    const { note, zoom, ...redo } = values;
    store.decide(target, "redo", { redo: zoom ? { ...redo, zoom: true } : redo, ...(note && { note }) });
  }

  async note() {
    const { store } = this;
    if (store.api.readOnly || !store.target || store.everything) return;
    const { items } = store.target;
    const row = items.length > 1 ? null : await this.known(items[0]);
    const dialog = noteDialog(store, row && store.verdict(row).note);
    if ((await shown(dialog)) !== "ok") return;
    const note = dialog.querySelector("textarea").value.trim();
    for (const [verdict, those] of await this.byVerdict(items)) store.decide({ items: those }, verdict, { note });
  }

  known(n) {
    for (const row of this.store.windows.rows()) if (row.n === n) return row;
    return this.store.api.item(n);
  }

  /** Items by the verdict that they have, since a note keeps it. */
  async byVerdict(items) {
    const found = new Map();
    for (const n of items) {
      const { verdict } = this.store.verdict(await this.known(n));
      found.set(verdict, [...(found.get(verdict) ?? []), n]);
    }
    return found;
  }

  undo() {
    return this.store.undo();
  }

  select() {
    const { focused } = this.store;
    if (focused) this.store.toggleSelected(focused.n);
  }

  everything() {
    this.store.select([], !this.store.everything);
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

function redoDialog(store) {
  const offered = Object.entries(store.about.redo ?? {}).filter(([, values]) => values.length);
  const zoom = make("label", { class: "field check" }, make("input", { type: "checkbox", name: "zoom", value: "1" }), text("redo.zoom"));
  const hint = make("p", {}, text(offered.length ? "redo.hint" : "redo.hint-api"));
  const fields = offered.map(([name, values]) => option(name, values));
  return formDialog("redo", text("redo.title", { n: store.targetSize }), hint, make("div", { class: "fields" }, ...fields), ...(offered.length ? [zoom] : []), noteField());
}

function noteDialog(store, note) {
  return formDialog("note", text("note.title", { n: store.targetSize }), noteField(note));
}

/** The bar with the actions; `actions` does them. */
export function makeActionBar(host, store, actions) {
  const count = make("span", { class: "chosen", "data-chosen": true });
  const button = (name, act) =>
    make("button", { type: "button", "data-action": name, click: act }, make("span", { class: "sign", "aria-hidden": "true" }, SIGN[name]), make("span", { class: "word", "data-text": `action.${name}` }));
  const deciding = DECIDING.map((name) => button(name, () => actions[name]()));
  const undo = button("undo", () => actions.undo());
  const others = [button("everything", () => actions.everything()), button("select", () => actions.select()), button("open", () => actions.open(store.focus))];
  host.append(count, ...deciding, undo, ...others);
  const show = framed(() => {
    for (const element of [...deciding, undo]) element.hidden = store.api.readOnly;
    for (const element of deciding) element.disabled = !store.total || (store.everything && element.dataset.action === "note");
    mark(others[0], "aria-pressed", String(store.everything));
    mark(others[1], "aria-pressed", String(Boolean(store.focused && store.selection.has(store.focused.n))));
    const chosen = store.everything ? "chosen.everything" : store.selection.size ? "chosen.some" : "chosen.focus";
    count.textContent = store.total ? text(chosen, { n: store.targetSize, at: store.focus + 1, of: store.total }) : "";
  });
  for (const name of ["about", "view", "selection", "focus", "rows"]) store.addEventListener(name, show);
}
