const SOLID = 128; // level of 255 from which on alpha belongs to a blob

/** How much a brush covers at a distance from its path, 0–1: all up to the soft part of its radius, then a cosine. */
export function brushCover(distance, radius, hardness) {
  const soft = radius * (1 - hardness);
  if (soft < 1) return Math.max(0, Math.min(1, radius + 0.5 - distance));
  return (1 + Math.cos(Math.PI * Math.max(0, Math.min(1, (distance - radius + soft) / soft)))) / 2;
}

/**
 * An alpha that is drawn on as the server will draw: `values` has a byte for each of width × height pixels.
 * Whatever draws returns the box {left, top, right, bottom} that it may have changed.
 */
export class AlphaSheet {
  constructor(values, width, height) {
    Object.assign(this, { before: values, values: values.slice(), width, height });
  }

  get whole() {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  reset() {
    this.values.set(this.before);
  }

  /** Draw an operation of a touch-up; `ratio`: pixels of this sheet for one of the source. */
  draw(operation, ratio) {
    if (operation.kind === "blob") return this.blob(operation.at.map((value) => Math.floor(value * ratio)), operation.only);
    const points = operation.points.map(([x, y]) => [x * ratio, y * ratio]);
    const brush = { ...operation, radius: (operation.size * ratio) / 2 };
    points.forEach((point, index) => this.segment(brush, points[Math.max(0, index - 1)], point));
    return this.whole;
  }

  /** Draw one straight part of a stroke; that parts overlap changes nothing, since the most that one covers counts. */
  segment({ radius, hardness, keep }, [fromX, fromY], [toX, toY]) {
    const box = this.around(radius + 1, [fromX, toX], [fromY, toY]);
    const [alongX, alongY] = [toX - fromX, toY - fromY];
    const squared = alongX * alongX + alongY * alongY || 1;
    for (let y = box.top; y < box.bottom; y += 1) {
      for (let x = box.left; x < box.right; x += 1) {
        const [right, down] = [x + 0.5 - fromX, y + 0.5 - fromY];
        const share = Math.max(0, Math.min(1, (right * alongX + down * alongY) / squared));
        const [offX, offY] = [right - share * alongX, down - share * alongY];
        this.cover(y * this.width + x, brushCover(Math.sqrt(offX * offX + offY * offY), radius, hardness), keep);
      }
    }
    return box;
  }

  cover(place, share, keep) {
    const level = Math.floor(255 * share + 0.5);
    const alpha = this.values[place];
    this.values[place] = keep ? Math.max(alpha, level) : Math.min(alpha, 255 - level);
  }

  around(margin, xs, ys) {
    return {
      left: Math.max(0, Math.floor(Math.min(...xs) - margin)),
      top: Math.max(0, Math.floor(Math.min(...ys) - margin)),
      right: Math.min(this.width, Math.ceil(Math.max(...xs) + margin)),
      bottom: Math.min(this.height, Math.ceil(Math.max(...ys) + margin)),
    };
  }

  /** Whether there is something of the subject at a pixel. */
  solid([x, y]) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height && this.values[y * this.width + x] >= SOLID;
  }

  /** Clear the blob at a pixel with its soft edge, or all else; what is nearer to another blob is that one's. */
  blob([x, y], only) {
    if (!this.solid([x, y])) return this.whole;
    const owners = new Uint8Array(this.values.length);
    const places = new Int32Array(this.values.length);
    places[0] = y * this.width + x;
    owners[places[0]] = 1;
    const cores = this.addOthers(owners, places, this.spread(owners, places, 1, SOLID));
    this.spread(owners, places, cores, 1);
    for (let place = 0; place < owners.length; place += 1) if ((owners[place] === 1) !== only) this.values[place] = 0;
    return this.whole;
  }

  /** Give what is solid and nobody's yet to the others; returns how many places have an owner then. */
  addOthers(owners, places, count) {
    for (let place = 0; place < owners.length; place += 1) {
      if (owners[place] || this.values[place] < SOLID) continue;
      owners[place] = 2;
      places[count++] = place;
    }
    return count;
  }

  /** Let owners of `count` places take, step by step, all they reach through `least` alpha; returns how many they are. */
  spread(owners, places, count, least) {
    for (let next = 0; next < count; next += 1) {
      const [x, y] = [places[next] % this.width, Math.floor(places[next] / this.width)];
      for (let row = Math.max(0, y - 1); row <= Math.min(this.height - 1, y + 1); row += 1) {
        for (let column = Math.max(0, x - 1); column <= Math.min(this.width - 1, x + 1); column += 1) {
          const place = row * this.width + column;
          if (owners[place] || this.values[place] < least) continue;
          owners[place] = owners[places[next]];
          places[count++] = place;
        }
      }
    }
    return count;
  }
}
