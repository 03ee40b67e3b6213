// @ts-check
/** The image that is painted on: a brush that follows pointer or keys, and paths drawn over the picture. */

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
const NEAR = 1 / 128;
const MOST_POINTS = 500;
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Give a canvas an image's size, and the frame around it the shape. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function fit(canvas, width, height) {
  Object.assign(canvas, { width, height });
  canvas.parentElement?.style.setProperty("--shape", String(width / height));
  canvas.parentElement?.classList.toggle("fine", width > 512);
}

export class Easel {
  /**
   * @param {HTMLCanvasElement} picture shows the pixels
   * @param {HTMLCanvasElement} overlay lies over it, takes pointer and keys
   * @param {{radius: () => number, colour: () => string, growing: (points: Point[]) => void, done: (points: Point[]) => void}} brush
   */
  constructor(picture, overlay, brush) {
    this.picture = picture;
    this.overlay = overlay;
    this.brush = brush;
    /** @type {Point[]} */
    this.path = [];
    /** @type {Point | null} */
    this.cursor = null;
    this.held = false;
    /** @type {readonly Stroke[]} */
    this.highlighted = [];
    /** @type {{painted: ImageBitmap | null, plain: ImageBitmap | null}} */
    this.shown = { painted: null, plain: null };
    this.split = 0;
    overlay.addEventListener("pointerdown", (event) => this.#press(event));
    overlay.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of /** @type {("pointerup" | "pointercancel")[]} */ (["pointerup", "pointercancel"])) overlay.addEventListener(name, (event) => { if (event.isPrimary) this.#lift(); });
    overlay.addEventListener("pointerleave", () => { if (!this.held) this.#point(null); });
    overlay.addEventListener("keydown", (event) => this.#key(event));
    overlay.addEventListener("keyup", (event) => { if (event.key === " ") this.#lift(); });
    overlay.addEventListener("blur", () => { this.#lift(); this.#point(null); });
    new ResizeObserver(() => this.mark()).observe(overlay);
  }

  /** Show images; each replaces what it names. @param {{painted?: ImageBitmap | null, plain?: ImageBitmap}} pictures */
  show(pictures) {
    Object.assign(this.shown, pictures);
    this.draw();
  }

  /** Draw the image, and the original over its left part, as far as `split` (0 to 1). */
  draw() {
    const { plain } = this.shown;
    const painted = this.shown.painted ?? plain;
    const context = this.picture.getContext("2d");
    if (!painted || !context) return;
    const { width, height } = painted;
    if (this.picture.width !== width || this.picture.height !== height) fit(this.picture, width, height);
    context.drawImage(painted, 0, 0);
    const edge = Math.round(this.split * width);
    if (plain && edge > 0) context.drawImage(plain, 0, 0, edge, height, 0, 0, edge, height);
    this.mark();
  }

  /** Draw the paths of strokes over the picture. @param {readonly Stroke[]} strokes */
  highlight(strokes) {
    this.highlighted = strokes;
    this.mark();
  }

  /** Draw the brush and all that lies over the picture. */
  mark() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.overlay, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.overlay.getContext("2d");
    if (!context || !width) return;
    context.scale(ratio, ratio);
    for (const stroke of this.highlighted) this.#line(context, stroke.points, stroke.radius, "#ffe14d");
    if (this.path.length) this.#line(context, this.path, this.brush.radius(), this.brush.colour());
    if (this.cursor) this.#ring(context, this.cursor);
    if (this.split > 0 && this.split < 1) {
      context.fillStyle = "#ffe14d";
      context.fillRect(this.split * width - 1, 0, 2, height);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {readonly Point[]} points @param {number} radius @param {string} colour */
  #line(context, points, radius, colour) {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    context.save();
    Object.assign(context, { globalAlpha: 0.35, lineCap: "round", lineJoin: "round", strokeStyle: colour, fillStyle: colour });
    if (!points.length) context.fillRect(0, 0, width, height);
    context.lineWidth = Math.max(2, 2 * radius * width);
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x * width, y * height);
    if (points.length === 1) context.lineTo(points[0][0] * width + 0.01, points[0][1] * height);
    context.stroke();
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {Point} at */
  #ring(context, [x, y]) {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    for (const [colour, thickness] of /** @type {[string, number][]} */ ([["#000", 3], ["#fff", 1.5]])) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.beginPath();
      context.arc(x * width, y * height, Math.max(3, this.brush.radius() * width), 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** @param {PointerEvent} event @returns {Point} */
  #place(event) {
    const box = this.overlay.getBoundingClientRect();
    /** @param {number} share */
    const within = (share) => Math.min(1, Math.max(0, share));
    return [within((event.clientX - box.x) / box.width), within((event.clientY - box.y) / box.height)];
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return; // a second finger is no brush
    event.preventDefault();
    this.overlay.focus({ preventScroll: true });
    this.overlay.setPointerCapture(event.pointerId);
    this.held = true;
    this.#point(this.#place(event));
    this.#extend(this.#place(event));
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!event.isPrimary) return;
    const passed = this.held ? event.getCoalescedEvents?.() ?? [] : [];
    for (const each of passed.length ? passed : [event]) {
      this.#point(this.#place(each));
      if (this.held) this.#extend(this.#place(each));
    }
  }

  /** @param {Point} point */
  #extend(point) {
    const last = this.path.at(-1);
    if (last && Math.hypot(point[0] - last[0], point[1] - last[1]) < NEAR) return;
    if (this.path.length >= MOST_POINTS) this.path = this.path.filter((_, i) => i % 2 === 0);
    this.path.push(point);
    this.brush.growing([...this.path]);
    this.mark();
  }

  #lift() {
    this.held = false;
    if (!this.path.length) return;
    const path = this.path;
    this.path = [];
    this.brush.done(path);
    this.mark();
  }

  /** @param {Point | null} at */
  #point(at) {
    this.cursor = at;
    this.mark();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = ARROWS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    const [x, y] = this.cursor ?? [0.5, 0.5];
    /** @type {Point} */
    const at = step ? [Math.min(1, Math.max(0, x + step[0] * STEP)), Math.min(1, Math.max(0, y + step[1] * STEP))] : [x, y];
    this.#point(at);
    if (event.key === " ") this.held = true;
    if (this.held) this.#extend(at);
  }
}
