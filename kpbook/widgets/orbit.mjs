// A pinhole camera on an orbit: chapter 2's equations, and lines of the world drawn through them.
//
// Conventions of kpbook/cameras.py: p_C = X_CW p_W, OpenCV axes (x right, y down, z forward), pixels
// whose integers are centres. Angles are in degrees, as kpbook.cameras.Camera.orbit takes them.

const NEAR = 1e-3; // metres: a line is cut off here, before the division grows without bound

/** Degrees in [-180, 180): a yaw goes round. */
export function wrapDegrees(angle) {
  return ((((angle + 180) % 360) + 360) % 360) - 180;
}

/** Camera.orbit of kpbook/cameras.py: {M, X_CW (rows), eye, H, W}. */
export function orbitCamera({ target, distance, yaw, pitch, fov }, H, W) {
  const [sy, cy, sp, cp] = [yaw, pitch].flatMap((a) => {
    const radians = (a * Math.PI) / 180;
    return [Math.sin(radians), Math.cos(radians)];
  });
  const right = [cy, sy, 0];
  const forward = [-sy * cp, cy * cp, sp];
  const down = cross(forward, right);
  const eye = target.map((value, k) => value - distance * forward[k]);
  const f = H / (2 * Math.tan((fov * Math.PI) / 360)); // eq. (2.5)
  return {
    M: [[f, 0, (W - 1) / 2], [0, f, (H - 1) / 2], [0, 0, 1]],
    X_CW: [...[right, down, forward].map((axis) => [...axis, -dot(axis, eye)]), [0, 0, 0, 1]],
    eye,
    H,
    W,
  };
}

/** Eq. (2.1): a point of the world in the camera's axes, metres. */
export function intoCamera({ X_CW }, p_W) {
  return X_CW.slice(0, 3).map((row) => dot(row, p_W) + row[3]);
}

/** Eqs. (2.2) and (2.3) for a point in front of the camera: pixels [u, v]. */
export function ontoPixels({ M }, [X, Y, Z]) {
  return [(M[0][0] * X) / Z + M[0][2], (M[1][1] * Y) / Z + M[1][2]];
}

/**
 * Every step of one point's way into the image: p_C, normalised (x_n, y_n), pixel (u, v), image
 * (x, y). The last three are null for a point at or behind the camera, which has no image.
 */
export function stepsOf(camera, p_W) {
  const p_C = intoCamera(camera, p_W);
  if (!(p_C[2] > 0)) return { p_W, p_C, normalised: null, pixel: null, image: null, inside: false };
  const pixel = ontoPixels(camera, p_C);
  const sizes = [camera.W, camera.H];
  return {
    p_W,
    p_C,
    normalised: [p_C[0] / p_C[2], p_C[1] / p_C[2]],
    pixel,
    image: pixel.map((value, k) => (2 * value) / (sizes[k] - 1) - 1), // eq. (2.4)
    inside: pixel.every((value, k) => value > -0.5 && value < sizes[k] - 0.5),
  };
}

/** What of a polygon in camera axes lies in front of the camera; a line is one of two corners. */
export function clipFront(corners, near = NEAR) {
  const kept = [];
  const sides = corners.length === 2 ? 1 : corners.length; // a line has no way back
  corners.forEach((a, i) => {
    if (a[2] >= near) kept.push(a);
    const b = corners[(i + 1) % corners.length];
    if (i < sides && a[2] >= near !== b[2] >= near) {
      const s = (near - a[2]) / (b[2] - a[2]);
      kept.push([0, 1, 2].map((k) => a[k] + s * (b[k] - a[k])));
    }
  });
  return kept;
}

/**
 * The twelve edges of a box, {from, to, hidden}, by its eight corners: corner k is on the far side
 * along an axis where the axis' bit of k is set. An edge is hidden if both its faces look away.
 */
export function edgesOf(corners, eye) {
  const looksHere = (axis, far) => {
    const bit = 1 << axis;
    const outward = corners[bit].map((value, k) => (far ? 1 : -1) * (value - corners[0][k]));
    return dot(outward, eye.map((value, k) => value - corners[far ? bit : 0][k])) > 0;
  };
  const edges = [];
  for (let axis = 0; axis < 3; axis++) {
    for (let from = 0; from < 8; from++) {
      if (from & (1 << axis)) continue;
      const others = [0, 1, 2].filter((other) => other !== axis);
      const hidden = !others.some((other) => looksHere(other, Boolean(from & (1 << other))));
      edges.push({ from, to: from | (1 << axis), hidden });
    }
  }
  return edges;
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a, b) {
  return [0, 1, 2].map((k) => a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3]);
}

/** Draws lines and areas of the world into a square canvas through a camera. */
export class Sketch {
  constructor(context, side, camera, halo) {
    Object.assign(this, { context, side, camera, halo });
  }

  place([u, v]) {
    const { W, H } = this.camera;
    return [((u + 0.5) * this.side) / W, ((v + 0.5) * this.side) / H];
  }

  path(corners) {
    const front = clipFront(corners.map((p_W) => intoCamera(this.camera, p_W)));
    this.context.beginPath();
    front.forEach((p_C, k) => {
      const [x, y] = this.place(ontoPixels(this.camera, p_C));
      this.context[k ? "lineTo" : "moveTo"](x, y);
    });
    if (corners.length > 2) this.context.closePath();
  }

  area(corners, colour) {
    this.path(corners);
    this.context.fillStyle = colour;
    this.context.fill();
  }

  line(corners, colour, { width = 1, halo = 0, dash = [] } = {}) {
    const { context } = this;
    this.path(corners);
    context.lineCap = context.lineJoin = "round";
    if (halo) {
      context.strokeStyle = this.halo;
      context.lineWidth = width + halo;
      context.stroke();
    }
    context.setLineDash(dash);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
    context.setLineDash([]);
  }

  letter(text, p_W, colour) {
    const { pixel } = stepsOf(this.camera, p_W);
    if (!pixel) return;
    const { context } = this;
    context.font = "italic 600 16px Georgia, 'Times New Roman', serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 4;
    context.strokeStyle = this.halo;
    context.strokeText(text, ...this.place(pixel));
    context.fillStyle = colour;
    context.fillText(text, ...this.place(pixel));
  }
}
