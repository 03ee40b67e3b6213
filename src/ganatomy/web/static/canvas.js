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

/** @param {CanvasRenderingContext2D} context @param {[number, number]} grid @param {number} width @param {number} height */
function drawGrid(context, [rows, columns], width, height) {
  context.beginPath();
  for (let row = 1; row < rows; row++) context.rect(0, row * height / rows, width, 0);
  for (let column = 1; column < columns; column++) context.rect(column * width / columns, 0, 0, height);
  for (const [colour, thickness] of /** @type {[string, number][]} */ ([["#0008", 2], ["#fffa", 1]])) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thickness });
    context.stroke();
  }
}

/** Draw a cross in a circle, which says where a clone takes from. @param {CanvasRenderingContext2D} context @param {Point} at in pixels */
export function drawMarker(context, [x, y]) {
  for (const [colour, thickness] of /** @type {[string, number][]} */ ([["#000", 5], ["#ff5fd2", 2.5]])) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thickness });
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    for (const [dx, dy] of Object.values(ARROWS)) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    context.stroke();
  }
}

/** Draw the line between the original and the edited image, with their names. @param {CanvasRenderingContext2D} context @param {number} edge @param {number} width @param {number} height */
function drawSplit(context, edge, width, height) {
  context.fillStyle = "#fff";
  context.fillRect(edge - 1, 0, 2, height);
  Object.assign(context, { font: "600 13px system-ui, sans-serif", textBaseline: "top", lineWidth: 3, strokeStyle: "#000" });
  for (const [text, align, x] of /** @type {[string, CanvasTextAlign, number][]} */ ([["before", "right", edge - 8], ["after", "left", edge + 8]])) {
    if (x < 60 || x > width - 50) continue;
    context.textAlign = align;
    context.strokeText(text, x, 8);
    context.fillText(text, x, 8);
  }
}

export class PaintCanvas {
  /**
   * @param {HTMLCanvasElement} image shows the pixels
   * @param {HTMLCanvasElement} overlay is on top of it and takes pointer and key events
   * @param {{radius: () => number, colour: () => string, source: () => Point | null, onMove: (offset: Point) => void, onPick: (at: Point) => void, onChange: (points: Point[]) => void, onEnd: (points: Point[]) => void}} brush
   *   `source` is the place of this image that a clone takes from, `onMove` gets how far a stroke has gone, `onPick` a place that is picked
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
    /** Whether the next press picks a place instead of painting. */
    this.picking = false;
    /** Rows and columns of the grid to draw, if any. @type {[number, number] | null} */
    this.grid = null;
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

  /** How far the stroke in progress has gone from its start. @returns {Point} */
  get offset() {
    const [start, end] = [this.path[0], this.cursor];
    return start && end ? [end[0] - start[0], end[1] - start[1]] : [0, 0];
  }

  /** Draw the overlay: the grid, highlighted strokes, the current path, the brush, the source of a clone and the split line. */
  drawOverlay() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.overlay, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.overlay.getContext("2d");
    if (!context || !width) return;
    context.scale(ratio, ratio);
    if (this.grid) drawGrid(context, this.grid, width, height);
    for (const stroke of this.highlighted) this.#drawPath(context, stroke.points, stroke.radius, "#ffe14d");
    if (this.path.length) this.#drawPath(context, this.path, this.brush.radius(), this.brush.colour());
    if (this.cursor) this.#drawBrush(context, this.cursor);
    const source = this.brush.source();
    if (source) drawMarker(context, [(source[0] + this.offset[0]) * width, (source[1] + this.offset[1]) * height]);
    if (this.split > 0) drawSplit(context, this.split * width, width, height);
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
    this.#moveCursor(this.#position(event));
    if (this.picking || event.altKey) return this.brush.onPick(this.#position(event));
    this.overlay.setPointerCapture(event.pointerId);
    this.pressed = true;
    return this.#extend(this.#position(event));
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
    this.brush.onMove(this.offset);
    this.brush.onChange([...this.path]);
    this.drawOverlay();
  }

  #release() {
    this.pressed = false;
    if (!this.path.length) return;
    const path = this.path;
    this.path = [];
    this.brush.onMove([0, 0]);
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
    if (event.key === " " && this.picking) this.brush.onPick(at);
    else if (event.key === " ") this.pressed = true;
    if (this.pressed) this.#extend(at);
  }
}
