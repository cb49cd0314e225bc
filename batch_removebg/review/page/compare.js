import { make } from "./dom.js";
import { text } from "./texts.js";
import { Gestures, Zoom } from "./zoom.js";

/** What may lie behind a cutout, as CSS has it; `preset` is the item's own. */
export const BACKDROPS = {
  checkerboard: "repeating-conic-gradient(#cccccc 0 25%, #ffffff 0 50%) 0 0 / 24px 24px",
  white: "#ffffff",
  black: "#000000",
  grey: "#808080",
  magenta: "#ff00ff",
  preset: null,
  source: "none",
};
const SCREEN_MOST = 2048; // px; the longest side of what is shown before somebody looks closer
const PIXELS_SEEN = 200; // %; from here on pixels are shown as squares
const EQUAL = [96, 192]; // grey where both alphas are 0, and where both are 255

/** The longest side in pixels of pictures that fill the screen. */
export function screenSize() {
  const longest = Math.max(window.innerWidth, window.innerHeight) * window.devicePixelRatio;
  return Math.min(SCREEN_MOST, 2 ** Math.ceil(Math.log2(longest)));
}

/**
 * The window onto a picture: up to two pictures on top of each other, what lies between them, and a slider.
 * A layer says which picture: {n, label, url(size), fresh}; `against` makes it the difference to another one.
 */
