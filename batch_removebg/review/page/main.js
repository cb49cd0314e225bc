import { Actions, makeActionBar } from "./actions.js";
import { api } from "./api.js";
import { make, mark, remember, remembered } from "./dom.js";
import { makeBanner, makeFilters } from "./filters.js";
import { SIZES, makeGrid } from "./grid.js";
import { bind, help, once } from "./keys.js";
import { openLoupe } from "./loupe.js";
import { Store } from "./store.js";
import { language, number, setLanguage, text, translate, visible } from "./texts.js";

const part = (name) => document.querySelector(`[data-${name}]`);
const HASH_EVERY_MS = 300;
const COUNTS = ["saved", "failed", "pending", "gone", "flagged"];

/** The place of the page in its address: filter, order, and the item with the focus. */
function writeHash(store) {
  const params = new URLSearchParams(store.params);
  if (store.focus) params.set("at", store.focus);
  const hash = params.toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function readHash(store) {
  const params = [...new URLSearchParams(location.hash.slice(1))];
  const value = (name) => params.find(([kind]) => kind === name)?.[1];
  store.filter = params.filter(([kind]) => !["sort", "down", "at"].includes(kind));
  store.sort = { by: value("sort") ?? "order", down: value("down") === "1" };
  return Number(value("at")) || 0;
}

function keepHash(store) {
  let due;
  const later = () => {
    clearTimeout(due);
    due = setTimeout(() => writeHash(store), HASH_EVERY_MS);
  };
  for (const name of ["view", "focus"]) store.addEventListener(name, later);
  addEventListener("hashchange", async () => {
    const at = readHash(store);
    await store.setFilter(store.filter, store.sort);
    store.focus = at;
  });
}

function runState({ state, reason, rate, eta }) {
  const said = text(`run.${state ?? "none"}`);
  const pace = state === "running" && rate ? text("run.rate", { rate: Math.round(rate * 60) }) : "";
  const left = state === "running" && eta ? text("run.eta", { minutes: Math.ceil(eta / 60) }) : "";
  return [said, pace, left, reason].filter(Boolean).join(" · ");
}

function showHeader(store) {
  const { about } = store;
  if (!about) return;
  const name = visible(about.out.split(/[\\/]/).filter(Boolean).at(-1) ?? about.out);
  document.title = `${name} – batch-removebg`;
  part("out").textContent = name;
  part("out").title = about.out;
  const state = about.report ? text("run.report") : about.read_only ? text("run.read-only") : "";
  part("run").textContent = [state, runState(about.run ?? {})].filter(Boolean).join(" · ");
  mark(part("run"), "data-run", about.run?.state ?? "none");
  const counts = COUNTS.filter((kind) => about.counts[kind]);
  part("counts").textContent = counts.map((kind) => text("count", { n: about.counts[kind], name: text(`status.${kind}`) })).join(" · ");
}

function showAlarm(store) {
  const alarm = part("alarm");
  const { problem } = store.watch;
  alarm.hidden = !problem;
  if (!problem || alarm.dataset.alarm === problem) return;
  alarm.dataset.alarm = problem;
  const retry = make("button", { type: "button", "data-action": "retry", click: () => store.watch.look() }, text("problem.retry"));
  alarm.replaceChildren(make("span", {}, problem), retry);
}

function showUnsaved(store) {
  const shown = part("unsaved");
  shown.hidden = !store.unsaved;
  mark(shown, "data-unsaved", store.unsaved);
  shown.textContent = store.unsaved ? text("unsaved", { n: store.unsaved }) : "";
}

/** Why there is nothing to see, and what to do. */
function showEmpty(store) {
  const empty = part("empty");
  empty.hidden = store.reading === null && (store.view === null || store.total > 0);
  if (empty.hidden) return;
  if (store.reading !== null) {
    const bar = make("progress", { value: store.reading, "aria-label": text("empty.reading-label") });
    return empty.replaceChildren(make("p", {}, text("empty.reading", { share: number(store.reading, { style: "percent" }) })), bar);
  }
  const filtered = store.filter.length > 0;
  const clear = make("button", { type: "button", class: "primary", click: () => store.setFilter([]) }, text("banner.clear"));
  empty.replaceChildren(make("p", {}, text(filtered ? "empty.filtered" : "empty.nothing")), ...(filtered ? [clear] : []));
}

function makeSizes(grid) {
  const choose = (size) => {
    grid.reshape({ size });
    remember("size", size);
    for (const button of part("sizes").children) button.setAttribute("aria-pressed", String(button.dataset.size === size));
  };
  const button = (size) => make("button", { type: "button", "data-size": size, "data-label": `size.${size}`, click: () => choose(size) }, size.toUpperCase());
  part("sizes").append(...Object.keys(SIZES).map(button));
  choose(Object.hasOwn(SIZES, remembered("size") ?? "") ? remembered("size") : "m");
}

/** Texts in another language, at once: whatever shows some is told that all has changed. */
function makeLanguages(store) {
  const choose = part("language");
  choose.append(make("option", { value: "en", lang: "en" }, "English"), make("option", { value: "zh", lang: "zh" }, "中文"));
  const show = () => {
    document.documentElement.lang = language() === "zh" ? "zh-Hans" : language();
    translate(document);
    for (const name of ["about", "view", "rows", "unsaved"]) store.emit(name);
  };
  choose.value = language();
  choose.addEventListener("change", () => {
    setLanguage(choose.value);
    show();
  });
  show();
}

function makeDrawer(search) {
  const [drawer, button] = [document.getElementById("filters"), part("action=filters")];
  const open = (wanted) => {
    drawer.classList.toggle("open", wanted);
    mark(button, "aria-expanded", String(wanted));
    if (wanted) search.focus();
  };
  button.addEventListener("click", () => open(!drawer.classList.contains("open")));
  drawer.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !drawer.classList.contains("open")) return;
    open(false);
    button.focus();
  });
  return open;
}

