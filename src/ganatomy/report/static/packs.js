/** The binary data of the page: pieces in base64, unpacked on demand. */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** Resolves once the whole page is parsed. */
const parsed = document.readyState === "loading"
  ? new Promise((done) => { document.addEventListener("DOMContentLoaded", done, { once: true }); })
  : Promise.resolve();

/** The bytes of a piece, from the page or, in the web app, from the server. */
async function pieceBytes(name) {
  const url = document.getElementById("pieces")?.dataset.url;
  if (!url) return decodeBase64(await takeText(name));
  const response = await fetch(`${url}/${name}`);
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return response.arrayBuffer();
}

/** The text of a piece, whose element is removed to free memory. A piece is complete once an element follows it. */
async function takeText(name) {
  if (!document.getElementById(name)?.nextElementSibling) await parsed;
  const element = document.getElementById(name);
  element.remove();
  return element.textContent;
}

function decodeBase64(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const characters = atob(base64);
  const values = new Uint8Array(characters.length);
  for (let i = 0; i < values.length; i++) values[i] = characters.charCodeAt(i);
  return values;
}

/** The inflated bytes of a piece. */
export async function inflate(name) {
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  writer.write(await pieceBytes(name)).then(() => writer.close()).catch(() => undefined); // the reader meets the error
  return new Uint8Array(await new Response(readable).arrayBuffer());
}

/** The arrays of a piece: {shape, values} by name. The bytes of a number are stored in separate planes. */
export async function unpack(pack, manifest) {
  const planes = await inflate(pack);
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

/**
 * The image of a piece. It is an element, and only loaded: a browser waits for that before it calls the page complete
 * and takes a screenshot, but not for a bitmap to be made.
 */
export async function bitmap(name) {
  const image = new Image();
  const bytes = await pieceBytes(name);
  await new Promise((done, fail) => {
    image.onload = done;
    image.onerror = () => fail(new Error(`${name} is no image`));
    image.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  });
  URL.revokeObjectURL(image.src);
  return image;
}
