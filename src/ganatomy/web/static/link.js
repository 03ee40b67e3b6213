// @ts-check
/** An edit as the end of an address: JSON, deflated, in letters that addresses may have. */

/** @param {ReadableStream<any>} stream */
const whole = async (stream) => new Uint8Array(await new Response(stream).arrayBuffer());

/** @param {unknown} state @returns {Promise<string>} */
export async function encode(state) {
  const packed = await whole(new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw")));
  const text = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Read what `encode` wrote; null where it is no such text. @param {string} text @returns {Promise<any>} */
export async function decode(text) {
  try {
    const packed = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    const bytes = await whole(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}
