// Pictures of a few pixels, painted large into a canvas.

import { fitCanvas, make } from "./core.mjs";

const small = new WeakMap(); // canvas -> the one of true size that is scaled up into it

/** Paint uint8 pixels (H x W x 3), each as a square, over a canvas of w x h CSS pixels. */
export function paintPixels(canvas, rgb, H, W, w, h = w) {
  if (small.get(canvas)?.width !== W || small.get(canvas)?.height !== H) {
    small.set(canvas, make("canvas", { width: W, height: H }));
  }
  const source = small.get(canvas);
  const image = new ImageData(W, H);
  for (let k = 0; k < H * W; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = rgb[3 * k + c];
    image.data[4 * k + 3] = 255;
  }
  source.getContext("2d").putImageData(image, 0, 0);
  const context = fitCanvas(canvas, w, h);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, w, h);
  return context;
}

/** One heat map (h x w) over a grey picture (uint8, H x W x 3): the brightest cell is full. */
export function heatOver(map, h, w, rgb, H, W) {
  let top = 0;
  for (const p of map) if (p > top) top = p;
  const hot = [255, 190, 60];
  const mixed = new Uint8ClampedArray(3 * H * W);
  for (let v = 0; v < H; v++) {
    for (let u = 0; u < W; u++) {
      const heat = Math.sqrt(map[Math.floor((v * h) / H) * w + Math.floor((u * w) / W)] / (top || 1));
      const k = v * W + u;
      const grey = 0.5 * (0.3 * rgb[3 * k] + 0.59 * rgb[3 * k + 1] + 0.11 * rgb[3 * k + 2]);
      for (let c = 0; c < 3; c++) mixed[3 * k + c] = (1 - heat) * grey + heat * hot[c];
    }
  }
  return mixed;
}

/** Pixels of image coordinates: -1 and +1 at the centres of the border pixels. */
export function toPixels([x, y], H, W) {
  return [((x + 1) / 2) * (W - 1), ((y + 1) / 2) * (H - 1)];
}

/** Where a pixel's place [u, v] of an H x W picture is on a stage, `side` CSS pixels wide. */
export function toStage([u, v], side, H, W) {
  return [((u + 0.5) * side) / W, ((v + 0.5) * side) / H];
}

/** A network's picture, float32 3 x h x w in [0, 1], as pixels: {rgb, h, w}. */
export function asPixels({ data, dims: [, h, w] }) {
  const rgb = new Uint8ClampedArray(3 * h * w);
  for (let k = 0; k < h * w; k++) {
    for (let c = 0; c < 3; c++) rgb[3 * k + c] = 255 * data[c * h * w + k];
  }
  return { rgb, h, w };
}
