const WINDOW = 200;
const KEPT = 20;
const AT_ONCE = 2;
const WAITING = 3;

/** Rows of a view, fetched in windows as they are looked at; the windows looked at last are kept. */
export class Windows {
  /** `fetch(from, count)` resolves with rows; `arrived` is told of each window, `failed` of each error. */
  constructor({ fetch, arrived, failed }) {
    Object.assign(this, { fetch, arrived, failed });
    this.clear();
  }

  clear() {
    this.kept = new Map(); // number of the window → {rows, stale}; the one looked at last is the last
    this.wanted = []; // the one asked for last is the last, and the first to be fetched
    this.flying = new Map(); // number → {outdated}: whether what is fetched has changed meanwhile
    this.era = {}; // answers to questions of an earlier one are dropped
  }

  row(at) {
    const number = Math.floor(at / WINDOW);
    const found = this.kept.get(number);
    if (!found || found.stale) this.want(number);
    if (found) this.touch(number, found);
    return found?.rows[at % WINDOW];
  }

  touch(number, found) {
    if (this.latest === number) return;
    this.latest = number;
    this.kept.delete(number);
    this.kept.set(number, found);
  }

  want(number) {
    if (this.flying.has(number)) return;
    this.wanted = [...this.wanted.filter((other) => other !== number), number].slice(-WAITING);
    queueMicrotask(() => this.pump());
  }

  pump() {
    while (this.wanted.length && this.flying.size < AT_ONCE) this.load(this.wanted.pop());
  }

  async load(number) {
    const { era } = this;
    const flight = { outdated: false };
    this.flying.set(number, flight);
    try {
      const rows = await this.fetch(number * WINDOW, WINDOW);
      if (era === this.era) this.keep(number, { rows, stale: flight.outdated });
    } catch (error) {
      if (era === this.era) this.failed(error);
    } finally {
      if (era === this.era) this.flying.delete(number);
    }
    if (era !== this.era) return;
    this.pump();
    this.arrived();
  }

  keep(number, found) {
    this.kept.delete(number);
    this.kept.set(number, found);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    this.latest = null;
  }

  /** All rows at hand. */
  *rows() {
    for (const { rows } of this.kept.values()) yield* rows;
  }

  /** What is known of these items (null: of all) may be old: it is shown until the new is here. */
  expire(items) {
    for (const flight of this.flying.values()) flight.outdated = true;
    for (const found of this.kept.values())
      found.stale ||= items === null || found.rows.some((row) => items.has(row.n));
  }
}
