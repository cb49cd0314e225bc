import { text } from "./texts.js";

const MOST_TRIES = 10;

/** Pictures of a few items, loaded and decoded once; those of the items asked for longest ago are let go. */
export class Shelf {
  constructor(most = 5) {
    this.most = most;
    this.items = new Map();
  }

  /**
   * The picture of item `n` at an address: {image, width, height}, sizes unreduced; rejects with words for people.
   * `fresh`: what the browser may have kept of that address is another one by now.
   */
  get(n, url, fresh = false) {
    const { pictures, ended } = this.touch(n);
    if (!pictures.has(url)) {
      const loading = load(url, { signal: ended.signal, cache: fresh ? "reload" : "default" });
      pictures.set(url, loading);
      loading.catch(() => pictures.delete(url));
    }
    return pictures.get(url);
  }

  touch(n) {
    const item = this.items.get(n) ?? { pictures: new Map(), ended: new AbortController() };
    this.items.delete(n);
    this.items.set(n, item);
    if (this.items.size > this.most) this.forget(this.items.keys().next().value);
    return item;
  }

  forget(n) {
    const item = this.items.get(n);
    this.items.delete(n);
    item?.ended.abort();
    for (const loading of item?.pictures.values() ?? []) loading.then(({ address }) => URL.revokeObjectURL(address), () => {});
  }

  clear() {
    for (const n of [...this.items.keys()]) this.forget(n);
  }
}

/** What an error of a request says to people. */
export function wordsOf(error) {
  return error.status ? error.message : text("loupe.error.server");
}

async function load(url, options) {
  if (!url) throw new Error(text("loupe.error.absent"));
  if (location.protocol === "file:") return decoded(url);
  const answer = await asked(url, options);
  const [width, height] = (answer.headers.get("X-Full-Size") ?? "").split("x").map(Number);
  const picture = await decoded(URL.createObjectURL(await answer.blob()));
  return width && height ? { ...picture, width, height } : picture;
}

async function asked(url, options) {
  for (let tries = 1; ; tries += 1) {
    const answer = await fetch(url, options).catch((error) => {
      throw options.signal.aborted ? error : new Error(text("loupe.error.server"));
    });
    if (answer.ok) return answer;
    if (answer.status !== 503 || tries === MOST_TRIES) throw new Error(await reason(answer));
    await new Promise((resume) => setTimeout(resume, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
  }
}

async function reason(answer) {
  const { error } = await answer.json().catch(() => ({}));
  return error ?? text("loupe.error.status", { status: answer.status });
}

async function decoded(address) {
  const image = new Image();
  image.src = address;
  image.draggable = false;
  await image.decode().catch(() => {
    throw new Error(text("loupe.error.broken"));
  });
  return { image, address, width: image.naturalWidth, height: image.naturalHeight };
}
