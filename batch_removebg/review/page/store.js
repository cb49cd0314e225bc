import { Refused, Unreachable } from "./api.js";
import { Outbox } from "./outbox.js";
import { text } from "./texts.js";
import { Windows } from "./windows.js";

const LOOK_EVERY_S = 2;
const GAPS_MOST_S = 30;
const READ_MS = 1000;
const UNDOS_KEPT = 50;
const RANGE_MOST = 5000;
const ITEMS_AT_ONCE = 500;
const VERDICTS = ["accepted", "rejected", "redo", "undecided"];

/** Whether an answer, or its absence, tells that the same may succeed later. */
function mayPass(error) {
  return error instanceof Unreachable || [401, 408, 429].includes(error.status) || error.status >= 500;
}

/** What the page knows, and what it has changed. Events: about view rows focus selection decisions unsaved said. */
export class Store extends EventTarget {
  #focus = 0;
  #asked = 0;
  #ours = new Set(); // items decided here, of which the server will tell as changed
  #undos = []; // of decisions on record, the latest last: {key, verdict, n, items}
  #misses = 0;

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
    this.reading = null; // 0–1 while the server still reads for the filter
    this.outdated = false; // others have changed what is shown
    this.problem = null; // a sentence, while the server can't be asked
    this.windows = new Windows({
      fetch: async (from, count) => (await api.items(this.view, from, count)).items,
      arrived: () => this.emit("rows"),
      failed: (error) => this.fail(error),
    });
    this.outbox = new Outbox({ retry: (error) => this.postpone(error), changed: () => this.emit("unsaved") });
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Tell the user something, once. */
  say(key, values) {
    this.emit("said", text(key, values));
  }

  async begin() {
    this.about = await this.api.about();
    this.revision = this.about.revision;
    this.emit("about");
    await this.refresh();
    if (this.api.live) this.watch();
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
    this.select([]);
    this.#focus = 0;
    return this.refresh(null);
  }

  toggle(kind, value) {
    const others = this.filter.filter(([one, other]) => one !== kind || other !== value);
    return this.setFilter(this.has(kind, value) ? others : [...others, [kind, value]]);
  }

