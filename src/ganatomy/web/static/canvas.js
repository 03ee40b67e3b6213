// @ts-check
/** The canvas to paint on: a brush moved by pointer or keys, and paths drawn over the image. */

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
const MIN_DISTANCE = 1 / 128;
const MAX_POINTS = 500;
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Set a canvas to the size of an image, and its frame to the aspect ratio. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function fit(canvas, width, height) {
  Object.assign(canvas, { width, height });
  canvas.parentElement?.style.setProperty("--shape", String(width / height));
  canvas.parentElement?.classList.toggle("smooth", width > 512);
}

export class PaintCanvas {
  /**
   * @param {HTMLCanvasElement} image shows the pixels
   * @param {HTMLCanvasElement} overlay is on top of it and takes pointer and key events
   * @param {{radius: () => number, colour: () => string, onChange: (points: Point[]) => void, onEnd: (points: Point[]) => void}} brush
   */
  constructor(image, overlay, brush) {
    this.image = image;
    this.overlay = overlay;
    this.brush = brush;
    /** @type {Point[]} */
    this.path = [];
    /** @type {Point | null} */
    this.cursor = null;
    this.pressed = false;
    /** @type {readonly Stroke[]} */
    this.highlighted = [];
    /** @type {{edited: ImageBitmap | null, original: ImageBitmap | null}} */
    this.images = { edited: null, original: null };
    this.split = 0;
    overlay.addEventListener("pointerdown", (event) => this.#press(event));
    overlay.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of /** @type {("pointerup" | "pointercancel")[]} */ (["pointerup", "pointercancel"])) overlay.addEventListener(name, (event) => { if (event.isPrimary) this.#release(); });
    overlay.addEventListener("pointerleave", () => { if (!this.pressed) this.#moveCursor(null); });
    overlay.addEventListener("keydown", (event) => this.#key(event));
    overlay.addEventListener("keyup", (event) => { if (event.key === " ") this.#release(); });
    overlay.addEventListener("blur", () => { this.#release(); this.#moveCursor(null); });
    new ResizeObserver(() => this.drawOverlay()).observe(overlay);
  }

  /** Show new images; an image that is not given stays. @param {{edited?: ImageBitmap | null, original?: ImageBitmap}} images */
  show(images) {
    Object.assign(this.images, images);
    this.draw();
  }

  /** Draw the edited image, with the original on the left up to `split` (0 to 1). */
  draw() {
    const { original } = this.images;
    const edited = this.images.edited ?? original;
    const context = this.image.getContext("2d");
    if (!edited || !context) return;
    const { width, height } = edited;
    if (this.image.width !== width || this.image.height !== height) fit(this.image, width, height);
    context.drawImage(edited, 0, 0);
    const edge = Math.round(this.split * width);
    if (original && edge > 0) context.drawImage(original, 0, 0, edge, height, 0, 0, edge, height);
    this.drawOverlay();
  }

  /** Draw the paths of strokes over the image. @param {readonly Stroke[]} strokes */
  highlight(strokes) {
    this.highlighted = strokes;
    this.drawOverlay();
  }

  /** Draw the overlay: highlighted strokes, the current path, the brush and the split line. */
  drawOverlay() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.overlay, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.overlay.getContext("2d");
    if (!context || !width) return;
    context.scale(ratio, ratio);
    for (const stroke of this.highlighted) this.#drawPath(context, stroke.points, stroke.radius, "#ffe14d");
    if (this.path.length) this.#drawPath(context, this.path, this.brush.radius(), this.brush.colour());
    if (this.cursor) this.#drawBrush(context, this.cursor);
    if (this.split > 0 && this.split < 1) {
      context.fillStyle = "#ffe14d";
      context.fillRect(this.split * width - 1, 0, 2, height);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {readonly Point[]} points @param {number} radius @param {string} colour */
  #drawPath(context, points, radius, colour) {
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
  #drawBrush(context, [x, y]) {
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
  #position(event) {
    const box = this.overlay.getBoundingClientRect();
    /** @param {number} share */
    const clamp = (share) => Math.min(1, Math.max(0, share));
    return [clamp((event.clientX - box.x) / box.width), clamp((event.clientY - box.y) / box.height)];
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return; // only the first finger paints
    event.preventDefault();
    this.overlay.focus({ preventScroll: true });
    this.overlay.setPointerCapture(event.pointerId);
    this.pressed = true;
    this.#moveCursor(this.#position(event));
    this.#extend(this.#position(event));
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!event.isPrimary) return;
    const coalesced = this.pressed ? event.getCoalescedEvents?.() ?? [] : [];
    for (const each of coalesced.length ? coalesced : [event]) {
      this.#moveCursor(this.#position(each));
      if (this.pressed) this.#extend(this.#position(each));
    }
  }

  /** @param {Point} point */
  #extend(point) {
    const last = this.path.at(-1);
    if (last && Math.hypot(point[0] - last[0], point[1] - last[1]) < MIN_DISTANCE) return;
    if (this.path.length >= MAX_POINTS) this.path = this.path.filter((_, i) => i % 2 === 0);
    this.path.push(point);
    this.brush.onChange([...this.path]);
    this.drawOverlay();
  }

  #release() {
    this.pressed = false;
    if (!this.path.length) return;
    const path = this.path;
    this.path = [];
    this.brush.onEnd(path);
    this.drawOverlay();
  }

  /** @param {Point | null} at */
  #moveCursor(at) {
    this.cursor = at;
    this.drawOverlay();
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
    this.#moveCursor(at);
    if (event.key === " ") this.pressed = true;
    if (this.pressed) this.#extend(at);
  }
}
