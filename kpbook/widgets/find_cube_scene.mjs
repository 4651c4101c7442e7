// Find the cube: its four pictures, drawn into canvases.

import { fitCanvas, make } from "./core.mjs";
import { heatmapOf } from "./find_cube_state.mjs";
import { colourOf, drawPoint, strokeMark } from "./marks.mjs";
import { asPixels, heatOver, paintPixels, toPixels, toStage } from "./pixels.mjs";

const NOTHING = { rgb: new Uint8ClampedArray(3).fill(128), h: 1, w: 1 }; // grey: no answer yet

/** A picture (Uint8, H x W x 4) that is painted from, as smooth as a canvas can. */
export class Picture {
  constructor(pixels, H, W) {
    this.image = new ImageData(pixels, W, H); // over the same bytes
    this.canvas = make("canvas", { width: W, height: H });
  }

  /** The pixels have changed. */
  renew() {
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }

  paint(canvas, side) {
    const context = fitCanvas(canvas, side, side);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.canvas, 0, 0, side, side);
    return context;
  }
}

/**
 * The scene, every keypoint as a point, and a mark where each object's keypoint says that it is, both
 * in pixels of an H x W picture.
 */
export function drawScene(canvas, side, picture, { H, W, points, chosen, objects, said }, ink) {
  const context = picture.paint(canvas, side);
  for (let n = 0; n < points.length / 2; n++) {
    const at = toPixels([points[2 * n], points[2 * n + 1]], H, W);
    drawPoint(context, toStage(at, side, H, W), n === chosen, ink);
  }
  objects.forEach((object, k) => {
    if (said[object]) strokeMark(context, k, toStage(said[object], side, H, W), colourOf(ink, k), ink.halo);
  });
}

/** What the network sees. */
export function drawSeen(canvas, side, { rgb, H, W }) {
  paintPixels(canvas, rgb, H, W, side);
}

/** One keypoint's heat map over the scene; is it known? */
export function drawHeat(canvas, side, { rgb, H, W }, answer, n) {
  const heat = heatmapOf(answer, n);
  if (heat) paintPixels(canvas, heatOver(heat.map, heat.h, heat.w, rgb, H, W), H, W, side);
  else paintPixels(canvas, NOTHING.rgb, 1, 1, side);
  return heat !== null;
}

/** The scene as the network draws it again. */
export function drawAgain(canvas, side, { reconstruction }) {
  const { rgb, h, w } = reconstruction ? asPixels(reconstruction) : NOTHING;
  paintPixels(canvas, rgb, h, w, side);
}