function bindKeys(store, grid, actions, searchFor) {
  const act = (name) => [`action.${name}`, once(() => actions[name]())];
  const open = ["action.open", () => actions.open(store.focus)];
  const move = (step) => ["keys.move", (event) => grid.move(step(), event)];
  const edge = (place) => ["keys.edge", (event) => grid.moveTo(place(), event)];
  const moves = {
    ArrowLeft: move(() => -1), ArrowRight: move(() => 1), ArrowUp: move(() => -grid.columns), ArrowDown: move(() => grid.columns),
    PageUp: edge(() => Math.max(store.focus - grid.page, store.focus % grid.columns)), PageDown: edge(() => store.focus + grid.page),
    Home: edge(() => 0), End: edge(() => store.total - 1),
  };
  const modified = (name, meaning) =>
    Object.fromEntries(Object.entries(moves).map(([key, [, go]]) => [`${name}+${key}`, [key.startsWith("Arrow") && meaning, go]]));
  bind("grid", {
    " ": act("accept"), p: act("accept"), x: act("reject"), u: act("undecide"), Backspace: act("undecide"), r: act("redo"), n: act("note"),
    ".": ["keys.next-flagged", () => store.goNext("flagged")], ",": ["keys.last-flagged", () => store.goNext("flagged", true)],
    ";": ["keys.next-undecided", () => store.goNext("undecided")],
    Enter: open, f: open, "Ctrl+z": [null, act("undo")[1]], "Ctrl+a": act("everything"), "Ctrl+Space": act("select"),
    Escape: ["keys.unselect", () => store.select([])],
    ...moves, ...modified("Shift", "keys.range"), ...modified("Ctrl", "keys.keep"),
    "/": ["keys.search", searchFor], "?": ["keys.title", help],
  });
  bind("page", { "Ctrl+z": act("undo") });
}

function goBackToGrid(grid) {
  part("bar").addEventListener("click", () => document.querySelector("dialog[open]") ?? grid.takeFocus());
  document.addEventListener("close", () => grid.takeFocus(), true);
}

function makePage(store) {
  const actions = new Actions(store, (at) => openLoupe(store, at));
  const grid = makeGrid(part("grid"), store, { open: actions.open });
  const search = makeFilters(document.getElementById("filters"), store, () => {
    openDrawer(false);
    store.focus = 0;
    grid.takeFocus();
  });
  const openDrawer = makeDrawer(search);
  makeBanner(part("banner"), store);
  makeActionBar(part("bar"), part("chosen"), store, actions);
  makeSizes(grid);
  bindKeys(store, grid, actions, () => { openDrawer(true); search.focus(); });
  part("action=help").addEventListener("click", help);
  goBackToGrid(grid);
  for (const show of [showHeader, showAlarm]) store.addEventListener("about", () => show(store));
  store.addEventListener("view", () => showEmpty(store));
  store.addEventListener("unsaved", () => showUnsaved(store));
  store.addEventListener("said", ({ detail }) => (part("live").textContent = detail));
  store.addEventListener("unsaid", ({ detail }) => part("live").textContent === detail && (part("live").textContent = ""));
  addEventListener("beforeunload", (event) => store.unsaved && event.preventDefault());
  return grid;
}

async function begin() {
  const store = new Store(api);
  const grid = makePage(store);
  makeLanguages(store);
  const at = readHash(store);
  await store.begin();
  store.focus = at;
  keepHash(store);
  grid.takeFocus();
}

begin();
