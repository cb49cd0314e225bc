const GAPS_S = [1, 2, 4, 8, 15, 30];

/** Changes on their way to the server, in order, one at a time; each stays here until the server has answered. */
export class Outbox {
  /** `retry(error)` says whether to try again; `changed` is told when there are more or fewer, or one can't be sent. */
  constructor({ retry, changed }) {
    Object.assign(this, { retry, changed });
    this.jobs = [];
    this.failures = 0;
  }

  get size() {
    return this.jobs.length;
  }

  /** Send `job.send()` when its turn comes; resolves with the answer, rejects where it was refused or taken back. */
  add(job) {
    const answer = new Promise((resolve, reject) => Object.assign(job, { resolve, reject }));
    this.jobs.push(job);
    this.changed();
    this.pump();
    return answer;
  }

  /** Take the newest job back if it isn't on its way yet; returns whether that was so. */
  takeBack() {
    const newest = this.jobs.at(-1);
    if (!newest || newest.tried) return false;
    this.jobs.pop();
    newest.reject(null);
    this.changed();
    return true;
  }

  /** Try again at once. */
  wake() {
    clearTimeout(this.timer);
    this.timer = null;
    this.pump();
  }

  async pump() {
    if (this.busy || this.timer || !this.size) return;
    this.busy = true;
    const [job] = this.jobs;
    job.tried = true;
    try {
      this.settle(job.resolve, await job.send());
    } catch (error) {
      if (this.retry(error)) this.wait();
      else this.settle(job.reject, error);
    }
    this.busy = false;
    this.pump();
  }

  settle(done, what) {
    this.failures = 0;
    this.jobs.shift();
    done(what);
    this.changed();
  }

  wait() {
    const gap = GAPS_S[Math.min(this.failures++, GAPS_S.length - 1)];
    this.timer = setTimeout(() => this.wake(), gap * 1000);
    this.changed();
  }
}
