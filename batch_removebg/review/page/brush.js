import { pixelsOf, screenSize } from "./compare.js";
import { make } from "./dom.js";
import { AlphaSheet } from "./strokes.js";
import { text } from "./texts.js";

const MOST_POINTS = 10_000; // of one touch-up, as the server has it
const MOST_OPERATIONS = 500;
const MOST_SIZE = 2000; // px of the source
const LEAST_MOST = 50; // px; the largest brush on a very small picture
const SQUARE = 16; // px of a checkerboard's squares, a power of 2
const CHECKS = ["#cccccc", "#ffffff"];
const TINT = ["#e6003c", "#e6003c"];
const TINTED = 0.55; // how much of the source a tint hides

/** Strokes on the alpha of the picture that a stage shows, with a preview of what they make of it. */
export class Brush {
  /** `alpha`: the layer to draw on · `changed`: told when strokes, or what the brush is like, have changed. */
  constructor(stage, alpha, { changed, refuse }) {
    Object.assign(this, { stage, alpha, changed, refuse, operations: [], undone: [], stroke: null, at: null });
    Object.assign(this, { keep: false, size: 40, hardness: 0.7, cover: { colours: TINT, strength: TINTED }, armed: null });
    this.sheet = new AlphaSheet(new Uint8Array(0), 0, 0);
    this.canvas = make("canvas", { class: "layer", "aria-hidden": "true", "data-brush": true });
    this.cursor = make("div", { class: "brush-cursor", hidden: true });
  }

  /** Load the alpha and take the pointer; rejects with words for people where there is no alpha. */
  async begin() {
    await this.load(screenSize());
    if (this.ended) return;
    this.stage.sheet.append(this.canvas);
    this.stage.host.append(this.cursor);
    this.stage.gestures.painter = this;
    this.size = Math.max(4, Math.min(this.most, Math.round(24 / this.stage.zoom.scale)));
  }

  end() {
    this.ended = true;
    this.stage.gestures.painter = null;
    this.canvas.remove();
    this.cursor.remove();
  }

  async load(size) {
    const picture = await this.stage.shelf.get(this.alpha.n, this.alpha.url(size), this.alpha.fresh);
    const { naturalWidth: width, naturalHeight: height } = picture.image;
    const { data } = pixelsOf(picture.image, width, height);
    this.picture = { ...picture, size: size ?? Infinity };
    this.ratio = width / picture.width;
    this.sheet = new AlphaSheet(levels(data), width, height);
    Object.assign(this.canvas, { width, height });
    this.replay();
  }

  /** The stage has another zoom: a preview that is too coarse now is drawn on the full alpha. */
  zoomed() {
    this.point();
    if (this.sharpening || !this.picture || !this.stage.coarse(this.picture)) return;
    this.sharpening = this.load().catch((error) => this.refuse(error.message));
  }

  // What is drawn

  get full() {
    const points = this.operations.reduce((sum, { points: list }) => sum + (list?.length ?? 0), 0);
    return this.operations.length >= MOST_OPERATIONS || points >= MOST_POINTS * 0.9;
  }

  start(point) {
    if (this.full) return this.refuse(text("brush.full"));
    if (this.armed) return this.pick(this.armed === "only", point);
    this.stroke = { kind: "stroke", keep: this.keep, size: this.size, hardness: this.hardness, points: [] };
    this.extend(point);
  }

  extend({ x, y }) {
    const { points, size } = this.stroke;
    const point = [x, y].map((value) => Math.round(value * 100) / 100);
    const last = points.at(-1) ?? point;
    const apart = Math.hypot(point[0] - last[0], point[1] - last[1]);
    if (points.length && apart < Math.max(size / 20, 1 / this.stage.zoom.scale)) return;
    points.push(point);
    const [from, to] = [last, point].map((one) => one.map((value) => value * this.ratio));
    this.paint(this.sheet.segment({ ...this.stroke, radius: (size * this.ratio) / 2 }, from, to));
    if (points.length > MOST_POINTS / 10) this.restart(point);
  }

  /** Go on with a long stroke as another one. */
  restart([x, y]) {
    this.up();
    this.start({ x, y });
  }

  /** Keep only the blob at a point, or drop it. */
  pick(only, { x, y }) {
    this.armed = null;
    const at = [x, y].map(Math.floor);
    if (!this.sheet.solid(at.map((value) => Math.floor(value * this.ratio)))) this.refuse(text("brush.no-blob"));
    else this.add({ kind: "blob", only, at });
    this.changed();
  }

  add(operation) {
    this.operations.push(operation);
    this.undone = [];
    if (operation.kind === "blob") this.paint(this.sheet.draw(operation, this.ratio));
    this.changed();
  }

