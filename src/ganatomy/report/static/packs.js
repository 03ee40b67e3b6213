/** What the page carries as text: pieces of base64, unpacked when they are asked for. */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** Resolves once the page has been read to its end. */
const whole = document.readyState === "loading"
  ? new Promise((done) => { document.addEventListener("DOMContentLoaded", done, { once: true }); })
  : Promise.resolve();

/** The bytes of a piece, out of the page or, where that is served, from the server. */
async function piece(name) {
  const served = document.getElementById("pieces")?.dataset.at;
  if (!served) return bytes(await text(name));
  const response = await fetch(`${served}/${name}`);
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return response.arrayBuffer();
}

/** The text of a piece, which leaves the page. A piece with something behind it has been read to its end. */
async function text(name) {
  if (!document.getElementById(name)?.nextElementSibling) await whole;
  const element = document.getElementById(name);
  element.remove();
  return element.textContent;
}

function bytes(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const characters = atob(base64);
  const values = new Uint8Array(characters.length);
  for (let i = 0; i < values.length; i++) values[i] = characters.charCodeAt(i);
  return values;
}

/** The bytes that a piece was deflated from. */
export async function inflated(name) {
  const stream = new Blob([await piece(name)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The arrays of a piece: {shape, values} by name. Numbers of several bytes lie in planes of bytes. */
export async function unpack(pack, manifest) {
  const planes = await inflated(pack);
  const arrays = {};
  for (const [name, [type, shape, offset]] of Object.entries(manifest)) {
    const values = new TYPES[type](shape.reduce((a, b) => a * b, 1));
    const bytes = new Uint8Array(values.buffer);
    const size = values.BYTES_PER_ELEMENT;
    for (let plane = 0; plane < size; plane++) {
      const start = offset + plane * values.length;
      for (let i = 0; i < values.length; i++) bytes[i * size + plane] = planes[start + i];
    }
    arrays[name] = { shape, values };
  }
  return arrays;
}

/** The image of a piece. */
export async function bitmap(name) {
  return createImageBitmap(new Blob([await piece(name)], { type: "image/jpeg" }));
}
