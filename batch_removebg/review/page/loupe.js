import { Actions } from "./actions.js";
import { BACKDROPS, screenSize, Stage } from "./compare.js";
import { refill, Toolbar } from "./controls.js";
import { sectionsOf } from "./details.js";
import { make, mark } from "./dom.js";
import { help, once } from "./keys.js";
import { Shelf, wordsOf } from "./pictures.js";
import { number, text, visible } from "./texts.js";
import { TouchUp } from "./touchup.js";
import { ARROWS } from "./zoom.js";

const VIEWS = { cutout: [], compare: ["c"], alpha: ["m"], difference: ["d"], delivered: ["o"] }; // and their keys
const LAYERS = { bare: "cutout", source: "peek", alpha: "alpha", cutout: "delivered" }; // kinds of pictures, and their names
const DECISIONS = ["accept", "reject", "redo", "note", "undecide", "undo"];
const PAN_STEP = 60; // px of the window
const ZOOM_STEP = 1.25;

/** Look closely at the item at a place of the store's view; Esc goes back. */
export function openLoupe(store, at) {
  store.focus = at;
  new Loupe(store).open();
}

/** A dialog over the whole window: tools, one picture, and what is known of it. */
class Loupe {
  constructor(store) {
    Object.assign(this, { store, row: null, detail: null, output: 0, version: null, boxes: false });
    Object.assign(this, { view: "cutout", backdrop: "checkerboard" });
    this.shelf = new Shelf();
    this.stage = new Stage(this.shelf, () => this.zoomed());
    this.actions = this.actionsOf(new Actions(store));
    this.tools = new Toolbar("loupe", this.actions);
    this.build();
    this.listen();
  }

  build() {
    const { tools } = this;
    this.place = make("span", { class: "place" });
    this.name = make("bdi", {});
    this.verdict = make("span", { class: "badge", "data-verdict": true });
    this.status = make("p", { class: "said", role: "status", "data-said": true });
    this.info = make("aside", { class: "info", "aria-label": text("loupe.info"), tabindex: 0, "data-info": true });
    this.info.hidden = window.innerWidth < 900;
    const backdrops = { class: "group", role: "group", "aria-label": text("loupe.backdrop") };
    this.swatches = make("div", backdrops, ...Object.keys(BACKDROPS).map((name) => this.swatch(name)));
    this.alarm = make("p", { class: "unsaved", role: "alert", "data-alarm": true, hidden: true });
    this.choices = make("div", { class: "group", "data-choices": true });
    this.lost = make("p", { class: "message lost", role: "alert", "data-lost": true, hidden: true });
    this.stage.host.append(this.lost);
    const title = make("div", { class: "title", "aria-live": "polite", "aria-atomic": "true" },
      make("h2", { id: "loupe-title" }, this.name), this.place, this.verdict);
    this.head = make("header", { class: "tools" },
      tools.group("go", ["close", "previous", "next"]), title, this.decisions(), this.alarm);
    this.bar = make("div", { class: "tools", role: "toolbar", "aria-label": text("bar.label") },
      tools.group("view", [...Object.keys(VIEWS), "peek"]), this.swatches,
      tools.group("zoom", ["zoom-out", "zoom", "zoom-in"]), tools.group("more", ["edit", "info", "keys"]));
    const whole = { class: "loupe", "aria-labelledby": "loupe-title", "data-loupe": true, "data-scope": "loupe" };
    this.dialog = make("dialog", { ...whole, tabindex: -1 }, // so that keys act after a click beside everything
      this.head, this.bar, this.stage.host, this.info, make("footer", { class: "tools foot" }, this.status, this.choices));
  }

  decisions() {
    const group = this.tools.group("decide", DECISIONS);
    group.hidden = this.store.api.readOnly;
    return group;
  }

  swatch(name) {
    const label = text(`loupe.backdrop.${name}`);
    const attributes = { type: "button", class: "swatch", title: label, "aria-label": label, "data-swatch": name };
    const button = make("button", { ...attributes, click: () => this.setBackdrop(name) });
    if (name !== "source") button.style.background = BACKDROPS[name];
    return button;
  }

