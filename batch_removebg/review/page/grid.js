import { framed, make, mark } from "./dom.js";
import { nameOf, text, visible } from "./texts.js";
import { Track } from "./track.js";

export const SIZES = { s: 116, m: 170, l: 290 }; // the least width of a cell, px
const CAPTION_PX = 26;
const NODES_MOST = 300;
const SPARE_ROWS = 2; // beyond what is seen: one on each side
const FAST_PX_MS = 4; // thumbs aren't fetched while the list flies by faster than this
const SETTLED_MS = 90;
const TRIES = 3;
const AGAIN_MS = 1500;
const MISSES_KEPT = 1000;
const SIGNS = { accepted: "✓", rejected: "✕", redo: "↻" };

/** Columns and rows that fill a window with cells at least `least` wide, without more nodes than allowed. */
export function layOut(width, height, least) {
  for (let wide = least; ; wide *= 1.05) {
    const columns = Math.max(1, Math.floor(width / wide));
    const cell = Math.floor(width / columns);
    const rowHeight = Math.min(cell, Math.max(height, wide)) + CAPTION_PX;
    const rows = Math.ceil(height / rowHeight) + 1 + SPARE_ROWS;
    if (columns === 1 || (rows + 1) * (1 + 2 * columns) + 2 <= NODES_MOST) return { columns, cell, rowHeight };
  }
}

/** The last part of a path or an address. */
function fileName(row) {
  return visible(row.source.split(/[\\/]/).filter(Boolean).at(-1) ?? row.id);
}

function flagNames(row, which = () => true) {
  return row.flags.filter(which).map((flag) => nameOf("flag", flag)).join(", ");
}

function badges(row) {
  if (row.status === "failed") return `✕ ${text("status.failed")}\n${row.error ?? ""}`;
  if (row.status !== "saved") return text(`status.${row.status}`);
  const ofPreset = (flag) => flag.includes(":");
  const flags = [flagNames(row, (flag) => !ofPreset(flag)), flagNames(row, ofPreset)].filter(Boolean);
  return [
    ...flags.map((names) => `⚑ ${names}`),
    row.held && `‖ ${text("badge.held")}`,
    row.edited && `✎ ${text("badge.edited")}`,
    row.waits && `… ${text("badge.waits")}`,
    row.missing && `! ${text("badge.missing")}`,
  ].filter(Boolean).join("\n");
}

function verdictBadge({ verdict, note, saving }) {
  if (saving) return `… ${text("verdict.saving")}`;
  return [SIGNS[verdict] && `${SIGNS[verdict]} ${text(`verdict.${verdict}`)}`, note && "✉"].filter(Boolean).join(" ");
}

/** What a screen reader says of a cell. */
function spoken(row, { verdict, note, saving }) {
  return [
    fileName(row),
    text(`status.${row.status}`),
    row.error,
    flagNames(row),
    row.held && text("badge.held"),
    row.edited && text("badge.edited"),
    row.waits && text("badge.waits"),
    row.missing && text("badge.missing"),
    text(saving ? "verdict.saving" : `verdict.${verdict}`),
    note && text("badge.note", { note }),
  ].filter(Boolean).join(", ");
}

/** A cell: the name is its text, badges are drawn from its attributes, the picture is its only child. */
function makeCell() {
  return make("div", { role: "gridcell", "data-cell": true, tabindex: -1 }, document.createTextNode(""),
    make("img", { alt: "", decoding: "async", draggable: "false" }));
}

/** The thumbnails of what `store` shows, in `host`, which scrolls; `open(at)` is called to look closer. */
export function makeGrid(host, store, { open }) {
  return new Grid(host, store, open);
}

class Grid {
  constructor(host, store, open) {
    Object.assign(this, { host, store, open });
    this.size = "m";
    this.rows = new Map(); // rows of the list that are in the page, by their number
    this.free = [];
    this.track = new Track();
    this.body = make("div", { role: "rowgroup", class: "track" });
    host.append(this.body);
    this.misses = new Map(); // how often a thumb couldn't be had, by its address
    this.epoch = 0; // cells painted in an earlier one are painted anew
    this.draw = framed(() => this.render());
    this.listen();
  }

  listen() {
    const { host, store } = this;
    new ResizeObserver(([entry]) => this.reshape({ width: entry.contentRect.width, height: entry.contentRect.height })).observe(host);
    host.addEventListener("scroll", this.draw, { passive: true });
    host.addEventListener("click", (event) => this.click(event));
    host.addEventListener("dblclick", (event) => this.cellOf(event) && this.open(store.focus));
    host.addEventListener("error", ({ target }) => this.missed(target), true);
    for (const name of ["rows", "selection", "decisions", "unsaved"]) store.addEventListener(name, () => this.repaint());
    store.addEventListener("view", () => this.measure());
    store.addEventListener("focus", () => this.show(store.focus));
  }

