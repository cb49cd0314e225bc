import { Brush } from "./brush.js";
import { slider, Toolbar } from "./controls.js";
import { make, showDialog } from "./dom.js";
import { text } from "./texts.js";

const BRUSH_KEYS = {
  keep: ["k"],
  erase: ["e"],
  smaller: ["["],
  larger: ["]"],
  softer: ["{"],
  harder: ["}"],
  "undo-stroke": ["Ctrl+z"],
  "redo-stroke": ["Ctrl+Shift+z", "Ctrl+y"],
  only: ["o"],
  drop: ["d"],
  tint: ["t"],
  backdrop: ["b"],
  zoom: ["z"],
  "zoom-in": ["+", "="],
  "zoom-out": ["-"],
  move: ["", "Shift+"].flatMap((shift) => ["Left", "Right", "Up", "Down"].map((side) => `${shift}Arrow${side}`)),
  paint: [" "],
  save: ["Enter"],
  leave: ["Escape"],
  keys: ["?"],
};
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The loupe while the alpha of its picture is touched up: a bar of its own, keys, saving and leaving. */
export class TouchUp {
  /** `loupe` gives `stage row store layer(kind) say(words) drawBackdrop() act(name)`, and is told by `ended(saved)`. */
  constructor(loupe) {
    this.loupe = loupe;
    this.tinted = true;
    this.brush = new Brush(loupe.stage, loupe.layer("alpha"), { changed: () => this.show(), refuse: (words) => loupe.say(words) });
    this.actions = new Toolbar("brush", BRUSH_KEYS, (name, event) => this.act(name, event));
    this.build();
    this.letGo = (event) => (event.type === "blur" || event.key === " ") && this.brush.up();
    for (const end of ["keyup", "blur"]) loupe.stage.host.addEventListener(end, this.letGo);
    this.warn = (event) => this.unsaved && event.preventDefault();
    addEventListener("beforeunload", this.warn);
  }

  get unsaved() {
    return this.brush.operations.length > 0;
  }

  build() {
    const { actions } = this;
    const size = { min: 1, max: 2000, "data-size": true };
    const hardness = { min: 0, max: 1, step: 0.1, "data-hardness": true };
    this.size = slider(text("brush.size"), size, (value) => this.set({ size: value }));
    this.hardness = slider(text("brush.hardness"), hardness, (value) => this.set({ hardness: value }));
    this.bar = make("div", { class: "group", role: "group", "aria-label": text("brush.bar"), "data-group": "brush" },
      actions.group("brush.group.kind", ["erase", "keep"]),
      make("div", { class: "group" }, this.size, this.hardness),
      actions.group("brush.group.blobs", ["only", "drop"]),
      actions.group("brush.group.look", ["tint"]),
      actions.group("brush.group.strokes", ["undo-stroke", "redo-stroke", ...(this.loupe.row.edited ? ["give-up"] : [])]),
      actions.group("brush.group.end", ["save"]));
  }

  async begin() {
    await this.brush.begin();
    this.show();
    this.loupe.say(text("brush.begun"));
  }

  set(values) {
    Object.assign(this.brush, values);
    this.show();
  }

  /** Show what the brush is like. */
  show() {
    const { brush, actions } = this;
    this.size.querySelector("input").value = brush.size;
    this.hardness.querySelector("input").value = brush.hardness;
    actions.press({ keep: brush.keep, erase: !brush.keep, only: brush.armed === "only", drop: brush.armed === "drop", tint: this.tinted });
    actions.enable({ "undo-stroke": brush.operations.length, "redo-stroke": brush.undone.length, save: this.unsaved && !this.saving });
    brush.point();
  }

  showOn(backdrop, colour) {
    this.brush.showOn(this.tinted ? null : backdrop, colour);
  }

  act(name, event) {
    const { brush } = this;
    const clicked = event.type === "click";
    const plain = {
      keep: () => this.set({ keep: true }),
      erase: () => this.set({ keep: false }),
      smaller: () => brush.resize(1 / 1.2),
      larger: () => brush.resize(1.2),
      softer: () => brush.harden(-0.1),
      harder: () => brush.harden(0.1),
      "undo-stroke": () => brush.undo(),
      "redo-stroke": () => brush.redo(),
      paint: () => event.repeat || brush.stroke || brush.start(brush.at ?? brush.stage.zoom.toPicture(brush.stage.zoom.centre)),
      move: () => brush.nudge(...STEPS[event.key].map((step) => step * (event.shiftKey ? 10 : 1))),
      tint: () => this.tint(!this.tinted),
      "give-up": () => this.giveUp(),
      save: () => this.save(),
      leave: () => this.leave(),
    };
    if (name === "only" || name === "drop") this.choose(name, clicked);
    else if (name in plain) plain[name]();
    else this.loupe.act(name, event);
  }

  /** Choose a blob: by key the one at the pointer, by button the one that is clicked next. */
  choose(name, clicked) {
    if (!clicked) return this.brush.pick(name === "only");
    this.set({ armed: this.brush.armed === name ? null : name });
    this.loupe.stage.host.focus();
  }

  tint(on) {
    this.tinted = on;
    this.loupe.drawBackdrop();
    this.show();
  }

  /** Send the strokes; resolves with whether they are on record. */
  async save(operations = this.brush.operations) {
    if (this.saving || (!operations.length && operations === this.brush.operations)) return false;
    const { row, store } = this.loupe;
    this.saving = true;
    this.show();
    this.loupe.say(text("brush.saving"));
    try {
      const { state, why } = await store.api.touchUp(row.n, { operations, base: row.sha256 });
      this.close(state === "made" ? text("brush.saved") : text("brush.waits", { why }));
      return true;
    } catch (error) {
      this.loupe.say(text(error.status === 409 ? "brush.changed" : "brush.not-saved", { why: error.message }));
      return false;
    } finally {
      this.saving = false;
      this.show();
    }
  }

  giveUp() {
    return this.save([]);
  }

  /** Go back to the loupe, having asked about strokes that aren't saved; resolves with whether it is left. */
  async leave() {
    const answer = this.unsaved ? await this.ask() : "discard";
    if (answer === "save") return this.save();
    if (answer === "discard") this.close("");
    return answer === "discard";
  }

  async ask() {
    const button = (value) => make("button", { value, "data-action": value, class: value === "save" ? "primary" : null }, text(`brush.leave.${value}`));
    const dialog = make("dialog", { "aria-label": text("brush.leave.title"), "data-dialog": "leave" },
      make("form", { method: "dialog" }, make("h2", {}, text("brush.leave.title")),
        make("p", {}, text("brush.leave.unsaved", { n: this.brush.operations.length })),
        make("footer", {}, button("stay"), button("discard"), button("save"))));
    this.loupe.dialog.append(dialog);
    const answer = await showDialog(dialog);
    dialog.remove();
    return answer;
  }

  close(said) {
    this.brush.end();
    removeEventListener("beforeunload", this.warn);
    for (const end of ["keyup", "blur"]) this.loupe.stage.host.removeEventListener(end, this.letGo);
    this.loupe.ended(said);
  }
}