export class Stage {
  constructor(shelf, zoomed) {
    Object.assign(this, { shelf, zoomed, zoom: new Zoom(), turn: 0, layers: {}, shown: {} });
    this.build();
    this.gestures = new Gestures(this.host, this.zoom, () => this.place());
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  build() {
    this.under = make("div", { class: "layer" });
    this.over = make("div", { class: "layer", "data-over": true });
    this.marks = make("div", { class: "layer" });
    this.sheet = make("div", { class: "sheet" }, this.under, this.over, this.marks);
    const range = { type: "range", max: 100, step: 0.5, value: 50, "data-divider": true };
    this.divider = make("input", { ...range, "aria-label": text("loupe.compare"), input: () => this.place() });
    this.message = make("p", { class: "message", role: "status", hidden: true });
    this.host = make("div", { class: "view", tabindex: 0, role: "group", "aria-label": text("loupe.stage"), "data-stage": true },
      this.sheet, make("div", { class: "divider", "data-scope": "" }, this.divider), this.message);
  }

  /** Show layers {under, over}, either may be absent; resolves with whether they are still wanted once they are there. */
  async show(layers, compare = false) {
    const turn = ++this.turn;
    this.clear();
    const waiting = setTimeout(() => this.say(text("loupe.loading")), 300);
    const results = await Promise.all(["under", "over"].map((name) => this.loaded(layers[name], screenSize())));
    clearTimeout(waiting);
    if (turn !== this.turn) return false;
    this.layers = layers;
    this.shown = { under: results[0], over: results[1] };
    const failed = results.filter((result) => result?.error);
    this.host.classList.toggle("comparing", compare && !failed.length);
    this.put();
    this.say(failed.map(({ error }) => error).join(" "));
    return true;
  }

  clear() {
    this.shown = {};
    this.under.replaceChildren();
    this.over.replaceChildren();
    this.say("");
  }

  /** The picture of a layer, or {error}: words that say why there is none; null where there is no layer. */
  async loaded(layer, size) {
    if (!layer) return null;
    try {
      const picture = await this.shelf.get(layer.n, layer.url(size), layer.fresh);
      if (!layer.against) return { ...picture, size };
      const other = await this.shelf.get(layer.n, layer.against(size));
      return { ...picture, image: difference(picture.image, other.image), size: Infinity };
    } catch (error) {
      return { error: `${layer.label}: ${error.message}` };
    }
  }

  put() {
    for (const name of ["under", "over"]) {
      const { image } = this.shown[name] ?? {};
      this[name].replaceChildren(...(image ? [image] : []));
      if (image) Object.assign(image, { alt: this.layers[name].label, ariaLabel: this.layers[name].label });
    }
    this.resize();
  }

  /** The picture on show that says how large the whole is; undefined where there is none. */
  get picture() {
    return [this.shown.over, this.shown.under].find((picture) => picture?.image);
  }

  resize() {
    const { width, height } = this.host.getBoundingClientRect();
    if (width && height && this.picture) this.zoom.resize({ width, height }, this.picture);
    this.place();
  }

  /** Lay everything where the zoom has it. */
  place() {
    const { picture, zoom } = this;
    this.sheet.hidden = !picture;
    if (!picture) return;
    const { style } = this.sheet;
    [style.left, style.top] = [`${zoom.x}px`, `${zoom.y}px`];
    [style.width, style.height] = [`${picture.width * zoom.scale}px`, `${picture.height * zoom.scale}px`];
    this.sheet.classList.toggle("pixels", zoom.percent > PIXELS_SEEN);
    this.host.classList.toggle("zoomed", !zoom.fitted);
    this.divide();
    this.sharpen();
    this.zoomed();
  }

  /** Between the whole picture and its pixels, at the pointer or else in the middle. */
  toggle(centred) {
    this.zoom.toggle(centred ? this.zoom.centre : this.gestures.pointer);
    this.place();
  }

  zoomBy(factor) {
    this.zoom.by(factor, this.gestures.pointer);
    this.place();
  }

  pan(right, down) {
    this.zoom.pan(right, down);
    this.place();
  }

  /** Show the source on the left of the slider only. */
  divide() {
    const at = (this.zoom.window.width * this.divider.value) / 100;
    const comparing = this.host.classList.contains("comparing");
    this.over.style.clipPath = comparing ? `inset(0 0 0 ${at - this.zoom.x}px)` : "";
    this.divider.ariaValueText = text("loupe.divider.value", { n: Math.round(this.divider.value) });
  }

  /** Whether a picture is shown with fewer pixels than it has and the screen could show. */
  coarse(picture) {
    const longest = Math.max(picture.width, picture.height);
    const seen = longest * this.zoom.scale * window.devicePixelRatio;
    return picture.size < longest && seen > picture.size * 1.05;
  }

  /** Take the full pictures in place of those that have become too coarse. */
  async sharpen() {
    const { turn, layers, shown } = this;
    for (const [name, picture] of Object.entries(shown)) {
      if (!picture?.image || picture.sharpening || !this.coarse(picture)) continue;
      picture.sharpening = true;
      const full = await this.loaded(layers[name]);
      if (turn !== this.turn) return;
      if (full.image) this.shown[name] = { ...full, size: Infinity };
      this.put();
    }
  }

  say(words) {
    this.message.textContent = words;
    this.message.hidden = !words;
  }

  /** Draw boxes [left, top, width, height] in shares of the picture. */
  mark(boxes) {
    this.marks.replaceChildren(...boxes.map((box) => {
      const drawn = make("div", { class: "part", "data-suspect": true });
      ["left", "top", "width", "height"].forEach((side, index) => (drawn.style[side] = `${100 * box[index]}%`));
      return drawn;
    }));
  }
}

/** Where an alpha is less (red) or more (blue) than another one, as a picture of its size; grey where they are equal. */
function difference(image, other) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const [mine, theirs] = [image, other].map((one) => pixelsOf(one, width, height).data);
  const canvas = make("canvas", { width, height, role: "img" });
  const result = new ImageData(width, height);
  for (let at = 0; at < mine.length; at += 4) {
    const grey = EQUAL[0] + ((EQUAL[1] - EQUAL[0]) * Math.min(mine[at], theirs[at])) / 255;
    const more = mine[at] - theirs[at];
    const faded = grey * (1 - Math.abs(more) / 255);
    result.data.set([faded + Math.max(0, -more), faded, faded + Math.max(0, more), 255], at);
  }
  canvas.getContext("2d").putImageData(result, 0, 0);
  return canvas;
}

/** The pixels of a picture, drawn at a size. */
export function pixelsOf(image, width, height) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
