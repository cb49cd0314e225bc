export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MOST_FITTED = 2; // times its own size
const MOST_PERCENT = 3200;

/**
 * Where a picture lies behind a window: fitted into it, or larger and panned.
 * Points and lengths are CSS pixels of the window; `scale` is CSS pixels for one pixel of the picture.
 */
export class Zoom {
  constructor() {
    this.window = { width: 1, height: 1 };
    this.picture = { width: 1, height: 1 };
    this.fitted = true;
    this.fit();
  }

  /** The scale of 100 %: one pixel of the picture on one pixel of the screen. */
  get actual() {
    return 1 / window.devicePixelRatio;
  }

  /** The scale at which the whole picture is seen; a small one is enlarged to 200 % at most. */
  get fitting() {
    const { width, height } = this.picture;
    return Math.min(MOST_FITTED * this.actual, this.window.width / width, this.window.height / height);
  }

  get percent() {
    return Math.round((100 * this.scale) / this.actual);
  }

  get centre() {
    return { x: this.window.width / 2, y: this.window.height / 2 };
  }

  /** Take another window or picture; what was in the middle stays there, unless the picture is another one. */
  resize(size, picture) {
    const middle = this.toPicture(this.centre);
    const same = picture.width === this.picture.width && picture.height === this.picture.height;
    this.window = size;
    this.picture = picture;
    if (this.fitted || !same) this.fit();
    else this.hold(middle, this.centre);
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitting;
    this.hold({ x: this.picture.width / 2, y: this.picture.height / 2 }, this.centre);
  }

  /** Between the whole picture and its pixels, at a point. */
  toggle(at) {
    if (this.fitted) this.to(this.actual, at);
    else this.fit();
  }

  by(factor, at) {
    this.to(this.scale * factor, at);
  }

  to(scale, at) {
    const held = this.toPicture(at);
    this.scale = Math.max(Math.min(this.fitting, this.actual), Math.min(scale, (MOST_PERCENT / 100) * this.actual));
    this.fitted = this.scale === this.fitting;
    this.hold(held, at);
  }

  pan(right, down) {
    this.move(this.x + right, this.y + down);
  }

  /** Lay a point of the picture below a point of the window. */
  hold(point, at) {
    this.move(at.x - point.x * this.scale, at.y - point.y * this.scale);
  }

  move(x, y) {
    this.x = kept(x, this.picture.width * this.scale, this.window.width);
    this.y = kept(y, this.picture.height * this.scale, this.window.height);
  }

  toPicture(at) {
    return { x: (at.x - this.x) / this.scale, y: (at.y - this.y) / this.scale };
  }

  toWindow(point) {
    return { x: this.x + point.x * this.scale, y: this.y + point.y * this.scale };
  }
}

/** An edge at which a length fills the room, or lies in its middle where it is shorter. */
function kept(edge, length, room) {
  return length <= room ? (room - length) / 2 : Math.max(room - length, Math.min(edge, 0));
}

/**
 * Mouse, pen and fingers on a window: wheel and pinch zoom, a double click toggles, a drag pans.
 * While there is a `painter` a single pointer is its own: `down`, `move`, `up`, `cancel`, `hover` and `wheel`.
 */
export class Gestures {
  constructor(host, zoom, changed) {
    Object.assign(this, { host, zoom, changed, painter: null, pointers: new Map(), last: null });
    host.addEventListener("pointerdown", (event) => this.down(event));
    host.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) host.addEventListener(end, (event) => this.up(event));
    host.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    host.addEventListener("dblclick", (event) => this.toggle(event));
  }

  /** Where an event is, in the window. */
  at(event) {
    const box = this.host.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** Where the pointer is, or else the middle. */
  get pointer() {
    return this.last ?? this.zoom.centre;
  }

  toggle(event) {
    if (this.painter || event.target.closest("input")) return;
    this.zoom.toggle(this.at(event));
    this.changed();
  }

  down(event) {
    if (event.button > 1 || event.target.closest("input")) return;
    this.host.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    this.painting = Boolean(this.painter) && this.pointers.size === 1 && event.button === 0;
    if (this.painting) this.painter.down(event);
    else this.painter?.cancel();
  }

  move(event) {
    const at = this.at(event);
    this.last = at;
    this.painter?.hover(at);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.painting) {
      this.painter.move(event);
    } else {
      if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
      else this.zoom.pan(at.x - before.x, at.y - before.y);
      this.changed();
    }
    this.pointers.set(event.pointerId, at);
  }

  /** Two fingers: the middle between them pans, their distance zooms. */
  pinch(id, before, at) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, point]) => point);
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    this.zoom.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.zoom.by(apart(at) / apart(before), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.painting) this.painter?.up();
    this.painting = false;
    if (event.pointerType === "touch") this.last = null;
  }

  wheel(event) {
    event.preventDefault();
    const turned = -event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    if (event.altKey && this.painter) return this.painter.wheel(turned);
    this.zoom.by(Math.exp(turned * (event.ctrlKey ? 0.01 : 0.002)), this.at(event));
    this.changed();
  }
}
