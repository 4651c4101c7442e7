"""Find the cube: rearrange a PandaPush scene and watch what a trained network makes of it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
import traitlets

from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels
from kpbook.images import to_float
from kpbook.judge import keypoints
from kpbook.metric import tracking_error
from kpbook.recordings.push_moment import CUBE_M
from kpbook.recordings.push_poses import Poses
from kpbook.widgets._base import PALETTE, ring, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._networks import LABELS, NetworkFigure, evaluated, extractors_for
from kpbook.widgets._traits import Choice, Flag, Number, Numbers, Whole

REACH = 0.2  # metres from the table's middle that cube and target may be dragged
_PROMPT = (
    "Try: drag a ring under the arm, then choose another network. "
    "Notice: where a network tracks, its marks stay with the objects; where it does not, they "
    "hardly move."
)
_COLOURS = {"cube": [0.1, 0.9, 0.1], "target": [0.1, 0.1, 0.9]}
_WORDS = {"end_effector": "end effector"}
_PLACE = "[x, y], metres from the table's middle."
#: Where boxes can be, lowest and highest (x, y, z), metres: cube and target within reach, and the
#: grey wall with the orange box. No depth matters but on the rays through these.
_STAGE = (
    ((-REACH - 0.03, -REACH - 0.03, -0.001), (REACH + 0.03, REACH + 0.03, CUBE_M + 0.001)),
    ((0.0, -0.24, -0.001), (0.17, -0.1, 0.101)),
)
_EPISODES = 40  # of the sample, for the metric's choice of keypoints


class CubeScene(NetworkFigure):
    """A scene with cube, target and arm to rearrange, at which networks look.

    A figure's class gives ``_extractors`` before it calls ``__init__``, and :meth:`_describe`.

    Attributes:
        cube: Where the cube stands, ``[x, y]`` metres, at most 0.2 from the table's middle.
        target: Where the target lies, as ``cube``.
        yaw: The cube's turn in degrees, 0 to 90.
        pose: Which recorded pose the arm takes.
        light: Brightness of the picture, 0.4 to 1.6.
        distractor: An orange box that no network was trained with.
        occluder: A grey wall before the table.
        network: Name of the network that looks.
    """

    cube = Numbers(2, -REACH, REACH, hint=_PLACE)
    target = Numbers(2, -REACH, REACH, hint=_PLACE)
    yaw = Number(0, 90, hint="Degrees.")
    pose = Whole(0, lambda figure: len(figure._poses) - 1, hint="There are {count}, from 0 on.")
    light = Number(0.4, 1.6, 1.0, hint="1 is as recorded.")
    distractor = Flag(False)
    occluder = Flag(False)
    network = Choice(lambda figure: figure._names)
    scene = traitlets.Dict().tag(sync=True)
    poses = traitlets.Bytes().tag(sync=True)  # as the network sees them
    sharp = traitlets.Bytes().tag(sync=True)  # for the eye
    drawn = traitlets.Bytes().tag(sync=True)  # the first view's heat map, and a reconstruction

    def __init__(self, **traits: Any) -> None:
        self._poses, self._sharp = poses, sharp = Poses.sample(), Poses.sharp()
        networks = [self._describe(name, poses) for name in self._extractors]
        self._names = list(self._extractors)
        x, y, yaw, *target = (round(float(v), 5) for v in poses.places)
        first = {"cube": [x, y], "target": target, "yaw": round(np.degrees(yaw))}
        super().__init__(
            scene=_scene(poses, first) | {"sharp": list(sharp.frames.shape[1:3])},
            poses=_packed(poses),
            sharp=_packed(sharp),
            networks=networks,
            **{"network": self._names[0], **first, **traits},
        )

    def _describe(self, name: str, poses: Poses) -> dict[str, Any]:
        """What the page has to know of a network: ``name``, ``label``, ``file`` and more."""
        raise NotImplementedError

    def _about(self) -> dict[str, Any]:
        """What the page knows of the chosen network."""
        about: dict[str, Any] = next(one for one in self.networks if one["name"] == self.network)
        return about

    def _keep_drawn(self, keypoint: int, found: dict[str, np.ndarray]) -> None:
        """Give the page what the chosen network found in the first view."""
        again = found.get("reconstruction")
        self.drawn = _drawn(found["heatmaps"][keypoint], again)
        self.scene = self.scene | {
            "drawn": {
                "network": self.network,
                "keypoint": keypoint,
                "map": list(found["heatmaps"].shape[1:]),
                "again": None if again is None else list(again.shape[1:]),
            }
        }

    def look(self, network: Any, **inputs: torch.Tensor) -> dict[str, np.ndarray]:
        """Return keypoints, heat maps and any reconstruction of ``images``, one of them."""
        return _look(network, inputs["images"])


class FindTheCube(CubeScene):
    """A scene with cube, target and arm, and the keypoints of trained networks in it.

    In a live notebook the kernel's own network answers, so a network that has just been trained
    can be tried: ``FindTheCube(extractor)``.

    Args:
        *networks: Names of shipped networks, or extractors for 64-pixel frames of the paper's
            camera; without any, the recipe's, one of each of the papers' architectures, and
            KeyNet with all switches.
        **traits: As below.

    Attributes:
        cube: And all others of :class:`CubeScene`.
        keypoint: Whose heat map is shown; -1 for the cube's.
        engine: As of :class:`~kpbook.widgets._networks.NetworkFigure`.
        address: The same.
    """

    _esm = front_end("find_cube.mjs")

    keypoint = Whole(
        -1, lambda figure: max(len(one["first"]) for one in figure.networks) - 1, -1,
        hint="-1 is the cube's.",
    )  # fmt: skip
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)

    def __init__(self, *networks: Any, **traits: Any) -> None:
        self._extractors = extractors_for(networks, Poses.sample().camera.image_size)
        self._recording = Episodes.sample()[:_EPISODES]
        super().__init__(**traits)
        found = _look(self._extractors[self.network], to_float(self._poses.example[None]))
        self._keep_drawn(max(0, self._about()["assigned"][0]["keypoint"]), found)

    def _describe(self, name: str, poses: Poses) -> dict[str, Any]:
        return _described(name, self._extractors[name], self._recording, poses.example)

    def still(self) -> str:
        """Return the chosen network's first view as a small HTML figure, without any script."""
        H, W = self._poses.example.shape[:2]
        scale = len(self._sharp.example) / H
        about = self._about()
        marks, parts = "", []
        for row in about["assigned"]:
            if row["keypoint"] < 0:
                continue
            z = np.array(about["first"][row["keypoint"]])
            u, v = to_pixels(np.array(row["A"]) @ z + row["b"], (H, W))
            parts.append(f"{row['object']} at pixel ({u:.1f}, {v:.1f})")
            marks += ring(scale * (u + 0.5), scale * (v + 0.5), 7, PALETTE[0], 2)
        words = (
            "A still picture of a live figure that needs JavaScript: a scene with a cube, a target "
            f"and a robot's arm. {about['label']} finds {'; '.join(parts)}."
        )
        return still_picture(self.still_id, self._sharp.example, marks, words, width_em=24)


