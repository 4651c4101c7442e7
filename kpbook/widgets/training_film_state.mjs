// Training, replayed, without a page: state, what is unpacked, where marks go, words.

import { formatNumber, inflate, numberIn } from "./core.mjs";
import { toPixels } from "./pixels.mjs";
import { inThousands } from "./training_film_chart.mjs";

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, { steps, frames, objects }) {
  const whole = (value, top) => Math.round(numberIn(value, 0, top, 0));
  return {
    checkpoint: whole(raw.checkpoint, steps.length - 1),
    frame: whole(raw.frame, frames - 1),
    object: objects.includes(raw.object) ? raw.object : objects[0],
  };
}

/**
 * zlib-compressed bytes to {points, frames, heat, drawn}: float32 points, then uint8 arrays, in the
 * order and the shapes of kpbook.recordings.training_film.
 */
export async function unpack(view, { steps, frames, points, objects, H, W, h, w, drawn }) {
  const flat = (await inflate(view)).buffer;
  let start = 0;
  const take = (Kind, count) => {
    const part = new Kind(flat, start, count);
    start += part.byteLength;
    return part;
  };
  const looks = steps.length * frames;
  return {
    points: take(Float32Array, looks * points * 2),
    frames: take(Uint8ClampedArray, frames * H * W * 3),
    heat: take(Uint8Array, looks * objects.length * h * w),
    drawn: take(Uint8ClampedArray, looks * drawn * drawn * 3),
  };
}

/** Keypoint `which` of a checkpoint in a frame, image coordinates. */
export function pointAt(recorded, { frames, points }, { checkpoint, frame }, which) {
  const k = 2 * ((checkpoint * frames + frame) * points + which);
  return [recorded.points[k], recorded.points[k + 1]];
}

/**
 * Where each object's keypoint says that it is, by the metric's affine map of that checkpoint, and
 * where it is: {said, truth, off} for each object, pixels.
 */
export function marksAt(recorded, about, state) {
  const { objects, keypoint, linear, offset, truth, H, W } = about;
  return objects.map((_, k) => {
    const [x, y] = pointAt(recorded, about, state, keypoint[state.checkpoint][k]);
    const [A, b] = [linear[state.checkpoint][k], offset[state.checkpoint][k]];
    const said = toPixels([A[0][0] * x + A[0][1] * y + b[0], A[1][0] * x + A[1][1] * y + b[1]], H, W);
    const where = toPixels(truth[state.frame][k], H, W);
    return { said, truth: where, off: Math.hypot(said[0] - where[0], said[1] - where[1]) };
  });
}

export function errorText(error) {
  return Number(error.toPrecision(2)).toString();
}

export function stepText({ steps, images }, checkpoint) {
  const untrained = checkpoint === 0 && steps[0] === 0 ? ", untrained" : "";
  return `step ${inThousands(steps[checkpoint])}${untrained}, ${inThousands(images[checkpoint])} images`;
}

/** The checkpoint in words, for the line that is read aloud. */
export function describe(about, state, marks) {
  const { objects, error, threshold, steps } = about;
  const now = error[state.checkpoint];
  const tracked = objects.filter((_, k) => now[k] <= threshold[k]);
  const others = objects.filter((object) => !tracked.includes(object));
  const each = objects.map(
    (object, k) => `${object} ${errorText(now[k])}, mark ${formatNumber(marks[k].off, 1)} pixels off`,
  );
  const list = (names) => names.join(", ") || "none";
  const place = stepText(about, state.checkpoint);
  return (
    `${place[0].toUpperCase()}${place.slice(1)} of ${inThousands(about.images.at(-1))}. ` +
    `Tracked: ${list(tracked)}; not tracked: ${list(others)}. Errors: ${each.join("; ")}.`
  );
}
