import { make } from "./dom.js";
import { hasText, nameOf, number, text, visible } from "./texts.js";

const SHARES = ["coverage", "undecided", "peak", "doubt"];

/** All that is known of an item, as sections; `detail` may still be missing, `boxes` is {on, toggle} of its suspect parts. */
export function sectionsOf(row, detail, verdict, boxes) {
  const known = { ...row, ...detail };
  return [
    section(null, stateLines(known, verdict, boxes)),
    section("checks", checkLines(known.checks)),
    section("file", fileLines(known)),
    section("quality", qualityLines(known.quality)),
    section("notes", (known.notes ?? []).map((note, index) => [number(index + 1), note])),
    section("making", makingLines(known)),
    section("manifest", Object.entries(known.meta ?? {})),
    section("history", (known.history ?? []).map(({ t, event, text: told }) => [moment(t), [event, told].filter(Boolean).join(": ")])),
  ].filter(Boolean);
}

/** Lines [label, value], with a heading if there is a name: what has no value is left out, and a section without lines. */
function section(name, lines) {
  const told = lines.filter(([, value]) => value || value === 0);
  if (!told.length) return null;
  const parts = told.flatMap(([label, value]) => [
    make("dt", {}, make("bdi", {}, visible(label))),
    make("dd", {}, ...(Array.isArray(value) ? value : [make("bdi", {}, visible(String(value)))])),
  ]);
  const heading = name ? [make("h3", {}, text(`loupe.info.${name}`))] : [];
  return make("section", { "data-section": name }, ...heading, make("dl", {}, ...parts));
}

/** A value with its label: one of the panel's own, or the word that the page has for it elsewhere. */
function line(name, value) {
  return [text(["loupe.info", "loupe", "filter", "sort"].map((scope) => `${scope}.${name}`).find(hasText)), value];
}

function stateLines({ decision, edited, waits, flags, suspect }, { verdict, note, saving }, boxes) {
  const asked = Object.entries(decision?.redo ?? {}).map(([name, value]) => `${name} ${value}`);
  const toggle = ({ target }) => boxes.toggle(target.checked);
  const check = make("input", { type: "checkbox", checked: boxes.on, "data-action": "boxes", change: toggle });
  const where = suspect?.length ? [make("label", {}, check, text("loupe.info.boxes"))] : [];
  return [
    line("decision", text(`verdict.${verdict}`) + (saving ? ` (${text("verdict.saving")})` : "")),
    line("note", note && [note]), // lines and all
    line("with", asked.join(", ")),
    line("decided", decision && moment(decision.t)),
    line("edited", edited && text(waits ? "loupe.info.waits" : "loupe.info.yes")),
    line("flag", flags.length > 0 && [flags.map((flag) => nameOf("flag", flag)).join(", "), ...where]),
  ];
}

function checkLines(checks) {
  return Object.entries(checks ?? {}).flatMap(([preset, rules]) => {
    const named = ({ rule }) => nameOf("check", rule);
    const names = rules.filter(({ result }) => result === "pass").map(named).join(", ");
    const amiss = rules.filter(({ result }) => result === "fail" || result === "advised");
    return [
      ...amiss.map(({ rule, result, fix }) => [nameOf("check", `${preset}:${rule}`), `${text(`loupe.result.${result}`)}: ${fix}`]),
      [`${preset}: ${text("loupe.result.pass")}`, names],
    ];
  });
}

function fileLines({ id, source, source_size: size, outputs, error }) {
  return [
    line("id", id),
    line("peek", source),
    line("source-size", size && pixels(...size)),
    ...outputs.map(({ preset, output, width, height, bytes }) => [
      preset || text("loupe.delivered"),
      `${output}, ${pixels(width, height)}, ${kilobytes(bytes)}`,
    ]),
    line("error", error),
  ];
}

function qualityLines(quality) {
  if (!quality) return [];
  const shares = SHARES.filter((name) => typeof quality[name] === "number");
  return [
    ...shares.map((name) => line(name, number(quality[name], { style: "percent", maximumFractionDigits: 2 }))),
    line("components", quality.components),
  ];
}

function makingLines({ engine, seconds, price }) {
  return [
    line("engine", engine),
    line("seconds", seconds && number(seconds, { style: "unit", unit: "second" })),
    line("price", price),
  ];
}

function pixels(width, height) {
  return width && height ? `${number(width)} × ${number(height)} px` : text("loupe.info.unknown");
}

function kilobytes(bytes) {
  return bytes ? number(Math.ceil(bytes / 1000), { style: "unit", unit: "kilobyte" }) : text("loupe.info.unknown");
}

function moment(t) {
  const when = new Date(t);
  return Number.isNaN(when.getTime()) ? t : when.toLocaleString(document.documentElement.lang || undefined);
}