def _scene(poses: Poses, first: dict[str, Any]) -> dict[str, Any]:
    M, X_CW = poses.camera.intrinsics, poses.camera.X_CW
    H, W = poses.frames.shape[1:3]
    camera = {"fx": M[0, 0], "fy": M[1, 1], "cx": M[0, 2], "cy": M[1, 2]}
    return {
        "H": int(H),
        "W": int(W),
        "poses": len(poses),
        "camera": {
            **{name: float(value) for name, value in camera.items()},
            "R": X_CW[:3, :3].ravel().tolist(),
            "t": X_CW[:3, 3].tolist(),
        },
        "colours": _COLOURS,
        "hand": poses.hand.tolist(),
        "first": first,
    }


def _packed(poses: Poses) -> bytes:
    """The grey of all pixels, uint8, then what is nearer than a box can be, uint16.

    Depths are in 0.1 mm; 65535: nothing before the farthest box; 1: before the nearest one. Of
    both, each pixel's middle value over the poses comes first, then each pose: 0 where it has that.
    Compressed twice: once leaves a thousandth of the zeros, which is too much of so many.
    """
    before, behind = _stage(poses)
    tenths = np.where(poses.depth_m <= before, 1, (poses.depth_m * 1e4).round())
    tenths[poses.depth_m >= behind] = 65535
    parts = _apart(poses.frames[..., 0]) + _apart(tenths.astype("<u2"))
    return zlib.compress(zlib.compress(parts, 9), 9)