  listen() {
    const show = () => this.show();
    this.heard = Object.entries({
      rows: show,
      focus: show,
      view: show,
      decisions: () => this.describe(),
      said: ({ detail }) => this.say(detail),
      unsaid: ({ detail }) => this.status.textContent === detail && this.say(""),
      about: () => this.recover(),
      unsaved: () => this.warn(),
    });
    this.dialog.addEventListener("cancel", (event) => event.target === this.dialog && (event.preventDefault(), this.close()));
    this.dialog.addEventListener("keyup", (event) => event.key.toLowerCase() === "v" && this.peeking && this.choose({ peeking: false }));
  }

  open() {
    const { selection, everything } = this.store;
    this.store.select([]); // decisions here are about the picture that is seen
    for (const [name, hear] of this.heard) this.store.addEventListener(name, hear);
    this.dialog.addEventListener("close", () => this.closed(selection, everything), { once: true });
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.stage.host.focus();
    this.show();
  }

  closed(selection, everything) {
    for (const [name, hear] of this.heard) this.store.removeEventListener(name, hear);
    this.store.select(selection, everything);
    this.shelf.clear();
    this.dialog.remove();
  }

  // What is done

  actionsOf(decide) {
    const { store, stage } = this;
    const judge = (name) => once(() => this.decide(name, () => decide[name]()));
    const turnTo = (name) => this.choose({ view: this.view === name ? "cutout" : name });
    const views = Object.entries(VIEWS).map(([name, keys]) => [name, [keys, () => turnTo(name)]]);
    return {
      close: [["Escape"], () => this.close()],
      previous: [["ArrowLeft", "["], () => this.go(-1)],
      next: [["ArrowRight", "]"], () => this.go(1)],
      "next-undecided": [[";"], () => store.goNext("undecided")],
      "next-flagged": [["."], () => store.goNext("flagged")],
      "last-flagged": [[","], () => store.goNext("flagged", true)],
      accept: [[" ", "p"], judge("accept")],
      reject: [["x"], judge("reject")],
      redo: [["r"], judge("redo")],
      note: [["n"], once(() => decide.note())],
      undecide: [["u", "Backspace"], once(() => decide.undecide())],
      undo: [["Ctrl+z"], once(() => decide.undo())],
      ...Object.fromEntries(views),
      peek: [["v"], ({ type, repeat }) => repeat || this.choose({ peeking: type === "keydown" || !this.peeking })],
      backdrop: [["b"], () => this.setBackdrop(this.nextBackdrop())],
      zoom: [["z"], ({ type }) => stage.toggle(type === "click")],
      "zoom-in": [["+", "="], () => stage.zoomBy(ZOOM_STEP)],
      "zoom-out": [["-"], () => stage.zoomBy(1 / ZOOM_STEP)],
      pan: [Object.keys(ARROWS).map((key) => `Shift+${key}`), ({ key }) => stage.pan(...ARROWS[key].map((step) => -PAN_STEP * step))],
      edit: [["e"], () => (this.touchUp ? this.touchUp.leave() : this.edit())],
      info: [["i"], () => this.toggleInfo()],
      keys: [["?"], () => help()],
    };
  }

  async close() {
    if (!this.touchUp || (await this.touchUp.leave())) this.dialog.close();
  }

  go(step) {
    const at = this.store.focus + step;
    if (at < 0 || at >= this.store.total) return;
    performance.mark("loupe:key");
    this.store.focus = at;
  }

  /** Do what decides on this picture, once it is on the screen (or, but to accept it, can't be), and go on to the next. */
  async decide(name, act) {
    const seen = this.seen === this.state && (this.stage.picture || name !== "accept");
    if (!seen) this.say(text("loupe.unseen"));
    else if (await act()) this.go(1);
  }

  /** Show the picture in another way. */
  choose(values) {
    Object.assign(this, values);
    this.draw();
  }

  nextBackdrop() {
    const offered = Object.keys(BACKDROPS).filter((name) => name !== "preset" || this.detail?.backdrop);
    return offered[(offered.indexOf(this.backdrop) + 1) % offered.length];
  }

  setBackdrop(name) {
    this.backdrop = name;
    if (this.touchUp) this.touchUp.tint(false);
    else this.draw();
  }