  /** Ask for the view again, keeping the focus on its item, `held`, if it is still there about the same place. */
  async refresh(held = this.focused?.n) {
    const asked = ++this.#asked;
    try {
      const found = await this.viewOnceRead(asked);
      if (found) this.adopt(found, held);
    } catch (error) {
      if (error.status === 410) this.lose(error);
      else this.fail(error);
    }
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

  adopt({ view, total, facets, reading }, held) {
    const same = this.plain && this.view !== null && held !== null;
    Object.assign(this, { view, total, facets: facets ?? {}, reading: null, outdated: false });
    if (same) this.windows.expire(null);
    else this.windows.clear();
    this.emit("view");
    if (this.#focus >= total) this.focus = total - 1;
    if (held && !same) this.follow(held);
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
      this.fail(error);
    }
  }

  // What is chosen

  select(items, everything = false) {
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
    const { view } = this;
    const numbers = [];
    try {
      for (let at = from; at < until; at += 1)
        numbers.push((this.row(at) ?? (await this.fetched(at, until))(at)).n);
    } catch (error) {
      return this.fail(error);
    }
    if (view === this.view) this.select(numbers);
  }

  /** Rows from a place on that aren't kept: a function of the place. */
  async fetched(from, until) {
    const { items } = await this.api.items(this.view, from, Math.min(ITEMS_AT_ONCE, until - from));
    return (at) => items[at - from];
  }

  /** What an action is about: all that match, the selection, else the item with the focus; null where there is none. */
  get target() {
    if (this.everything) return { view: this.view };
    if (this.selection.size) return { items: [...this.selection] };
    return this.focused ? { items: [this.focused.n] } : null;
  }

  get targetSize() {
    return this.everything ? this.total : this.selection.size || (this.total ? 1 : 0);
  }

  // What is decided

  get unsaved() {
    return this.outbox.size;
  }

  /** The verdict on an item as far as it is on disk, and whether another is being saved. */
  verdict(row) {
    const job = this.outbox.jobs.findLast(({ view, items }) => (items ? items.has(row.n) : view === this.view));
    return { verdict: row.decision?.verdict ?? "undecided", note: row.decision?.note ?? "", saving: job?.verdict ?? null };
  }

  /** Undecided items of the view, and how many it has; null while the server hasn't counted. */
  get left() {
    const counts = this.facets.decision;
    if (!counts) return null;
    return { n: counts.undecided ?? 0, of: VERDICTS.reduce((sum, verdict) => sum + (counts[verdict] ?? 0), 0) };
  }

  /** Decide on `{items}` or `{view}`; `more`: note, redo. Resolves with whether it is on disk. */
  decide(target, verdict, more = {}) {
    const items = target.items && new Set(target.items);
    const send = async () => {
      const answer = await this.api.decide({ ...target, verdict, ...more });
      this.#undos = [...this.#undos, { key: answer.undo, items }].slice(-UNDOS_KEPT);
      return answer;
    };
    return this.record({ items, view: target.view, verdict, send }, ({ written }) => {
      this.take(items, verdict, more);
      this.sayDecided(verdict, written);
    });
  }

  /** Take the last decision back: one that isn't on its way yet, else the last on record. */
  async undo() {
    const waiting = this.outbox.jobs.at(-1);
    if (waiting && waiting.verdict !== "undo" && this.outbox.takeBack()) return this.say("said.undone");
    const last = waiting ?? this.#undos.at(-1);
    if (!last) return this.say("said.nothing-to-undo");
    const send = async () => {
      const { key } = this.#undos.pop() ?? {};
      if (!key) throw new Refused(text("said.too-many-to-undo"), 410);
      return this.api.undo(key);
    };
    await this.record({ items: last.items, view: last.view, verdict: "undo", send }, () => {
      this.take(null);
      this.say("said.undone");
    });
  }

  async record(job, then) {
    const answer = this.outbox.add(job);
    this.emit("decisions");
    let saved = true;
    try {
      then(await answer);
    } catch (error) {
      saved = false;
      if (error) this.say("said.not-saved", { why: error.message });
    }
    this.emit("decisions");
    return saved;
  }

  /** The server has written a verdict about items (null: about ones that it knows): show it so. */
  take(items, verdict, { note, redo } = {}) {
    for (const n of items ?? []) this.#ours.add(n);
    const rows = [...this.windows.rows()].filter((row) => items?.has(row.n));
    for (const row of rows) {
      this.tally(row.decision?.verdict ?? "undecided", verdict);
      const kept = note ?? row.decision?.note ?? "";
      row.decision = verdict === "undecided" && !kept ? null : { verdict, note: kept, t: new Date().toISOString(), redo: redo ?? null };
    }
    if (!items) this.windows.expire(null);
    if (rows.length !== items?.size) this.recount();
  }

  tally(former, verdict) {
    const counts = this.facets.decision;
    if (!counts || former === verdict) return;
    counts[former] -= 1;
    counts[verdict] = (counts[verdict] ?? 0) + 1;
  }

  sayDecided(verdict, n) {
    const left = this.left;
    const said = text(`said.${verdict}`, { n });
    this.emit("said", left ? text("said.left", { said, left: left.n, of: left.of }) : said);
  }

  /** Counts anew, of the same items. */
  async recount() {
    const found = await this.api.view(this.params).catch(() => ({}));
    if (found.facets) this.facets = found.facets;
    this.emit("decisions");
    if (found.reading !== undefined) this.countLater();
  }

  /** The server still reads what it counts. */
  countLater() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.recount(), READ_MS);
  }

  // What others change

  /** Ask for changes while the page is seen. */
  watch() {
    const again = () => {
      clearTimeout(this.timer);
      if (!document.hidden) this.look();
    };
    document.addEventListener("visibilitychange", again);
    addEventListener("online", again);
    this.lookLater();
  }

  lookLater() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    const gap = Math.min(LOOK_EVERY_S * 2 ** this.#misses, GAPS_MOST_S);
    this.timer = setTimeout(() => this.look(), gap * 1000);
  }

  async look() {
    try {
      const news = await this.api.changes(this.revision);
      if (this.problem) await this.reconnect();
      this.hear(news);
    } catch (error) {
      this.lose(error);
    }
    this.lookLater();
  }

  async reconnect() {
    this.about = await this.api.about();
    this.problem = null;
    this.#misses = 0;
    this.emit("about");
    await this.refresh();
    this.outbox.wake();
  }

  hear({ revision, run, counts, changed }) {
    Object.assign(this.about, { run, counts });
    this.emit("about");
    if (revision === this.revision) return;
    this.revision = revision;
    const others = changed === null || changed.some((n) => !this.#ours.has(n));
    this.#ours.clear();
    this.windows.expire(changed && new Set(changed));
    this.emit("rows");
    if (!others) return;
    if (this.plain) this.refresh();
    else {
      this.outdated = true;
      this.emit("view");
    }
  }

  /** The server couldn't be asked: say so, and ask again after a while. */
  lose(error) {
    this.#misses += 1;
    this.problem = error instanceof Refused ? error.message : text("problem.gone");
    this.emit("about");
  }

  /** A question failed: a view that is gone is asked for again, a server that is gone is waited for. */
  fail(error) {
    if (error.status === 410) this.refresh();
    else if (mayPass(error)) this.lose(error);
    else this.say("said.failed", { why: error.message });
  }

  /** Whether a change that wasn't taken is kept for later. */
  postpone(error) {
    const later = mayPass(error);
    if (later) this.lose(error);
    return later;
  }
}
