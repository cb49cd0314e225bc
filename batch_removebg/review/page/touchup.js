import { Brush } from "./brush.js";
import { slider, Toolbar } from "./controls.js";
import { make, showDialog } from "./dom.js";
import { wordsOf } from "./pictures.js";
import { text } from "./texts.js";
import { ARROWS } from "./zoom.js";

const SHARED = ["backdrop", "zoom", "zoom-in", "zoom-out", "keys"]; // actions that are the loupe's

/** The loupe while the alpha of its picture is touched up: tools and keys of its own, saving and leaving. */
export class TouchUp {
  /** `loupe` gives `actions dialog row stage store`, `layer(kind)`, `say(words)`, `show()`; `ended(words)` is told. */
  constructor(loupe) {
    this.loupe = loupe;
    this.tinted = true;
    this.brush = new Brush(loupe.stage, loupe.layer("alpha"), { changed: () => this.show(), refuse: (words) => loupe.say(words) });
    this.tools = new Toolbar("brush", this.actions());
    this.build();
    this.letGo = (event) => (event.type === "blur" || event.key === " ") && this.brush.up();
    for (const end of ["keyup", "blur"]) loupe.stage.host.addEventListener(end, this.letGo);
    this.warn = (event) => this.unsaved && event.preventDefault();
    addEventListener("beforeunload", this.warn);
  }

  actions() {
    const { brush, loupe } = this;
    return {
      keep: [["k"], () => this.set({ keep: true })],
      erase: [["e"], () => this.set({ keep: false })],
      smaller: [["["], () => brush.resize(1 / 1.2)],
      larger: [["]"], () => brush.resize(1.2)],
      softer: [["{"], () => brush.harden(-0.1)],
      harder: [["}"], () => brush.harden(0.1)],
      "undo-stroke": [["Ctrl+z"], () => brush.undo()],
      "redo-stroke": [["Ctrl+Shift+z", "Ctrl+y"], () => brush.redo()],
      only: [["o"], (event) => this.choose("only", event)],
      drop: [["d"], (event) => this.choose("drop", event)],
      tint: [["t"], () => this.tint(!this.tinted)],
      move: [["", "Shift+"].flatMap((shift) => Object.keys(ARROWS).map((key) => shift + key)), (event) => this.move(event)],
      paint: [[" "], (event) => event.repeat || brush.stroke || brush.start(brush.place)],
      "give-up": [[], () => this.save([])],
      save: [["Enter"], () => this.unsaved && this.save(brush.operations)],
      leave: [["Escape"], () => this.leave()],
      ...Object.fromEntries(SHARED.map((name) => [name, loupe.actions[name]])),
    };
  }

  build() {
    const { tools } = this;
    this.size = slider(text("brush.size"), { min: 1, "data-size": true }, (size) => this.set({ size }));
    this.hardness = slider(text("brush.hardness"), { min: 0, max: 1, step: 0.1, "data-hardness": true }, (hardness) => this.set({ hardness }));
    this.bar = make("div", { class: "group", role: "group", "aria-label": text("loupe.edit"), "data-group": "brush" },
      tools.group("kind", ["erase", "keep"]), this.size, this.hardness,
      ...[["only", "drop"], ["tint"], ["undo-stroke", "redo-stroke", "give-up"], ["save"]].map((names) => tools.group("strokes", names)));
  }

  get unsaved() {
    return this.brush.operations.length > 0;
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
    const { brush, tools } = this;
    Object.assign(this.size.control, { max: brush.most, value: brush.size });
    this.hardness.control.value = brush.hardness;
    tools.press({ keep: brush.keep, erase: !brush.keep, only: brush.armed === "only", drop: brush.armed === "drop", tint: this.tinted });
    tools.enable({ "undo-stroke": this.unsaved, "redo-stroke": brush.undone.length, save: this.unsaved && !this.saving });
    tools.buttons["give-up"].hidden = !this.loupe.row.edited || this.unsaved;
    brush.point();
  }

  showOn(colour) {
    this.brush.showOn(colour, this.tinted);
  }

  move({ key, shiftKey }) {
    this.brush.nudge(...ARROWS[key].map((step) => step * (shiftKey ? 10 : 1)));
  }

  /** Choose a blob: by key the one at the pointer, by button the one that is clicked next. */
  choose(name, { type }) {
    if (type !== "click") return this.brush.pick(name === "only", this.brush.place);
    this.set({ armed: this.brush.armed === name ? null : name });
    this.loupe.stage.host.focus();
  }

  tint(on) {
    this.tinted = on;
    this.loupe.drawBackdrop();
    this.show();
  }

  /** Send operations, none to give an earlier touch-up up; resolves with whether they are on record. */
  async save(operations) {
    if (this.saving) return false;
    const { row, store } = this.loupe;
    this.saving = true;
    this.loupe.say(text("brush.saving"));
    try {
      const { state, why } = await store.api.touchUp(row.n, { operations, base: row.sha256 });
      this.close(text(state === "made" ? "brush.saved" : "brush.waits", { why }));
      return true;
    } catch (error) {
      this.loupe.say(text(error.status === 409 ? "brush.changed" : "brush.not-saved", { why: wordsOf(error) }));
      return false;
    } finally {
      this.saving = false;
      this.show();
    }
  }

  /** Go back to the loupe, having asked about strokes that aren't saved; resolves with whether it is left. */
  async leave() {
    const answer = this.unsaved ? await this.ask() : "discard";
    if (answer === "save") return this.save(this.brush.operations);
    if (answer === "discard") this.close("");
    return answer === "discard";
  }

  async ask() {
    const button = (value) => make("button", { value, "data-action": value, class: value === "save" && "primary" }, text(`brush.leave.${value}`));
    const title = text("brush.leave.title");
    const dialog = make("dialog", { "aria-label": title, "data-dialog": "leave" },
      make("form", { method: "dialog" }, make("h2", {}, title), make("p", {}, text("brush.leave.unsaved", { n: this.brush.operations.length })),
        make("footer", {}, ...["stay", "discard", "save"].map(button))));
    this.loupe.dialog.append(dialog);
    const answer = await showDialog(dialog);
    dialog.remove();
    return answer;
  }

  close(words) {
    this.brush.end();
    removeEventListener("beforeunload", this.warn);
    for (const end of ["keyup", "blur"]) this.loupe.stage.host.removeEventListener(end, this.letGo);
    this.loupe.ended(words);
  }
}