  toggleInfo() {
    this.info.hidden = !this.info.hidden;
    this.describe();
  }

  /** Ask again for what couldn't be had while the server didn't answer. */
  recover() {
    const back = this.gone && !this.store.problem;
    this.gone = Boolean(this.store.problem);
    if (back) this.state = null;
    if (back) this.show();
    this.warn();
  }

  /** Tell of a server that is gone, since the page's own words are covered. */
  warn() {
    const { problem, unsaved } = this.store;
    this.alarm.hidden = !problem;
    this.alarm.textContent = [problem, unsaved && text("unsaved", { n: unsaved })].filter(Boolean).join(" ");
  }

  // What is shown

  /** Show the item that has the focus, as far as it is another one than before. */
  show() {
    const row = this.store.row(this.store.focus);
    if (!row || this.touchUp) return row ?? this.say(text("loupe.loading"));
    const state = [row.n, row.status, row.sha256, row.edited, row.waits].join();
    const same = state === this.state;
    if (row.n !== this.row?.n) this.begin();
    else if (!same) this.shelf.forget(row.n);
    if (!same) this.detail = null;
    Object.assign(this, { row, state });
    this.describe();
    if (!same) this.look();
  }

  /** Another item: nothing is chosen or said of it yet. */
  begin() {
    Object.assign(this, { output: 0, version: null, peeking: false });
    this.say("");
  }

  /** The picture first, then what is known of it, then the pictures beside it. */
  async look() {
    const { state, row } = this;
    await this.draw();
    if (state !== this.state) return;
    const detail = await this.store.api.item(row.n).catch((error) => this.say(wordsOf(error)));
    if (state !== this.state) return;
    this.detail = detail;
    this.describe();
    if (this.view === "difference") await this.draw();
    for (const step of [1, -1, 2]) this.prefetch(this.store.row(this.store.focus + step));
  }

  prefetch(row) {
    if (!row) return;
    const layers = Object.values({ ...this.layers(row), source: this.layer("source", {}, row) });
    for (const layer of layers) this.shelf.get(layer.n, layer.url(screenSize()), layer.fresh).catch(() => null);
  }

