/** Draw images on canvases: the region where a unit is on is outlined, the rest is dimmed. */

const DIM_ALPHA = 135;
const OUTLINE = "#ffe14d";

/** Size of a small image in CSS pixels: a whole multiple, or half, of its own pixels; about 64. */
export function cell(model) {
  const { width, height } = model.sprites;
  const side = Math.max(width, height);
  const zoom = side > 64 ? 0.5 : Math.floor(64 / side);
  return { width: Math.floor(width * zoom), height: Math.floor(height * zoom) };
}

/** Set a canvas to a CSS size at the resolution of the screen; returns its context, scaled to CSS pixels. */
export function sharpCanvas(canvas, width, height) {
  const ratio = Math.max(1, Math.ceil(window.devicePixelRatio || 1));
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

/** Draw one image of a unit, once `model.fetch` has loaded it, into a box {x, y, width, height}. */
export function paint(context, model, image, box, showRegion = true) {
  drawTile(context, model, image.tile, box);
  if (!showRegion) return;
  const region = model.region(image);
  dim(context, region, box);
  outline(context, region, box);
}

function drawTile(context, model, tile, box) {
  const { width, height, capacity } = model.sprites;
  const sheet = model.sheets.get(model.sheetOf(tile));
  const columns = Math.floor(sheet.width / width);
  const index = tile % capacity;
  context.imageSmoothingEnabled = box.width < width;
  context.drawImage(sheet, (index % columns) * width, Math.floor(index / columns) * height, width, height, box.x, box.y, box.width, box.height);
}

let dimmer = null;

/** Darken the image outside the region. */
function dim(context, { width, height, on }, box) {
  dimmer ??= document.createElement("canvas");
  dimmer.width = width;
  dimmer.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < on.length; i++) pixels.data[4 * i + 3] = on[i] ? 0 : DIM_ALPHA;
  dimmer.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(dimmer, box.x, box.y, box.width, box.height);
}

/** Outline the region with thin lines inside its border, along its cells; not at the edge of the image. */
function outline(context, { width, height, on }, box) {
  const [stepX, stepY] = [box.width / width, box.height / height];
  const thickness = Math.min(stepX, stepY) < 2 ? 1 / context.getTransform().a : 1;
  const off = (x, y) => x >= 0 && y >= 0 && x < width && y < height && !on[y * width + x];
  context.fillStyle = OUTLINE;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!on[y * width + x]) continue;
      const [left, top] = [box.x + x * stepX, box.y + y * stepY];
      if (off(x - 1, y)) context.fillRect(left, top, thickness, stepY);
      if (off(x + 1, y)) context.fillRect(left + stepX - thickness, top, thickness, stepY);
      if (off(x, y - 1)) context.fillRect(left, top, stepX, thickness);
      if (off(x, y + 1)) context.fillRect(left, top + stepY - thickness, stepX, thickness);
    }
  }
}
