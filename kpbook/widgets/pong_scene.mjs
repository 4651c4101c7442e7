// The field of Pong, drawn from where things are, as kpbook/widgets/_pong.py draws it.
//
// Places are [player y, enemy y, ball x, ball y], without the last two where there is no ball: the
// middles, in pixels of the emulator's field. A scene holds that field, the court's colour, the
// things and the size of the picture.

/** Middles [x, y] of what is there: player, enemy and any ball. */
export function middles({ things }, places) {
  const paddles = [0, 1].map((k) => [things[k].x, places[k]]);
  return places.length > 2 ? [...paddles, places.slice(2)] : paddles;
}

/** [left, top, right, bottom] of each thing's part in the field, centres of its outer pixels. */
function boxes(scene, places) {
  const { things, field: [tall, wide] } = scene;
  return middles(scene, places).map(([x, y], k) => {
    const [w, h] = things[k].size.map((n) => (n - 1) / 2);
    return [Math.max(x - w, 0), Math.max(y - h, 0), Math.min(x + w, wide - 1), Math.min(y + h, tall - 1)];
  });
}

/** Image coordinates of what is there: the middle of what is in the field. */
export function pointsOf(scene, places) {
  return boxes(scene, places).map(([left, top, right, bottom]) => toImage(scene, [(left + right) / 2, (top + bottom) / 2]));
}

function toImage({ size: [H, W], field: [tall, wide] }, [x, y]) {
  const [u, v] = [((x + 0.5) * W) / wide - 0.5, ((y + 0.5) * H) / tall - 0.5];
  return [(2 * u) / (W - 1) - 1, (2 * v) / (H - 1) - 1];
}

/** The picture, uint8 H x W x 3: each pixel is the mean of what it covers. */
export function drawField(scene, places) {
  const { size: [H, W], field: [tall, wide], court, things } = scene;
  const rgb = new Float64Array(3 * tall * wide);
  for (let k = 0; k < rgb.length; k++) rgb[k] = court[k % 3];
  boxes(scene, places).forEach(([left, top, right, bottom], n) => {
    for (let v = top; v <= bottom; v++) {
      for (let u = left; u <= right; u++) rgb.set(things[n].colour, 3 * (v * wide + u));
    }
  });
  const rows = shrink(rgb, tall, H, 3 * wide);
  const picture = new Uint8ClampedArray(3 * H * W);
  for (let i = 0; i < H; i++) {
    const row = shrink(rows.subarray(3 * wide * i, 3 * wide * (i + 1)), wide, W, 3);
    row.forEach((value, k) => (picture[3 * W * i + k] = Math.floor(value + 0.5)));
  }
  return picture;
}

/** Means of `count` lines of `width` numbers over the fewer lines that each covers a share of. */
function shrink(lines, count, pixels, width) {
  const means = new Float64Array(pixels * width);
  for (let i = 0; i < pixels; i++) {
    const [from, to] = [(i * count) / pixels, ((i + 1) * count) / pixels];
    for (let j = Math.floor(from); j < to; j++) {
      const share = ((Math.min(to, j + 1) - Math.max(from, j)) * pixels) / count;
      for (let k = 0; k < width; k++) means[i * width + k] += share * lines[j * width + k];
    }
  }
  return means;
}
