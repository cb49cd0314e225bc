import { hasText, text } from "./texts.js";

/** The last part of a path or an address. */
export function fileName(row) {
  return row.source.split(/[\\/]/).filter(Boolean).at(-1) ?? row.id;
}

/** How a value of a kind of filter is called; one such as "amazon:fill" is about the picture of a preset. */
export function nameOf(kind, value) {
  if (kind === "edited") return text("filter.edited");
  const [, preset, word] = (["check", "flag"].includes(kind) && value.match(/^([^:]*):(.*)$/s)) || [null, "", value];
  const kinds = { decision: ["verdict"], check: ["rule"], flag: ["flag", "rule"] }[kind] ?? [kind];
  const key = kinds.map((one) => `${one}.${word}`).find(hasText);
  const name = key ? text(key) : word || text(`filter.none-${kind}`);
  return preset ? text("filter.of-preset", { preset, name }) : name;
}
