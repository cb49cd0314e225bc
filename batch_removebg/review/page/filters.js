import { framed, make, mark } from "./dom.js";
import { nameOf, number, text, visible } from "./texts.js";

const FACETS = ["status", "decision", "flag", "check", "preset", "folder"];
const ALWAYS = {
  status: ["saved", "failed", "pending", "gone"],
  decision: ["undecided", "accepted", "rejected", "redo"],
  flag: ["suspect", "faint", "fragmented", "cut-off", "full", "empty"],
};
const SORTS = ["order", "id", "coverage", "undecided", "peak", "components", "doubt", "width", "bytes", "seconds", "time"];
const TYPED_MS = 350;
const SEARCHED = 12; // folders beyond which they can be searched

/** Counted values of a kind, in their known order or by count, and those that are filtered for in any case. */
function valuesShown(store, kind) {
  const counts = store.facets[kind] ?? {};
  const chosen = store.filter.filter(([one]) => one === kind).map(([, value]) => value);
  const known = ALWAYS[kind] ?? (kind === "preset" ? store.about.presets.filter(Boolean) : []);
  const others = Object.keys(counts).filter((value) => !known.includes(value));
  others.sort((one, other) => counts[other] - counts[one] || one.localeCompare(other));
  const counted = Object.keys(counts).length > 0;
  return [...new Set([...known.filter((value) => !counted || counts[value] || chosen.includes(value)), ...others, ...chosen])];
}

/** One choice, with how many there are. */
function choice(store, kind, value) {
  const count = store.facets[kind]?.[value];
  const box = make("input", { type: "checkbox", "data-filter": kind, value, change: () => store.toggle(kind, value) });
  box.checked = store.has(kind, value);
  const name = make("span", { class: "name" }, nameOf(kind, value));
  const shown = make("span", { class: "count", "data-facet": `${kind}:${value}` }, count === undefined ? "" : number(count));
  return make("label", { class: "choice" }, box, name, shown);
}

class Facet {
  constructor(store, kind) {
    Object.assign(this, { store, kind });
    this.choices = make("div", { class: "choices" });
    this.search = make("input", { type: "search", "data-placeholder": "filter.find-folder", "data-label": "filter.find-folder", input: () => this.narrow() });
    this.element = make("fieldset", { "data-group": kind }, make("legend", { "data-text": `filter.${kind}` }), this.search, this.choices);
  }

  show() {
    const values = valuesShown(this.store, this.kind);
    const held = document.activeElement?.dataset?.filter === this.kind ? document.activeElement.value : null;
    this.element.hidden = !values.length || (values.length === 1 && values[0] === "" && !this.store.has(this.kind, ""));
    this.search.hidden = this.kind !== "folder" || values.length <= SEARCHED;
    this.choices.replaceChildren(...values.map((value) => choice(this.store, this.kind, value)));
    if (held !== null) [...this.choices.querySelectorAll("input")].find((box) => box.value === held)?.focus();
    this.narrow();
  }

  narrow() {
    const part = this.search.hidden ? "" : this.search.value.toLowerCase();
    for (const label of this.choices.children) label.hidden = !label.textContent.toLowerCase().includes(part);
  }
}

/** Filter by a column of the manifest: choose it, type a value. */
function columnFilter(store) {
  const column = make("select", { "data-label": "filter.column", "data-column": true });
  const value = make("input", { "data-label": "filter.value", "data-placeholder": "filter.value", "data-filter": "column" });
  const add = (event) => {
    event.preventDefault();
    if (!store.has(`col.${column.value}`, value.value)) store.toggle(`col.${column.value}`, value.value);
    value.value = "";
  };
  const form = make("form", { submit: add }, column, value, make("button", { "data-text": "filter.add" }));
  const element = make("fieldset", { "data-group": "column" }, make("legend", { "data-text": "filter.column" }), form);
  const show = () => {
    const columns = store.about.columns ?? [];
    element.hidden = !columns.length;
    if (column.options.length !== columns.length) column.replaceChildren(...columns.map((name) => make("option", { value: name }, visible(name))));
  };
  return { element, show };
}

