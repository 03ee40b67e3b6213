/** An image of a unit, as large as the window allows, with the ones before and after it. */

import { h, put, significant } from "./dom.js";
import { saveButton, png } from "./download.js";
import { paint, sharpCanvas } from "./paint.js";

/** Open the images of a unit, which `model.fetch` has loaded, at one of them. */
export function openZoom(model, unit, images, first, showRegion) {
  let [place, region] = [first, showRegion];
  const canvas = h("canvas", { role: "img" });
  const caption = h("p", { class: "small", "aria-live": "polite" });
  const show = () => {
    const image = images[place];
    const { width, height } = model.sprites;
    const room = Math.min((window.innerWidth - 64) / width, (window.innerHeight - 170) / height);
    const zoom = room > 1 ? Math.floor(room) : room;
    const box = { x: 0, y: 0, width: Math.floor(zoom * width), height: Math.floor(zoom * height) };
    paint(sharpCanvas(canvas, box.width, box.height), model, image, box, region);
    canvas.setAttribute("aria-label", `Image ${image.id}, where unit ${unit.key} reaches ${significant(image.value)}`);
    caption.textContent = `${place + 1} of ${images.length}: image ${image.id}, ${unit.key} reaches ${significant(image.value)}${model.promptText(image)}`;
  };
  const move = (step) => {
    place = (place + step + images.length) % images.length;
    show();
  };
  const dialog = h("dialog", { class: "zoom", "aria-label": `Images of unit ${unit.key}`, close: () => dialog.remove(), click: (event) => event.target === dialog && dialog.close() });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    move(step);
  });
  const name = () => `${unit.key.replaceAll("/", "-")}-image-${images[place].id}.png`;
  put(dialog, canvas, caption,
    h("div", { class: "tools-row" },
      h("button", { type: "button", "aria-label": "Previous image", click: () => move(-1) }, "←"),
      h("button", { type: "button", "aria-label": "Next image", click: () => move(1) }, "→"),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: region, change: (event) => { region = event.target.checked; show(); } }), "show where it is on"),
      saveButton("PNG", name, () => png(canvas)),
      h("button", { type: "button", click: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  show();
  dialog.showModal();
}
