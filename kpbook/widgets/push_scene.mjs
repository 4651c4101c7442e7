// Boxes drawn over a recorded picture of the arm: the scene of PandaPush, as the simulator draws it.
//
// Pixels are those of kpbook/cameras.py: an integer is the centre of a pixel, u to the right, v down.
// A camera is {fx, fy, cx, cy, R, t}: p_C = R p_W + t, R in reading order, OpenCV axes (z forward).
// A box is {name, colour: [r, g, b] in 0..1, centre: [x, y, z] metres, half: [x, y, z], yaw: radians
// about the world's z}. A light is {ambient, diffuse}: it comes straight from above, as the
// simulator's does, so the sides of an upright box get the ambient part alone.

export const LIGHT = { ambient: 0.6, diffuse: 0.3375 };

// Each face by its normal's axis and sign, and the two axes that span it.
const FACES = [
  [0, 1, 1, 2], [0, -1, 1, 2],
  [1, 1, 0, 2], [1, -1, 0, 2],
  [2, 1, 0, 1], [2, -1, 0, 1],
];

/** Where the camera sees a point of the world: {pixel: [u, v], depth} (metres along its axis). */
export function projectPoint(camera, [x, y, z]) {
  const { R, t } = camera;
  const c = [0, 1, 2].map((i) => R[3 * i] * x + R[3 * i + 1] * y + R[3 * i + 2] * z + t[i]);
  return { pixel: ontoPixels(camera, c), depth: c[2], camera: c };
}

function ontoPixels({ fx, fy, cx, cy }, [X, Y, Z]) {
  return [cx + (fx * X) / Z, cy + (fy * Y) / Z];
}

/** The same camera with `scale` times as many pixels a side; the image's edges stay. */
export function resized(camera, scale) {
  const { fx, fy, cx, cy } = camera;
  const middle = (c) => (c + 0.5) * scale - 0.5; // measured from the edge, not from a pixel's centre
  return { ...camera, fx: scale * fx, fy: scale * fy, cx: middle(cx), cy: middle(cy) };
}

/** The point of the world's plane z = height that a pixel sees, or null if it sees none. */
export function pointOnPlane(camera, [u, v], height) {
  const { R, t } = camera;
  const ray = [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1];
  const turned = [0, 1, 2].map((j) => R[j] * ray[0] + R[3 + j] * ray[1] + R[6 + j] * ray[2]);
  const eye = [0, 1, 2].map((j) => -(R[j] * t[0] + R[3 + j] * t[1] + R[6 + j] * t[2]));
  const s = (height - eye[2]) / turned[2];
  if (!(s > 0)) return null;
  return [eye[0] + s * turned[0], eye[1] + s * turned[1], height];
}

/** The faces of a box that look at the camera: corners in camera axes, normal, and colour. */
export function visibleFaces(camera, box, light = LIGHT) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const axes = [[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]];
  const faces = [];
  for (const [axis, sign, a, b] of FACES) {
    const corner = (p, q) => {
      const ways = [[axis, sign], [a, p], [b, q]];
      const place = box.centre.map((c, j) => ways.reduce((sum, [i, way]) => sum + way * box.half[i] * axes[i][j], c));
      return projectPoint(camera, place).camera;
    };
    const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
    const normal = [0, 1, 2].map((i) => sign * dot(camera.R.slice(3 * i, 3 * i + 3), axes[axis]));
    const offset = dot(normal, corners[0]);
    if (offset >= 0 || corners.some((c) => c[2] <= 0)) continue; // looks away, or is behind us
    const shade = light.ambient + light.diffuse * Math.max(0, sign * axes[axis][2]);
    faces.push({ corners, normal, offset, colour: box.colour.map((c) => 255 * c * shade) });
  }
  return faces;
}

/**
 * Draw boxes into a picture, each pixel by what is nearest at its centre.
 *
 * `rgb` (Uint8, H x W x 3, or x 4, whose last stays) and `depth` (metres, H x W) are changed; `depth`
 * starts as the recorded one. Returns the box that each pixel shows, as its index plus 1, 0 where none (Uint8, H x W).
 */
export function drawBoxes(rgb, depth, H, W, camera, boxes, light = LIGHT) {
  const mask = new Uint8Array(H * W);
  const channels = rgb.length / (H * W);
  boxes.forEach((box, index) => {
    for (const face of visibleFaces(camera, box, light)) {
      const colour = face.colour.map((c) => Math.min(255, Math.floor(c)));
      const polygon = face.corners.map((c) => ontoPixels(camera, c));
      const [us, vs] = [polygon.map((p) => p[0]), polygon.map((p) => p[1])];
      const first = (x, most) => Math.min(most, Math.max(0, Math.ceil(Math.min(...x))));
      const last = (x, most) => Math.max(-1, Math.min(most - 1, Math.floor(Math.max(...x))));
      for (let v = first(vs, H); v <= last(vs, H); v++) {
        for (let u = first(us, W); u <= last(us, W); u++) {
          if (!insideConvex(polygon, u, v)) continue;
          const ray = [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1];
          const z = face.offset / dot(face.normal, ray);
          const k = v * W + u;
          if (!(z < depth[k])) continue;
          depth[k] = z;
          mask[k] = index + 1;
          rgb.set(colour, channels * k);
        }
      }
    }
  });
  return mask;
}

/** Whether a point lies in a convex polygon, its border included, whichever way it turns. */
export function insideConvex(polygon, u, v) {
  let sign = 0;
  for (let i = 0; i < polygon.length; i++) {
    const [a, b] = [polygon[i], polygon[(i + 1) % polygon.length]];
    const side = (b[0] - a[0]) * (v - a[1]) - (b[1] - a[1]) * (u - a[0]);
    if (side === 0) continue;
    if (sign === 0) sign = Math.sign(side);
    else if (sign !== Math.sign(side)) return false;
  }
  return true;
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
