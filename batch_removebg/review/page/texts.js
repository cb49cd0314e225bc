import { EN } from "./texts/en.js";
import { ZH } from "./texts/zh.js";
import { remember, remembered } from "./dom.js";

const LANGUAGES = { en: EN, zh: ZH };
let chosen = firstLanguage();

function firstLanguage() {
  const wished = [remembered("language"), ...(navigator.languages ?? [])].filter(Boolean);
  return wished.map((code) => code.slice(0, 2)).find((code) => Object.hasOwn(LANGUAGES, code)) ?? "en";
}

export function language() {
  return chosen;
}

/** Show texts in `code`, now and at the next visit; whoever shows texts has to show them again. */
export function setLanguage(code) {
  chosen = code;
  remember("language", code);
}

export function hasText(key) {
  return Object.hasOwn(EN, key);
}

/** The text of a key; `{name}` in it becomes values.name, and `n` = 1 prefers the key with ".one" behind it. */
export function text(key, values = {}) {
  const texts = LANGUAGES[chosen];
  const found = (values.n === 1 && texts[`${key}.one`]) || texts[key] || EN[key] || key;
  return found.replace(/\{(\w+)\}/g, (_, name) => readable(values[name]));
}

function readable(value) {
  return typeof value === "number" ? number(value) : String(value ?? "");
}

/** A number as people of the chosen language write it. */
export function number(value, options = {}) {
  return value.toLocaleString(chosen, options);
}

/** A name with a sign for each character that would hide, or turn round what is beside it. */
export function visible(name) {
  return name.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\ufffd");
}

/** How a value of a kind of filter is called; one such as "amazon:fill" is about the picture of a preset. */
export function nameOf(kind, value) {
  if (kind === "edited") return text("filter.edited");
  const [, preset, word] = (["check", "flag"].includes(kind) && value.match(/^([^:]*):(.*)$/s)) || [null, "", value];
  const kinds = { decision: ["verdict"], check: ["rule"], flag: ["flag", "rule"] }[kind] ?? [kind];
  const key = kinds.map((one) => `${one}.${word}`).find(hasText);
  const name = key ? text(key) : visible(word) || text(`filter.none-${kind}`);
  return preset ? text("filter.of", { title: visible(preset), name }) : name;
}

/** Put the texts of `data-text`, `data-label`, `data-hint` and `data-placeholder` into a part of the page. */
export function translate(root) {
  const puts = {
    text: (element, found) => (element.textContent = found),
    label: (element, found) => element.setAttribute("aria-label", found),
    hint: (element, found) => element.setAttribute("title", found),
    placeholder: (element, found) => element.setAttribute("placeholder", found),
  };
  for (const [kind, put] of Object.entries(puts))
    for (const element of root.querySelectorAll(`[data-${kind}]`)) put(element, text(element.dataset[kind]));
}
