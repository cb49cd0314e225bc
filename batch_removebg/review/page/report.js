// A report has no server: its rows are pushed by scripts beside the page, and filtered, sorted and counted here.

const FIGURES = ["coverage", "undecided", "peak", "components", "doubt"];

/** What a row has of a kind of filter: a list of values. */
function valuesOf(row, kind) {
  if (kind.startsWith("col.")) return [String(row.meta?.[kind.slice(4)] ?? "")];
  switch (kind) {
    case "status": return [row.status];
    case "flag": return row.flags;
    case "decision": return [row.decision?.verdict ?? "undecided"];
    case "preset": return row.outputs.map((output) => output.preset);
    case "check": return row.outputs.flatMap((output) => output.failed.map((rule) => `${output.preset}:${rule}`));
    case "folder": return [row.folder];
    case "edited": return [row.edited ? "1" : "0"];
    default: return [];
  }
}

function fits(row, kind, wanted) {
  if (kind === "q") return wanted.some((part) => `${row.id}\n${row.source}`.toLowerCase().includes(part.toLowerCase()));
  return valuesOf(row, kind).some((value) => wanted.includes(value));
}

function sortValue(row, by) {
  if (FIGURES.includes(by)) return row.quality?.[by] ?? null;
  if (by === "order") return row.n;
  return row[by] ?? null;
}

/** Rows without the figure come last, whichever way the others go. */
function sorted(rows, by, down) {
  const order = (one, other) => {
    const [a, b] = [sortValue(one, by), sortValue(other, by)];
    if (a === b) return one.n - other.n;
    if (a === null || b === null) return a === null ? 1 : -1;
    return (a < b ? -1 : 1) * (down ? -1 : 1);
  };
  return [...rows].sort(order);
}

function counted(rows, kind) {
  const counts = {};
  for (const row of rows) for (const value of new Set(valuesOf(row, kind))) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

function chooseRows(rows, params) {
  const wanted = {};
  const settings = { sort: "order", down: "" };
  for (const [kind, value] of params) {
    if (kind in settings) settings[kind] = value;
    else (wanted[kind] ??= []).push(value);
  }
  const without = (left) =>
    rows.filter((row) => Object.entries(wanted).every(([kind, values]) => kind === left || fits(row, kind, values)));
  const kinds = ["status", "flag", "decision", "preset", "check", "folder", "edited"];
  const facets = Object.fromEntries(kinds.map((kind) => [kind, counted(without(kind), kind)]));
  return { rows: sorted(without(null), settings.sort, settings.down), facets };
}

const ASKED = {
  undecided: (row) => row.status === "saved" && valuesOf(row, "decision")[0] === "undecided",
  flagged: (row) => row.flags.length > 0,
  failed: (row) => row.status === "failed",
};

/** The face of `api` over what has been pushed: parts `{about}` and `{rows}`. */
export function reportApi(parts) {
  const rows = parts.flatMap((part) => part.rows ?? []);
  const about = { ...parts.find((part) => part.about).about, read_only: true, report: true, total: rows.length };
  let shown = rows;
  const nearest = (after, fit, step) => {
    for (let at = after + step; at >= 0 && at < shown.length; at += step) if (fit(shown[at])) return at;
    return null;
  };
  return {
    readOnly: true,
    live: false,
    about: async () => about,
    async view(params) {
      const { rows: chosenRows, facets } = chooseRows(rows, params);
      shown = chosenRows;
      return { view: "report", total: shown.length, revision: about.revision, facets };
    },
    async items(_, from, count) {
      return { items: shown.slice(from, from + count).map((row, index) => ({ ...row, at: from + index })), decisions: 0 };
    },
    next: async (_, after, what, back) => ({ at: nearest(after, ASKED[what], back ? -1 : 1) }),
    item: async (n) => rows.find((row) => row.n === n),
    thumbUrl: (row, kind) => row.files?.thumb?.[kind] ?? "",
    pictureUrl: (row, kind) => row.files?.picture?.[kind] ?? "",
  };
}
