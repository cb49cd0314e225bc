import { reportApi } from "./report.js";

const PATIENCE_MS = 120_000;

/** The server has answered that it won't; `message` is its sentence for people. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** No answer: the server has ended, or can't be reached. */
export class Unreachable extends Error {}

/** Whether an answer, or its absence, tells that the same may succeed later. */
export function mayPass(error) {
  return error instanceof Unreachable || [401, 408, 429].includes(error.status) || error.status >= 500;
}

async function answered(path, options) {
  try {
    return await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

async function request(path, options = {}) {
  const answer = await answered(path, options);
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(data.error || `${answer.status} ${answer.statusText}`, answer.status);
  return data;
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return new URLSearchParams(given).toString();
}

function short(sha) {
  return sha ? sha.slice(0, 16) : "0";
}

function serverApi() {
  let token = "";
  const send = (path, body) =>
    request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Review-Token": token },
      body: JSON.stringify(body),
    });
  const post = async (path, body) => {
    try {
      return await send(path, body);
    } catch (error) {
      if (error.status !== 403) throw error;
      await server.about(); // another server may have started, with another token
      return send(path, body);
    }
  };
  const server = {
    readOnly: true,
    live: true,
    async about() {
      const about = await request("/api/about");
      token = about.token;
      server.readOnly = about.read_only;
      return about;
    },
    view: (params) => request(`/api/view?${new URLSearchParams(params)}`),
    items: (view, from, count) => request(`/api/view/${view}/items?${query({ from, count })}`),
    next: (view, after, what, back) => request(`/api/view/${view}/next?${query({ after, what, back: back ? 1 : null })}`),
    item: (n) => request(`/api/item/${n}`),
    decide: (body) => post("/api/decisions", body),
    undo: (key) => post("/api/undo", { undo: key }),
    touchUp: (n, body) => post(`/api/item/${n}/touch-up`, body),
    changes: (since) => request(`/api/changes?${query({ since })}`),
    thumbUrl: (row, kind, size) =>
      `/thumb/${row.n}/${kind}/${short(kind === "cutout" ? (row.outputs[0]?.sha256 ?? row.sha256) : row.source_sha)}?size=${size}`,
    pictureUrl: (row, kind, { size, output, version } = {}) =>
      `/picture/${row.n}/${kind}?${query({ size, v: short(row.sha256), output, version })}`,
  };
  return server;
}

/** Where the page's data is from: the server, or, in a report, the files beside the page. The faces are the same. */
export const api = globalThis.batchRemovebgReport ? reportApi(globalThis.batchRemovebgReport) : serverApi();
