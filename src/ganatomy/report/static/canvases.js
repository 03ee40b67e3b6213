/**
 * When canvases are drawn: those near the window first, then the others, so that an image of the whole page and a print
 * have no blanks. Beyond a number of pixels, only those near the window are kept.
 */

const KEPT_PIXELS = 40e6;
/** Milliseconds of drawing before the browser may do something else. */
const TURN = 12;

/** For each canvas: its functions, whether it is near the window, and whether it is drawn. */
const states = new WeakMap();
const waiting = [];
const drawn = new Set();
let busy = false;

const visibility = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const state = states.get(target);
    state.near = isIntersecting;
    if (isIntersecting) drawCanvas(target);
    else if (pixelsDrawn() > KEPT_PIXELS) clearCanvas(target);
  }
}, { rootMargin: "400px" });

/** Draw on a canvas soon, once `ready` resolves; `draw` sets its size. */
export function drawSoon(canvas, ready, draw) {
  states.set(canvas, { ready, draw, near: false });
  visibility.observe(canvas);
  waiting.push(canvas);
  if (!busy) {
    busy = true;
    setTimeout(drawWaiting);
  }
}

async function drawCanvas(canvas) {
  const state = states.get(canvas);
  if (drawn.has(canvas)) return;
  await state.ready();
  if (drawn.has(canvas) || !canvas.isConnected || (!state.near && pixelsDrawn() > KEPT_PIXELS)) return;
  state.draw();
  drawn.add(canvas);
}

function clearCanvas(canvas) {
  canvas.width = 0;
  drawn.delete(canvas);
}

/** Pixels of the canvases that are drawn and on the page; those of views that were left are let go. */
function pixelsDrawn() {
  let pixels = 0;
  for (const canvas of drawn) {
    if (canvas.isConnected) pixels += canvas.width * canvas.height;
    else drawn.delete(canvas);
  }
  return pixels;
}

/** Draw canvases that wait, in turns. */
async function drawWaiting() {
  const end = performance.now() + TURN;
  while (waiting.length && performance.now() < end) {
    const canvas = waiting.shift();
    if (!canvas.isConnected || pixelsDrawn() > KEPT_PIXELS) continue;
    await drawCanvas(canvas).catch(() => undefined); // it is tried again when it comes near the window
  }
  busy = waiting.length > 0;
  if (busy) setTimeout(drawWaiting);
}
