import { Refused, mayPass } from "./api.js";
import { text } from "./texts.js";

const GAP_S = 2;
const GAP_MOST_S = 30;

/** Asks the server for changes while the page is seen; while there is no answer, less and less often. */
export class Watch {
  constructor(store) {
    this.store = store;
    this.problem = null; // a sentence, while the server can't be asked
    this.misses = 0;
  }

  begin() {
    const again = () => {
      clearTimeout(this.timer);
      if (!document.hidden) this.look();
    };
    document.addEventListener("visibilitychange", again);
    addEventListener("online", again);
    this.lookLater();
  }

  lookLater() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    const gap = Math.min(GAP_S * 2 ** this.misses, GAP_MOST_S);
    this.timer = setTimeout(() => this.look(), gap * 1000);
  }

  async look() {
    try {
      const news = await this.store.api.changes(this.revision);
      if (this.problem) await this.reconnect();
      this.hear(news);
    } catch (error) {
      this.lose(error);
    }
    this.lookLater();
  }

  async connect() {
    const { store } = this;
    store.about = await store.api.about();
    this.revision ??= store.about.revision;
    store.emit("about");
    store.decisions.restore();
    await store.refresh();
  }

  async reconnect() {
    this.problem = null;
    await this.connect();
    this.misses = 0;
    this.store.decisions.outbox.wake();
  }

  hear({ revision, run, counts, changed }) {
    const { store } = this;
    Object.assign(store.about, { run, counts, total: counts.total ?? store.about.total });
    store.emit("about");
    if (revision === this.revision) return;
    this.revision = revision;
    store.windows.expire(changed && new Set(changed));
    store.emit("rows");
    const mixed = store.decisions.ownAll; // others' changes may be among those of all that match
    if (store.decisions.areOthers(changed)) store.outdate();
    else if (mixed) store.recount();
  }

  /** The server couldn't be asked: say so, and ask again after a while. */
  lose(error) {
    this.misses += 1;
    this.problem = error.status === 401 ? text("problem.other") : error instanceof Refused ? error.message : text("problem.gone");
    this.store.emit("about");
  }

  /** A question failed: a view that is gone is asked for again, a server that is gone is waited for. */
  fail(error) {
    if (error.status === 410) this.store.refresh();
    else if (mayPass(error)) this.lose(error);
    else this.store.say("said.failed", { why: error.message });
  }
}