  repaint() {
    this.epoch += 1;
    this.draw();
  }

  /** Another `size`, or another `width` and `height` of the window: what was at the top stays there. */
  reshape(change) {
    const held = this.atTop;
    Object.assign(this, change);
    this.measure();
    if (held) this.scrollTo(Math.floor(held / this.columns) * this.rowHeight);
  }

  /** The first item that is seen. */
  get atTop() {
    return this.columns ? Math.round(this.track.top / this.rowHeight) * this.columns : 0;
  }

  measure() {
    if (!this.width || !this.height) return;
    const { columns, cell, rowHeight } = layOut(this.width, this.height, SIZES[this.size]);
    const moved = columns !== this.columns || rowHeight !== this.rowHeight;
    if (!moved) this.track.follow(this.host.scrollTop);
    Object.assign(this, { columns, cell, rowHeight, count: Math.ceil(this.store.total / columns) });
    this.thumb = cell * devicePixelRatio > 300 ? 512 : 256;
    this.track.resize(this.count * rowHeight, this.height);
    this.body.style.height = `${this.track.physical}px`;
    if (moved) this.rebuild();
    mark(this.host, "aria-busy", this.store.changing && "true");
    mark(this.host, "aria-rowcount", this.count);
    mark(this.host, "aria-colcount", columns);
    this.epoch += 1;
    this.scrollTo(this.track.top);
  }

  /** Rows of another shape: the cells at hand are put into them; whoever had the focus has it again. */
  rebuild() {
    this.regain = this.host.contains(document.activeElement);
    this.body.replaceChildren();
    this.rows.clear();
    this.free = [];
    this.host.style.setProperty("--columns", this.columns);
    this.host.style.setProperty("--cell", `${this.cell}px`);
    this.host.style.setProperty("--row", `${this.rowHeight}px`);
  }

  scrollTo(top) {
    const bar = this.track.goTo(top);
    if (Math.abs(this.host.scrollTop - bar) > 1) this.host.scrollTop = bar;
    this.draw();
  }

  /** Bring an item into sight and, if the grid had the focus, onto it. */
  show(at) {
    if (!this.columns) return;
    const row = Math.floor(at / this.columns) * this.rowHeight;
    const { top } = this.track;
    if (row < top) this.scrollTo(row);
    else if (row + this.rowHeight > top + this.height) this.scrollTo(row + this.rowHeight - this.height);
    this.regain ||= this.host.contains(document.activeElement);
    this.epoch += 1;
    this.render(); // at once, so that the next key already finds the focus there
  }

  /** Put the keyboard's focus on the item that has the store's. */
  takeFocus() {
    this.regain = true;
    this.render();
  }

  render() {
    if (!this.columns) return;
    const { track } = this;
    const before = track.top;
    track.follow(this.host.scrollTop);
    this.noteSpeed(Math.abs(track.top - before));
    const first = Math.max(0, Math.floor(track.top / this.rowHeight) - SPARE_ROWS / 2);
    const last = Math.min(this.count - 1, Math.floor((track.top + track.seen) / this.rowHeight) + SPARE_ROWS / 2);
    this.arrange(first, last, Math.floor(this.store.focus / this.columns));
    for (const [index, row] of this.rows) this.fill(row, index);
    if (this.regain) this.giveFocus();
  }

