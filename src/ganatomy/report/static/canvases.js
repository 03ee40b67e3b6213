/**
 * When canvases are drawn: those near the window first, then the others, so that an image of the whole page and a print
 * have no blanks. Beyond a number of pixels, only those near the window are kept.
 */

const KEPT_PIXELS = 40e6;

/** For each canvas: its functions, whether it is near the window, and whether it is drawn. */
const states = new WeakMap();
const waiting = [];
const drawn = new Set();
let idle = false;

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
  if (!idle) {
    idle = true;
    whenIdle(drawWaiting);
  }
}

function whenIdle(run) {
  if (window.requestIdleCallback) window.requestIdleCallback(run, { timeout: 500 });
  else setTimeout(run, 20);
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

/** Draw some canvases that wait, and the rest when the browser has nothing else to do. */
async function drawWaiting(deadline) {
  do {
    const canvas = waiting.shift();
    if (canvas?.isConnected && pixelsDrawn() < KEPT_PIXELS) await drawCanvas(canvas);
  } while (waiting.length && (deadline?.timeRemaining?.() ?? 0) > 5);
  idle = waiting.length > 0;
  if (idle) whenIdle(drawWaiting);
}