def _stage(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Depths ``(H, W)``, metres, between which the ray of a pixel can meet a box."""
    camera, (H, W) = poses.camera, poses.frames.shape[1:3]
    v, u = np.mgrid[:H, :W]
    points = from_pixels(np.stack([u, v], axis=-1), (H, W))
    eye = camera.X_WC[:3, 3]
    ray = camera.unproject(points, 1.0) - eye  # one metre of depth
    before, behind = np.full((H, W), np.inf), np.full((H, W), -np.inf)
    for low, high in _STAGE:
        ends = np.sort([(low - eye) / ray, (high - eye) / ray], axis=0)
        first, last = ends[0].max(axis=-1), ends[1].min(axis=-1)
        before = np.where(first < last, np.minimum(before, first), before)
        behind = np.where(first < last, np.maximum(behind, last), behind)
    return before, behind


def _apart(pictures: np.ndarray) -> bytes:
    """Each pixel's middle value over pictures ``(P, H, W)``, then each: 0 where it has that."""
    middle = np.sort(pictures, axis=0)[len(pictures) // 2]
    apart = np.where(pictures == middle, 0, pictures).astype(pictures.dtype)
    return bytes(middle.tobytes() + apart.tobytes())


def _drawn(heatmap: np.ndarray, reconstruction: np.ndarray | None) -> bytes:
    """A heat map, its brightest cell 255, then any reconstruction ``(3, h, w)``, compressed."""
    heat = np.round(255 * heatmap / max(float(heatmap.max()), 1e-12)).astype(np.uint8)
    parts = [heat.tobytes()]
    if reconstruction is not None:
        parts.append(np.round(255 * reconstruction.clip(0, 1)).astype(np.uint8).tobytes())
    return zlib.compress(b"".join(parts), 9)


def _described(
    name: str, extractor: Any, recording: Episodes, example: np.ndarray
) -> dict[str, Any]:
    """What the page has to know of a network: the metric's choice, and the first answer."""
    flat = recording.flat()
    result = tracking_error(keypoints(extractor, recording), flat.truth)
    assigned = [
        {
            "object": _WORDS.get(obj, obj),
            "keypoint": int(result.keypoint[k]),
            "A": result.linear[k].tolist(),
            "b": result.offset[k].tolist(),
        }
        for k, obj in enumerate(recording.objects)
    ]
    first = _look(extractor, to_float(example[None]))["keypoints"]
    return {
        "name": name,
        "label": LABELS.get(name, name),
        "file": f"{name}.onnx",
        "assigned": assigned,
        "first": first.astype(float).round(6).tolist(),
    }


def _look(extractor: Any, images: torch.Tensor) -> dict[str, np.ndarray]:
    def ask(images: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {"keypoints": extractor(images), "heatmaps": extractor.heatmaps(images)}
        if hasattr(extractor, "reconstruct"):
            found["reconstruction"] = extractor.reconstruct(images)
        return found

    return evaluated(extractor, ask, images)