  noteSpeed(moved) {
    const now = performance.now();
    this.fast = moved / Math.max(1, now - (this.drawnAt ?? 0)) > FAST_PX_MS;
    this.drawnAt = now;
    if (!moved) return;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), SETTLED_MS);
  }

  /** The list stands still: the bar goes where it belongs, and thumbs are fetched. */
  settle() {
    this.fast = false;
    if (this.track.ratio !== 1) this.host.scrollTop = this.track.goTo(this.track.top);
    this.draw();
  }

  /** Have rows first…last in the page, and the one with the focus, so that its node stays; others are used again. */
  arrange(first, last, held) {
    for (const [index, row] of this.rows) {
      if ((index >= first && index <= last) || index === held) continue;
      this.rows.delete(index);
      this.free.push(row);
    }
    for (let index = first; index <= last; index += 1) this.place(index);
    if (this.store.total) this.place(held);
    for (const row of this.free) row.remove();
  }

  place(index) {
    if (this.rows.has(index)) return;
    const row = this.free.pop() ?? this.makeRow();
    if (!row.isConnected) this.body.append(row);
    this.rows.set(index, row);
    mark(row, "aria-rowindex", index + 1);
  }

  makeRow() {
    const row = make("div", { role: "row", class: "row" }, ...Array.from({ length: this.columns }, makeCell));
    [...row.children].forEach((cell, column) => cell.setAttribute("aria-colindex", column + 1));
    return row;
  }

  fill(row, index) {
    const drawn = `translateY(${Math.round(this.track.drawn(index * this.rowHeight))}px)`;
    if (row.drawn !== drawn) row.style.transform = row.drawn = drawn;
    for (let column = 0; column < this.columns; column += 1) this.paint(row.children[column], index * this.columns + column);
  }

  paint(cell, at) {
    const { store } = this;
    cell.hidden = at >= store.total;
    if (cell.hidden) return this.forget(cell);
    const row = store.row(at);
    this.picture(cell.lastChild, row);
    if (cell.at === at && cell.epoch === this.epoch) return;
    Object.assign(cell, { at, epoch: this.epoch });
    mark(cell, "data-at", at);
    mark(cell, "data-n", row?.n);
    mark(cell, "aria-selected", String(row ? store.isSelected(row.n) : store.everything));
    mark(cell, "data-focus", at === store.focus);
    cell.tabIndex = at === store.focus ? 0 : -1;
    this.describe(cell, row);
  }

  /** Nothing is in a cell: nobody is to find there what was. */
  forget(cell) {
    for (const name of ["data-at", "data-n", "data-focus"]) cell.removeAttribute(name);
    cell.at = null;
  }

  describe(cell, row) {
    const found = row && this.store.verdict(row);
    const name = row ? fileName(row) : "…";
    if (cell.firstChild.data !== name) cell.firstChild.data = name;
    mark(cell, "data-status", row?.status);
    mark(cell, "data-verdict", found && (found.saving ? "saving" : found.verdict));
    mark(cell, "data-badges", (row && badges(row)) || null);
    mark(cell, "data-decided", (found && verdictBadge(found)) || null);
    mark(cell, "aria-label", row ? spoken(row, found) : text("grid.loading", { n: cell.dataset.at }));
    mark(cell, "title", row && visible(row.id));
  }

  /** The thumb of a row; none while it can't be shown, or isn't worth fetching since the list flies by. */
  picture(image, row) {
    const kind = row?.status === "saved" && !row.missing ? "cutout" : "source";
    const wanted = row ? this.store.api.thumbUrl(row, kind, this.thumb) : "";
    if (image.wanted === wanted) return;
    image.removeAttribute("src");
    image.wanted = null;
    if (!wanted || this.fast || this.misses.get(wanted) > TRIES) return;
    image.wanted = wanted;
    image.src = wanted;
  }

  /** A thumb couldn't be had: too many are being made, or there is no picture. */
  missed(image) {
    const tried = (this.misses.get(image.wanted) ?? 0) + 1;
    if (this.misses.size > MISSES_KEPT) this.misses.clear();
    this.misses.set(image.wanted, tried);
    image.removeAttribute("src");
    image.wanted = null;
    if (tried <= TRIES) setTimeout(this.draw, AGAIN_MS * tried);
  }

  giveFocus() {
    this.regain = false;
    const { focus } = this.store;
    const row = this.rows.get(Math.floor(focus / this.columns));
    row?.children[focus % this.columns].focus({ preventScroll: true });
  }

  cellOf(event) {
    return event.target.closest("[data-cell]:not([hidden])");
  }

  click(event) {
    const cell = this.cellOf(event);
    if (!cell) return;
    const { store } = this;
    const at = Number(cell.dataset.at);
    const former = store.focus;
    this.regain = true;
    store.focus = at;
    if (event.shiftKey) this.extend(former, at);
    else if (event.ctrlKey || event.metaKey) store.focused && store.toggleSelected(store.focused.n);
    else store.select([]);
    if (!event.shiftKey) this.anchor = at;
  }

  /** Select from where the selection began to `at`. */
  extend(former, at) {
    this.anchor ??= former;
    this.store.selectRange(this.anchor, at);
  }

  /** Move the focus by so many items, with Shift selecting on the way; at an end it stays. */
  move(step, event) {
    const { store } = this;
    const former = store.focus;
    const at = former + step;
    if (at < 0 || (at >= store.total && Math.floor(former / this.columns) === this.count - 1)) return;
    this.moveTo(at, event);
  }

  moveTo(at, event) {
    const former = this.store.focus;
    this.store.focus = at;
    if (event.shiftKey) return this.extend(former, this.store.focus);
    this.anchor = null;
    if (!event.ctrlKey && (this.store.selection.size || this.store.everything)) this.store.select([]);
  }

  /** Rows in a window's height. */
  get page() {
    return Math.max(1, Math.floor(this.height / this.rowHeight)) * this.columns;
  }
}