  async draw() {
    this.drawBackdrop();
    this.offer();
    const { state } = this;
    const compare = this.view === "compare" && !this.peeking;
    const wanted = await this.stage.show(this.layers(this.row), compare);
    if (!wanted) return;
    const { error, outputs, status } = this.row;
    if (!outputs.length) this.stage.say(text("loupe.no-cutout", { why: error ?? text(`status.${status}`) }));
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.seen = state; // or it was said why there is no picture
      performance.mark("loupe:shown");
    }));
  }

  /** A picture of an item as the stage takes it. */
  layer(kind, options = {}, row = this.row) {
    const url = (size) => this.store.api.pictureUrl(row, kind, { size, ...options });
    return { n: row.n, label: `${visible(row.id)}: ${text(`loupe.${LAYERS[kind]}`)}`, url, fresh: row.edited };
  }

  layers(row) {
    const layer = (kind, options) => this.layer(kind, options, row);
    if (this.peeking || !row.outputs.length) return { under: layer("source") };
    switch (this.view) {
      case "compare": return { under: layer("source"), over: layer("bare") };
      case "alpha": return { over: layer("alpha") };
      case "difference": return { over: this.differing(layer) };
      case "delivered": return { over: layer("cutout", { output: this.output }) };
      default: return this.backdrop === "source" ? { under: layer("source"), over: layer("bare") } : { over: layer("bare") };
    }
  }

  differing(layer) {
    const version = this.version ?? this.others()[0]?.id;
    return version === undefined ? layer("alpha") : { ...layer("alpha"), against: layer("alpha", { version }).url };
  }

  /** Alphas that the one on show can be compared with. */
  others() {
    return (this.detail?.versions ?? []).filter(({ current }) => !current);
  }

  drawBackdrop() {
    const { dialog, view, backdrop, detail } = this;
    const behind = BACKDROPS[backdrop] ?? detail?.backdrop ?? "none";
    const plain = ["alpha", "difference"].includes(view);
    mark(dialog, "data-view", view);
    mark(dialog, "data-backdrop", plain ? "none" : backdrop);
    this.stage.over.style.background = plain ? "none" : behind;
    for (const button of this.swatches.children) mark(button, "aria-pressed", String(button.dataset.swatch === backdrop));
    const own = this.swatches.querySelector("[data-swatch=preset]");
    own.style.visibility = detail?.backdrop ? "" : "hidden";
    own.style.background = detail?.backdrop ?? "none";
    this.swatches.classList.toggle("out", plain); // it keeps its place, so that the picture does
    this.touchUp?.showOn(behind);
  }

  /** What the view lets choose: a preset, or another alpha. */
  offer() {
    const offered = { delivered: () => this.tabs(), difference: () => this.versions() }[this.view]?.() ?? [];
    refill(this.choices, offered, this.stage.host);
    this.tools.press({ ...Object.fromEntries(Object.keys(VIEWS).map((name) => [name, this.view === name])), peek: this.peeking });
  }

  tabs() {
    return this.row.outputs.map(({ preset, output }, index) => {
      const attributes = { type: "button", "aria-pressed": String(index === this.output), "data-output": index };
      return make("button", { ...attributes, click: () => this.choose({ output: index }) }, make("bdi", {}, visible(preset || output)));
    });
  }

  versions() {
    const others = this.others();
    if (!others.length) return [make("span", {}, text(this.detail ? "loupe.no-versions" : "loupe.loading"))];
    const options = others.map(({ id, name }) => make("option", { value: id, selected: id === this.version }, name));
    const select = make("select", { "data-versions": true, change: () => this.choose({ version: select.value }) }, ...options);
    const legend = ["less", "more", "equal"].map((name) => make("span", { class: `legend ${name}` }, text(`loupe.legend.${name}`)));
    return [make("label", {}, text("loupe.versions"), " ", select), ...legend];
  }

  describe() {
    const { row, store } = this;
    if (!row) return;
    const verdict = store.verdict(row);
    this.name.textContent = visible(row.id);
    this.place.textContent = text("loupe.place", { at: store.focus + 1, of: store.total });
    mark(this.verdict, "data-verdict", verdict.verdict);
    this.verdict.textContent = verdict.saving ? text("verdict.saving") : text(`verdict.${verdict.verdict}`);
    this.tools.enable({ edit: this.editable, previous: store.focus > 0, next: store.focus < store.total - 1 });
    this.tools.press({ info: !this.info.hidden, edit: this.touchUp });
    this.drawBackdrop();
    this.lost.hidden = !(this.detail ?? row).missing;
    this.lost.textContent = this.lost.hidden ? "" : text("loupe.missing");
    const boxes = { on: this.boxes, toggle: (on) => ((this.boxes = on), this.describe()) };
    this.stage.mark(this.boxes ? (this.detail?.suspect ?? []) : []);
    if (!this.info.hidden) refill(this.info, sectionsOf(row, this.detail, verdict, boxes), this.info);
  }

  zoomed() {
    this.tools.buttons.zoom.firstChild.textContent = number(this.stage.zoom.percent / 100, { style: "percent" });
    this.touchUp?.brush.zoomed();
  }

  say(words) {
    this.status.textContent = words ?? "";
  }

  // The brush

  get editable() {
    return this.row?.outputs.length > 0 && !this.store.api.readOnly;
  }

  async edit() {
    if (!this.editable) return;
    this.view = "cutout";
    this.offer();
    const touchUp = new TouchUp(this);
    this.touchUp = touchUp;
    mark(this.dialog, "data-scope", "brush");
    this.bar.prepend(touchUp.bar);
    this.describe();
    this.stage.host.focus();
    await this.stage.show({ under: this.layer("source") });
    if (!this.stage.picture) await this.stage.show({ under: this.layer("bare") });
    await touchUp.begin().catch((error) => touchUp === this.touchUp && touchUp.close(error.message));
  }

  /** The touch-up is over: show what it has come to. */
  ended(said) {
    this.touchUp.bar.remove();
    this.touchUp = null;
    mark(this.dialog, "data-scope", "loupe");
    this.shelf.forget(this.row.n);
    this.state = null;
    this.show();
    this.say(said);
    this.stage.host.focus();
  }
}
