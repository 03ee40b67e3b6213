/** What the page carries as text: pieces of base64, unpacked when they are asked for. */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** Resolves once the page has been read to its end. */
const whole = document.readyState === "loading"
  ? new Promise((done) => { document.addEventListener("DOMContentLoaded", done, { once: true }); })
  : Promise.resolve();

/** The bytes of a piece, which is taken out of the page. A piece with something behind it has been read to its end. */
async function piece(id) {
  if (!document.getElementById(id)?.nextElementSibling) await whole;
  const element = document.getElementById(id);
  const text = element.textContent;
  element.remove();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The bytes that a piece was deflated from. */
export async function inflated(id) {
  const stream = new Blob([await piece(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The arrays of a piece: {shape, values} by name. Numbers of several bytes lie in planes of bytes. */
export async function unpack(id, manifest) {
  const planes = await inflated(id);
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

/** The picture of a piece. */
export async function bitmap(id) {
  return createImageBitmap(new Blob([await piece(id)], { type: "image/jpeg" }));
}
