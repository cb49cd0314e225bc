const TALLEST_PX = 12_000_000; // what all browsers lay out exactly, at any zoom

/** Where a list is scrolled to, also one that is higher than a browser can make an element. */
export class Track {
  /** Called when the list, or its window, has another size: `height` of all, `seen` of what is visible. */
  resize(height, seen) {
    const top = this.top ?? 0;
    Object.assign(this, { height: Math.max(height, seen), seen });
    this.physical = Math.min(this.height, TALLEST_PX);
    this.ratio = this.physical > seen ? (this.height - seen) / (this.physical - seen) : 1;
    this.goTo(top);
  }

  /** The place of the scroll bar for a place in the list, which becomes the present one. */
  goTo(top) {
    this.top = Math.max(0, Math.min(top, this.height - this.seen));
    this.bar = this.top / this.ratio;
    return this.bar;
  }

  /** The bar is at `bar` now: short ways count pixel for pixel, long ones (somebody drags it) as their share of all. */
  follow(bar) {
    const moved = bar - this.bar;
    const atEnd = bar <= 0 || bar >= this.physical - this.seen;
    if (this.ratio === 1 || atEnd || Math.abs(moved) > 2 * this.seen) this.goTo(bar * this.ratio);
    else this.top = Math.max(0, Math.min(this.top + moved, this.height - this.seen));
    this.bar = bar;
    return this.top;
  }

  /** Where on the page something at `place` of the list is drawn. */
  drawn(place) {
    return this.bar + (place - this.top);
  }
}