/** Filter by text in names and sources, once no more is typed; `leave` goes to what was found. */
function textFilter(store, leave) {
  let typing;
  const shown = () => store.filter.find(([kind]) => kind === "q")?.[1] ?? "";
  const apply = () => {
    clearTimeout(typing);
    if (field.value === shown()) return;
    const others = store.filter.filter(([kind]) => kind !== "q");
    return store.setFilter(field.value ? [...others, ["q", field.value]] : others);
  };
  const goOn = async (event) => {
    if (!["Enter", "ArrowDown"].includes(event.key) || event.isComposing) return;
    event.preventDefault();
    await apply();
    leave();
  };
  const field = make("input", {
    type: "search", "data-filter": "q", "data-label": "filter.q", "data-placeholder": "filter.q",
    input: () => {
      clearTimeout(typing);
      typing = setTimeout(apply, TYPED_MS);
    },
    change: apply, keydown: goOn,
  });
  const show = () => {
    if (document.activeElement !== field) field.value = shown();
  };
  return { element: field, show };
}

function sorting(store) {
  const by = make("select", { "data-sort": true, "data-label": "sort.by", change: () => choose() });
  const down = make("button", { type: "button", "data-down": true, click: () => choose(!store.sort.down) });
  const choose = (downwards = store.sort.down) => store.setFilter(store.filter, { by: by.value, down: downwards });
  const show = () => {
    by.replaceChildren(...SORTS.map((name) => make("option", { value: name }, text(`sort.${name}`))));
    by.value = store.sort.by;
    down.textContent = store.sort.down ? "↓" : "↑";
    mark(down, "aria-label", text(store.sort.down ? "sort.down" : "sort.up"));
    mark(down, "title", text(store.sort.down ? "sort.down" : "sort.up"));
  };
  const element = make("fieldset", { class: "sorting" }, make("legend", { "data-text": "sort.by" }), make("div", {}, by, down));
  return { element, show };
}

function editedFilter(store) {
  const element = make("fieldset", { "data-group": "edited" });
  return { element, show: () => element.replaceChildren(choice(store, "edited", "1")) };
}

/** The sidebar: text, order, and choices with their counts. Returns the text field; `leave` goes from there to what was found. */
export function makeFilters(host, store, leave) {
  const search = textFilter(store, leave);
  const facets = FACETS.map((kind) => new Facet(store, kind));
  const parts = [search, sorting(store), ...facets, editedFilter(store), columnFilter(store)];
  host.append(...parts.map(({ element }) => element));
  const show = framed(() => store.about && parts.forEach((part) => part.show()));
  for (const name of ["about", "view", "decisions"]) store.addEventListener(name, show);
  return search.element;
}

/** A filter as a chip that can be removed. */
function chip(store, [kind, value]) {
  const title = kind.startsWith("col.") ? visible(kind.slice(4)) : text(`filter.${kind}`);
  const name = kind === "edited" ? text("filter.edited") : text("filter.of", { title, name: nameOf(kind, value) });
  const remove = make("button", { type: "button", "aria-label": text("filter.remove", { name }), click: () => store.toggle(kind, value) }, "✕");
  return make("li", { class: "chip", "data-chip": `${kind}=${value}` }, make("span", {}, name), remove);
}

/** What is shown, of how many, and why: loud while a filter is on. */
export function makeBanner(host, store) {
  const show = () => {
    const filtered = store.filter.length > 0;
    host.hidden = !filtered && !store.outdated;
    if (host.hidden || !store.about) return;
    const shown = filtered && !store.changing && text("banner.shown", { n: store.total, of: store.about.total });
    const clear = make("button", { type: "button", "data-action": "clear", click: () => store.setFilter([]) }, text("banner.clear"));
    const again = make("button", { type: "button", "data-action": "refresh", click: () => store.refresh() }, text("banner.outdated"));
    host.replaceChildren(
      make("strong", { "data-shown": true }, filtered ? shown || "…" : ""),
      make("ul", {}, ...store.filter.map((pair) => chip(store, pair))),
      ...(filtered ? [clear] : []),
      ...(store.outdated ? [again] : []),
    );
  };
  for (const name of ["about", "view"]) store.addEventListener(name, show);
}