  undo() {
    if (this.operations.length) this.undone.push(this.operations.pop());
    this.replay();
    this.changed();
  }

  redo() {
    if (this.undone.length) this.operations.push(this.undone.pop());
    this.replay();
    this.changed();
  }

  replay() {
    this.sheet.reset();
    for (const operation of [...this.operations, this.stroke ?? []].flat()) this.sheet.draw(operation, this.ratio);
    this.paint(this.sheet.whole);
  }

  // How it looks

  /** Cover what is away with a tint, with a colour #rrggbb, or, for another backdrop, with a checkerboard. */
  showOn(backdrop, tinted) {
    const plain = backdrop.startsWith("#") ? [backdrop, backdrop] : CHECKS;
    this.cover = { colours: tinted ? TINT : plain, strength: tinted ? TINTED : 1 };
    this.paint(this.sheet.whole);
  }

  paint({ left, top, right, bottom }) {
    if (right <= left || bottom <= top) return;
    const { values, width } = this.sheet;
    const [one, other] = this.cover.colours.map(packed);
    const image = new ImageData(right - left, bottom - top);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = top, to = 0; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1, to += 1) {
        const hidden = (255 - values[y * width + x]) * this.cover.strength;
        pixels[to] = (hidden << 24) | ((x ^ y) & SQUARE ? one : other);
      }
    }
    this.canvas.getContext("2d").putImageData(image, left, top);
  }

  /** Draw the brush where it is. */
  point() {
    const { zoom, host } = this.stage;
    this.cursor.hidden = !this.at;
    host.classList.toggle("picking", Boolean(this.armed));
    if (!this.at) return;
    const { x, y } = zoom.toWindow(this.at);
    const { style } = this.cursor;
    [style.left, style.top, style.width] = [`${x}px`, `${y}px`, `${Math.max(4, this.size * zoom.scale)}px`];
    this.cursor.classList.toggle("keeping", this.keep);
  }

  // What holds it: a pointer, or keys

  /** Where it is, in pixels of the picture. */
  get place() {
    return this.at ?? this.stage.zoom.toPicture(this.stage.zoom.centre);
  }

  hover(at) {
    this.at = this.stage.zoom.toPicture(at);
    this.point();
  }

  down(event) {
    this.hover(this.stage.gestures.at(event));
    this.start(this.at);
  }

  move(event) {
    if (!this.stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.extend(this.stage.zoom.toPicture(this.stage.gestures.at(one)));
  }

  up() {
    if (this.stroke) this.add(this.stroke);
    this.stroke = null;
  }

  /** A second finger has come: the first hasn't drawn but begun to pinch. */
  cancel() {
    if (!this.stroke) return;
    this.stroke = null;
    this.replay();
  }

  wheel(turned) {
    this.resize(Math.exp(turned * 0.002));
  }

  /** The largest size. */
  get most() {
    const { width, height } = this.stage.zoom.picture;
    return Math.min(MOST_SIZE, Math.max(LEAST_MOST, Math.round(Math.max(width, height) / 4)));
  }

  resize(factor) {
    const step = factor > 1 ? Math.max(1, this.size * (factor - 1)) : Math.min(-1, this.size * (factor - 1));
    this.size = Math.max(1, Math.min(this.most, Math.round(this.size + step)));
    this.changed();
  }

  harden(more) {
    this.hardness = Math.max(0, Math.min(1, Math.round(10 * (this.hardness + more)) / 10));
    this.changed();
  }

  /** Move the brush by steps of two pixels of the screen, or at least one of the picture. */
  nudge(right, down) {
    const { zoom } = this.stage;
    const step = Math.max(1, 2 / zoom.scale);
    const from = this.place;
    const within = (value, most) => Math.max(0, Math.min(value, most));
    this.at = { x: within(from.x + right * step, zoom.picture.width), y: within(from.y + down * step, zoom.picture.height) };
    if (this.stroke) this.extend(this.at);
    this.reveal();
  }

  /** Pan so far that the brush is seen. */
  reveal() {
    const { zoom } = this.stage;
    const { x, y } = zoom.toWindow(this.at);
    const past = (value, room) => Math.min(0, room - 20 - value) + Math.max(0, 20 - value);
    this.stage.pan(past(x, zoom.window.width), past(y, zoom.window.height));
  }
}

/** The grey of image data, a byte for each pixel. */
function levels(data) {
  const values = new Uint8Array(data.length / 4);
  for (let at = 0; at < values.length; at += 1) values[at] = data[4 * at];
  return values;
}

/** #rrggbb as the lower bytes of a pixel of image data. */
function packed(colour) {
  const value = parseInt(colour.slice(1), 16);
  return ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
}
