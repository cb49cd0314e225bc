import { Decisions } from "./decisions.js";
import { text } from "./texts.js";
import { Watch } from "./watch.js";
import { Windows } from "./windows.js";

const READ_MS = 1000;
const RANGE_MOST = 5000;
const ITEMS_AT_ONCE = 500;

/** What the page knows, and what it has changed. Events: about view rows focus selection decisions unsaved said unsaid. */
export class Store extends EventTarget {
  #focus = 0;
  #asked = 0;
  #held = null; // the item that shall have the focus in the view on its way
  #range = null; // the range that was asked for last

  constructor(api) {
    super();
    this.api = api;
    this.about = null;
    this.filter = []; // pairs of kind and value, as in the address
    this.sort = { by: "order", down: false };
    this.view = null;
    this.total = 0;
    this.facets = {};
    this.selection = new Set();
    this.everything = false; // all that match are selected
    this.changing = false; // other items are on their way
    this.reading = null; // 0–1 while the server still reads for the filter
    this.outdated = false; // others have changed what is shown
    this.windows = new Windows({
      fetch: async (from, count) => (await api.items(this.view, from, count)).items,
      arrived: () => this.emit("rows"),
      failed: (error) => this.watch.fail(error),
    });
    this.decisions = new Decisions(this);
    this.watch = new Watch(this);
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Tell the user something, once. */
  say(key, values) {
    this.emit("said", text(key, values));
  }

  async begin() {
    await this.watch.connect().catch((error) => this.watch.lose(error));
    if (this.api.live) this.watch.begin();
  }

  // What is shown

  get plain() {
    return !this.filter.length && this.sort.by === "order" && !this.sort.down;
  }

  get params() {
    const { by, down } = this.sort;
    return [...this.filter, ...(by === "order" ? [] : [["sort", by]]), ...(down ? [["down", "1"]] : [])];
  }

  has(kind, value) {
    return this.filter.some(([one, other]) => one === kind && other === value);
  }

  /** Show other items: `filter` as pairs; the focus goes to the first. */
  setFilter(filter, sort = this.sort) {
    Object.assign(this, { filter, sort });
    this.#focus = 0;
    return this.refresh(null);
  }

  toggle(kind, value) {
    const others = this.filter.filter(([one, other]) => one !== kind || other !== value);
    return this.setFilter(this.has(kind, value) ? others : [...others, [kind, value]]);
  }

  /** Ask for the view again, keeping the focus on its item, `held`, if it is still there about the same place. */
  async refresh(held = this.changing ? this.#held : this.focused?.n) {
    const asked = ++this.#asked;
    this.#held = held;
    if (held === null || !this.plain) this.change(true);
    try {
      const found = await this.viewOnceRead(asked);
      if (found) await this.adopt(found, held);
    } catch (error) {
      if (error.status === 410) this.watch.lose(error);
      else this.watch.fail(error);
    }
  }

  /** Nothing can be decided while other items are on their way. */
  change(changing) {
    this.changing = changing;
    this.emit("view");
  }

  async viewOnceRead(asked) {
    for (;;) {
      const found = await this.api.view(this.params);
      if (asked !== this.#asked) return null;
      if (found.wait === undefined) return found;
      this.reading = found.done;
      this.emit("view");
      await new Promise((resolve) => setTimeout(resolve, found.wait * 1000));
      if (asked !== this.#asked) return null;
    }
  }

  async adopt({ view, total, facets, reading }, held) {
    const same = this.plain && this.view !== null && held !== null;
    Object.assign(this, { view, total, facets: facets ?? {}, reading: null, outdated: false });
    if (same) this.windows.expire(null);
    else this.windows.clear();
    this.emit("view");
    if (held === null) this.select([]);
    if (held === null || this.#focus >= total) this.focus = this.#focus;
    if (held && !same) await this.follow(held);
    if (view === this.view) this.change(false);
    if (reading !== undefined) this.countLater();
  }

  /** Move the focus back to an item that is near its former place. */
  async follow(n) {
    const { view } = this;
    const from = Math.max(0, this.#focus - ITEMS_AT_ONCE / 2);
    const { items } = await this.api.items(view, from, ITEMS_AT_ONCE).catch(() => ({ items: [] }));
    const index = items.findIndex((row) => row.n === n);
    if (index >= 0 && view === this.view) this.focus = from + index;
  }

  /** Others have changed something: the view is asked for again where nothing moves by that, else on request. */
  outdate() {
    if (this.plain) return this.refresh();
    this.outdated = true;
    this.emit("view");
  }

  row(at) {
    return this.view === null || at < 0 || at >= this.total ? undefined : this.windows.row(at);
  }

  get focus() {
    return this.#focus;
  }

  set focus(at) {
    this.#focus = Math.max(0, Math.min(at, this.total - 1));
    this.emit("focus");
  }

  get focused() {
    return this.row(this.#focus);
  }

  /** Go to the next item that is `what` (undecided, flagged, failed); says so where there is none. */
  async goNext(what, back = false) {
    try {
      const { at } = await this.api.next(this.view, this.#focus, what, back);
      if (at === null) this.say(`said.no-${back ? "earlier" : "later"}-${what}`);
      else this.focus = at;
    } catch (error) {
      this.watch.fail(error);
    }
  }

  // What is chosen

  select(items, everything = false) {
    this.#range = null;
    this.selection = new Set(items);
    this.everything = everything;
    this.emit("selection");
  }

  toggleSelected(n) {
    const items = new Set(this.selection);
    if (!items.delete(n)) items.add(n);
    this.select(items);
  }

  isSelected(n) {
    return this.everything || this.selection.has(n);
  }

  /** Select all from one place to another, also those that aren't at hand; at most 5,000. */
  async selectRange(one, other) {
    const [from, until] = [Math.min(one, other), Math.max(one, other) + 1];
    if (until - from > RANGE_MOST) return this.say("said.range", { most: RANGE_MOST });
    const asked = (this.#range = {});
    try {
      const rows = await this.rowsFrom(from, until);
      if (asked === this.#range) this.select(rows.map(({ n }) => n));
    } catch (error) {
      this.watch.fail(error);
    }
  }

  async rowsFrom(from, until) {
    const rows = Array.from({ length: until - from }, (_, index) => this.row(from + index));
    if (rows.every(Boolean)) return rows;
    const starts = rows.map((_, index) => from + index).filter((at) => (at - from) % ITEMS_AT_ONCE === 0);
    const parts = await Promise.all(starts.map((at) => this.api.items(this.view, at, Math.min(ITEMS_AT_ONCE, until - at))));
    return parts.flatMap(({ items }) => items);
  }

  /** What an action is about: all that match, the selection, else the item with the focus; null where there is none. */
  get target() {
    if (this.changing) return null;
    if (this.everything) return { view: this.view };
    if (this.selection.size) return { items: [...this.selection] };
    return this.focused ? { items: [this.focused.n] } : null;
  }

  get targetSize() {
    return this.everything ? this.total : this.selection.size || (this.total ? 1 : 0);
  }

  // What is decided

  get unsaved() {
    return this.decisions.outbox.size;
  }

  verdict(row) {
    return this.decisions.of(row);
  }

  decide(target, verdict, more = {}) {
    return this.decisions.decide(target, verdict, more);
  }

  undo() {
    return this.decisions.undo();
  }

  /** Counts anew, of the same items. */
  async recount() {
    const asked = this.#asked;
    const found = await this.api.view(this.params).catch(() => ({}));
    if (asked !== this.#asked) return;
    this.facets = found.facets ?? {};
    this.emit("decisions");
    if (found.reading !== undefined) this.countLater();
  }

  /** The server still reads what it counts. */
  countLater() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.recount(), READ_MS);
  }
}
