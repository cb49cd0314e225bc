import { Refused, mayPass } from "./api.js";
import { remember, remembered } from "./dom.js";
import { Outbox } from "./outbox.js";
import { text } from "./texts.js";

const UNDOS_KEPT = 50;
const VERDICTS = ["accepted", "rejected", "redo", "undecided"];

/** Verdicts given on this page: on their way, on disk, taken back. Nothing is shown as decided before it is on disk. */
export class Decisions {
  constructor(store) {
    this.store = store;
    this.undos = []; // of what is on disk, the latest last: {key, items, view}
    this.own = new Set(); // items decided here, of which the server will yet tell that they have changed
    this.ownAll = false; // or any that it tells of
    this.outbox = new Outbox({ retry: (error) => this.keep(error), changed: () => this.note() });
    this.told = null; // what was said of the last decision, and the counts in it
    for (const name of ["view", "decisions"]) store.addEventListener(name, () => this.unsay());
  }

  /** Keep what is on its way over a reload of this tab, by the name of OUT. */
  note() {
    const { about } = this.store;
    const asked = this.outbox.jobs.flatMap((job) => job.asked ?? []);
    remember(`unsaved.${about.out}`, JSON.stringify(asked), "sessionStorage");
    this.store.emit("unsaved");
  }

  /** Send what was still on its way when this tab was loaded again. */
  restore() {
    if (this.restored) return;
    this.restored = true;
    const kept = JSON.parse(remembered(`unsaved.${this.store.about.out}`, "sessionStorage") ?? "[]");
    for (const asked of kept) this.decide(asked, asked.verdict, asked.more, asked);
  }

  /** Whether numbers still mean what they did: another OUT of that name may be here by now, or another picture. */
  async check({ items, sha256 }) {
    const found = await this.store.api.item(items[0]);
    if (found.sha256 !== sha256) throw new Refused(text("said.other-picture"), 409);
  }

  /** Whether a change that wasn't taken is kept for later. */
  keep(error) {
    const later = mayPass(error);
    if (later) this.store.watch.lose(error);
    return later;
  }

  /** The verdict on an item as far as it is on disk, and the one that is being saved. */
  of(row) {
    const job = this.outbox.jobs.findLast(({ view, items }) => (items ? items.has(row.n) : view === this.store.view));
    return { verdict: row.decision?.verdict ?? "undecided", note: row.decision?.note ?? "", saving: job?.verdict ?? null };
  }

  /** Decide on `{items}` or `{view}`; `more`: note, redo; `kept`: from before a reload. Resolves with whether it is on disk. */
  decide({ items, view }, verdict, more, kept = null) {
    const { store } = this;
    const first = items && [...store.windows.rows()].find(({ n }) => n === items[0]);
    const asked = kept ?? { items, view, verdict, more, sha256: first?.sha256 };
    const about = { items: items && new Set(items), view };
    const send = async () => {
      if (kept?.sha256 !== undefined) await this.check(kept);
      const answer = await store.api.decide({ items, view, verdict, ...more });
      this.undos = [...this.undos, { key: answer.undo, ...about }].slice(-UNDOS_KEPT);
      return answer;
    };
    return this.record({ ...about, verdict, send, asked }, async ({ written }) => {
      await this.apply(about.items, verdict, more);
      this.sayDecided(verdict, written);
    });
  }

  /** Take the last decision back: one that isn't on its way yet, else the last on disk. */
  async undo() {
    const waiting = this.outbox.jobs.at(-1);
    if (waiting && waiting.verdict !== "undo" && this.outbox.takeBack()) return this.store.say("said.undone");
    const last = waiting ?? this.undos.at(-1);
    if (!last) return this.store.say("said.nothing-to-undo");
    const send = async () => {
      const { key } = this.undos.pop() ?? {};
      if (!key) throw new Refused(text("said.too-many-to-undo"), 400);
      return this.store.api.undo(key);
    };
    await this.record({ items: last.items, view: last.view, verdict: "undo", send }, ({ left }) => {
      this.store.windows.expire(null);
      this.store.recount();
      this.store.say(left ? "said.undone-left" : "said.undone", { n: left });
    });
  }

  async record(job, then) {
    const { store } = this;
    for (const n of job.items ?? []) this.own.add(n);
    this.ownAll ||= !job.items;
    const answer = this.outbox.add(job);
    store.emit("decisions");
    let saved = true;
    try {
      await then(await answer);
    } catch (error) {
      saved = false;
      if (error) store.say("said.not-saved", { why: error.message });
      if (error?.status === 410) store.refresh();
    }
    store.emit("decisions");
    return saved;
  }

  /** The server has written a verdict about items (null: about all of the view): show it so, and count. */
  async apply(items, verdict, { note, redo }) {
    const { store } = this;
    const rows = [...store.windows.rows()].filter((row) => items?.has(row.n));
    for (const row of rows) {
      this.tally(row.decision?.verdict ?? "undecided", verdict);
      const kept = note ?? row.decision?.note ?? "";
      row.decision = verdict === "undecided" && !kept ? null : { verdict, note: kept, t: new Date().toISOString(), redo: redo ?? null };
    }
    if (!items) store.windows.expire(null);
    if (rows.length !== items?.size) await store.recount();
  }

  tally(former, verdict) {
    const counts = this.store.facets.decision;
    if (!counts || former === verdict) return;
    counts[former] -= 1;
    counts[verdict] = (counts[verdict] ?? 0) + 1;
  }

  sayDecided(verdict, n) {
    const name = text(`verdict.${verdict}`);
    const said = n === 1 ? name : text("count", { n, name });
    const { counts } = this;
    this.told = { counts, words: counts ? text("said.left", { said, ...counts }) : said };
    this.store.emit("said", this.told.words);
  }

  /** How many of those on show are undecided, of how many; null where that isn't known. */
  get counts() {
    const { facets, outdated } = this.store;
    if (!facets.decision || outdated) return null;
    const of = VERDICTS.reduce((sum, name) => sum + (facets.decision[name] ?? 0), 0);
    return { left: facets.decision.undecided ?? 0, of };
  }

  /** What was said of the last decision isn't so any more. */
  unsay() {
    if (!this.told?.counts || JSON.stringify(this.told.counts) === JSON.stringify(this.counts)) return;
    this.store.emit("unsaid", this.told.words);
    this.told = null;
  }

  /** Whether others than this page have changed something, going by items of which the server tells (null: many). */
  areOthers(changed) {
    const others = !this.ownAll && (changed === null || changed.some((n) => !this.own.has(n)));
    this.ownAll = false;
    for (const n of changed ?? [...this.own]) this.own.delete(n);
    return others;
  }
}
