"""Judge it: a recorded trajectory, a network's keypoints on it, and every number of the metric."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from kpbook._checks import check_choice
from kpbook.episodes import Episodes
from kpbook.grid import to_pixels
from kpbook.judge import Verdict, judge, keypoints
from kpbook.metric import THRESHOLD_OF
from kpbook.recorded import Sweep
from kpbook.widgets._base import PALETTE, LiveFigure, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._networks import extractors_for
from kpbook.widgets._traits import Choice, Flag, Numbers, Whole

#: Range of a threshold; the axes of the errors end there too.
LIMITS = (0.0003, 1.0)
#: Episodes that are scored, and as many others that the maps are fitted on.
EPISODES = 6
#: What a figure shows -> the sentence above it.
_PROMPTS = {
    "all": "Try: choose the network that is not the recipe's, and fit its maps on the frames that "
    "are scored; then drag µ. Notice: its R² rises though no keypoint has moved, and the share of "
    "runs that track is a matter of where µ stands.",
    "map": "Try: drag the ring along the path, then choose other keypoints in the chart. Notice: "
    "the map brings the keypoint's own path onto the object's, or no map does.",
    "threshold": "Try: drag µ. Notice: no error moves; only what is called tracked changes.",
    "fit": "Try: choose the network that is not the recipe's, and fit its maps on the frames that "
    "are scored. Notice: its R² rises though no keypoint has moved.",
}
_NETWORKS = ("rarity", "keynet-quarter-vel-std-bg")
# Sweeps whose runs stand in one table; the recipe is in each, to compare with.
_GROUPS = {
    "networks": ("autoencoders", "recipe"),
    "ablation": ("ablation", "recipe"),
    "scenes": ("scenes", "recipe"),
}
_NO_RUNS: dict[str, Any] = {"errors": {}, "groups": {}, "still": []}
_TRUTH, _POINTS = 32767, 2047  # steps over a coordinate's range; 2047: a sixtieth of a pixel
_RIVALS = ("R²", "R² within episodes", "R², all keypoints", "PCK", "PCK after the map")


class JudgeIt(LiveFigure):
    """Keypoints on held-out episodes, judged in the page as :func:`kpbook.judge.judge` does.

    The maps are fitted on six episodes and scored on six others, those of the sample's held-out
    episodes in which the cube moves most. Positions are rounded as far as the page stores them;
    :attr:`points` and :attr:`recording` hold what both the page and the table see.

    A chapter shows it in parts: ``"map"`` has the frame with the paths and the chart of keypoints,
    ``"threshold"`` the recorded runs and µ, ``"fit"`` the episodes of the fit, what follows within
    episodes and the chart. A part's page holds no more than it shows.

    Args:
        *networks: Names of shipped networks, or extractors for the sample's frames; without any,
            the recipe's and one that does not track.
        results: Folder of the recorded runs. Where they are not there, as beside an installed
            package, the figure has no table of runs and says so.
        part: ``"all"``, or what alone is shown: ``"map"``, ``"threshold"`` or ``"fit"``.
        **traits: As below.

    Attributes:
        network: Name of the network that is judged.
        object: What it should follow: ``"cube"``, ``"target"`` or ``"end_effector"``.
        keypoint: Which keypoint is judged; -1 for the metric's choice.
        frame: Which of the scored frames is shown, from 0.
        mu: Largest error of a tracked object, one for each; mean squared distance, 0.0003 to 1.
        fit: Where the maps are fitted: on ``"other"`` episodes or on the ``"same"`` frames.
        in_view: Leave out frames in which the object is hidden or outside.
        group: Which recorded runs are shown: ``"networks"``, ``"ablation"`` or ``"scenes"``.
        recording: All episodes, those of the fit first.
        points: Name -> keypoints of all frames in a row, float64 ``(T, N, 2)``.
        verdicts: Name -> what every metric says.
    """

    _esm = front_end("judge_it.mjs")

    network = Choice(lambda figure: figure.points)
    object = Choice(lambda figure: figure.recording.objects, "cube")
    keypoint = Whole(
        -1, lambda figure: max(z.shape[1] for z in figure.points.values()) - 1, -1,
        hint="-1 for the metric's choice.",
    )  # fmt: skip
    frame = Whole(
        0, lambda figure: EPISODES * figure.recording.truth.shape[1] - 1, 8,
        hint="There are {count} in the episodes that are scored, from 0 on.",
    )  # fmt: skip
    mu = Numbers(
        lambda figure: len(figure.recording.objects), *LIMITS,
        hint="One threshold for each object, a mean squared distance in image coordinates.",
    )  # fmt: skip
    fit = Choice(("other", "same"), "other")
    in_view = Flag(False)
    group = Choice(_GROUPS, "networks")
    prompt = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    networks: Any = traitlets.List().tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)
    packed = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        *networks: Any,
        results: str | Path = "results",
        part: str = "all",
        **traits: Any,
    ) -> None:
        self.part = check_choice(part, _PROMPTS, name="part")
        episodes = _episodes()
        T = episodes.truth.shape[1]
        tracks, truth = _rounded(episodes.flat().truth, _TRUTH)
        self.recording = replace(episodes, truth=truth.reshape(episodes.truth.shape))
        self.points: dict[str, np.ndarray] = {}
        self.verdicts: dict[str, Verdict] = {}
        for name, extractor in extractors_for(networks or _NETWORKS, episodes.image_size).items():
            more, z = _rounded(keypoints(extractor, episodes), _POINTS)
            tracks += more
            self.points[name], self.verdicts[name] = z, judge(z, self.recording, name=name)
        palette, pictures = _palette(episodes.images[EPISODES:, :, 0])
        seen = episodes.visible.astype(np.uint8).tobytes()
        scene = palette.tobytes() + pictures if part in ("all", "map") else b""
        stored = b"" if part == "threshold" else scene + seen + tracks
        runs = part in ("all", "threshold")
        H, W = episodes.image_size
        mu = [THRESHOLD_OF[obj] for obj in episodes.objects]
        super().__init__(
            about={"part": part, "H": H, "W": W, "T": T, "episodes": EPISODES}
            | {"colours": len(palette) if scene else 0, "tracks": bool(stored)}
            | {"objects": list(episodes.objects), "thresholds": mu, "limits": list(LIMITS)},
            networks=[_described(name, self.points[name], v) for name, v in self.verdicts.items()],
            recorded=_recorded(results, episodes.objects) if runs else _NO_RUNS,
            packed=zlib.compress(stored, 9),
            prompt=_PROMPTS[part],
            **{"network": next(iter(self.points)), "mu": mu, **traits},
        )

    def still(self) -> str:
        """Return the first view as a small HTML figure with its text, without any script."""
        if self.part == "threshold":
            return self._still_of_runs()
        verdict, k = self.verdicts[self.network], self.recording.objects.index(self.object)
        result = verdict.same_frames if self.fit == "same" else verdict.tracking
        T = self.recording.truth.shape[1]
        e, t = divmod(self.frame, T)
        first = (EPISODES + e) * T
        z = self.points[self.network][first : first + T]
        H, W = self.recording.image_size
        paths, orange = "", PALETTE[0]
        for where, look in (
            (z[:, result.keypoint[k]], 'stroke="#17202b" stroke-dasharray=".3 .8"'),
            (self.recording.truth[EPISODES + e, :, 0, k], f'stroke="{orange}" stroke-width=".7"'),
            (result.predict(z)[:, k], 'stroke="#17202b" stroke-dasharray="1 .6"'),
        ):
            places = to_pixels(where, (H, W)) + 0.5
            steps = " ".join(f"{u:.1f},{v:.1f}" for u, v in places)
            paths += f'<polyline points="{steps}" fill="none" stroke-width=".5" {look}/>'
        thing = self.object.replace("_", " ")
        words = (
            f"A still picture of a live figure that needs JavaScript: the path of the {thing} "
            f"in one episode (orange), the path of keypoint {result.keypoint[k]} of the network "
            f"{self.network} (dotted), and the same after its affine map (dashed). Error "
            f"{result.error[k]:.4f}, R² {result.r2[k]:.2f} over {EPISODES} episodes; "
            f"{verdict.tracked.sum()} of {len(verdict.objects)} objects are tracked."
        )
        picture = self.recording.images[EPISODES + e, t, 0]
        return still_picture(self.still_id, picture, paths, words, width_em=24)

    def _still_of_runs(self) -> str:
        """A row of dots for each recorded run of a network, full if tracked, and a line at µ."""
        k = self.recording.objects.index(self.object)
        mu, scale = float(self.mu[k]), np.log(LIMITS[1] / LIMITS[0])
        runs = self.recorded["groups"].get(self.group, [])
        counts, marks = [], ""
        for row, run in enumerate(runs):
            errors = [e[k] for e in self.recorded["errors"][run] if e[k] is not None]
            for e in errors:
                x = 4 + 88 * np.clip(np.log(e / LIMITS[0]) / scale, 0, 1)
                fill = PALETTE[0] if e <= mu else "none"
                marks += f'<circle cx="{x:.1f}" cy="{4 * row + 4}" r="1" fill="{fill}" '
                marks += f'stroke="{PALETTE[0]}" stroke-width=".4"/>'
            counts.append(f"{run} {sum(e <= mu for e in errors)} of {len(errors)}")
        x, bottom = 4 + 88 * np.log(mu / LIMITS[0]) / scale, 4 * len(runs) + 4
        marks += f'<path d="M{x:.1f} 0V{bottom}" stroke="#17202b" stroke-width=".5"/>'
        words = (
            "A still picture of a live figure that needs JavaScript: a row for each network, a dot "
            f"for the error of each of its recorded runs, full if it is at most µ = {mu:g}. Runs "
            f"that track the {self.object.replace('_', ' ')}: "
            f"{', '.join(counts) or 'none recorded'}."
        )
        page = np.full((bottom, 96, 3), 255, np.uint8)
        return still_picture(self.still_id, page, marks, words, width_em=32)


def _episodes() -> Episodes:
    """Held-out episodes in which the cube moves most; every second of them is scored."""
    _, held_out = Episodes.sample().split((240, 60), seed=0)
    cube = held_out.truth[:, :, 0, held_out.objects.index("cube")]
    motion = np.square(cube - cube.mean(axis=1, keepdims=True)).sum(axis=-1).mean(axis=-1)
    order = np.argsort(-motion, kind="stable")[: 2 * EPISODES]
    return held_out[[*order[::2], *order[1::2]]]


def _rounded(x: np.ndarray, steps: int) -> tuple[bytes, np.ndarray]:
    """Positions ``(T, M, 2)`` as bytes, and as the page reads them, float64.

    The bytes: each coordinate's lowest value and the size of a step; then its changes from frame
    to frame in steps, 2 v for +v and 2 v - 1 for -v, as small numbers compress well; high bytes
    before low ones.
    """
    columns = x.reshape(len(x), -1).T.astype(np.float64)  # (2 M, T)
    low, high = columns.min(axis=1, keepdims=True), columns.max(axis=1, keepdims=True)
    rounding = 16 * np.finfo(np.float32).eps * np.maximum(abs(low), abs(high))
    step = np.where(high - low > rounding, (high - low) / steps, 0.0)
    counts = np.rint((columns - low) / np.where(step > 0, step, np.inf))
    change = np.diff(counts.astype(np.int64), axis=1, prepend=0)
    change = np.where(change < 0, -2 * change - 1, 2 * change)
    halves = (change >> 8).astype(np.uint8), (change & 255).astype(np.uint8)
    data = b"".join(part.tobytes() for part in (low, step, *halves))
    return data, (low + step * counts).T.reshape(x.shape)


def _palette(frames: np.ndarray) -> tuple[np.ndarray, bytes]:
    """Colours, uint8 ``(C, 3)``, and the frames ``(E, T, H, W, 3)`` in them, as bytes.

    A flat look has few colours; of the sample's, in 32 shades of red, green and blue, 30. The
    bytes: each pixel's commonest colour; then for each frame 0 where it shows that one, and
    elsewhere 1 + the colour's number. Mostly 0, so they compress well.
    """
    colours, index = np.unique(frames.reshape(-1, 3) & 0xF8, axis=0, return_inverse=True)
    index = index.reshape(-1, frames.shape[-3] * frames.shape[-2])
    common = np.stack([(index == c).sum(axis=0) for c in range(len(colours))]).argmax(axis=0)
    changed = np.where(index == common, 0, 1 + index)
    return colours, common.astype(np.uint8).tobytes() + changed.astype(np.uint8).tobytes()


def _described(name: str, points: np.ndarray, verdict: Verdict) -> dict[str, Any]:
    """What the page has to know of a network beside its keypoints: what the rivals say."""
    by_object = verdict.rows()
    row = verdict.row()
    metrics = [{"metric": m, "objects": [r[m] for r in by_object], "all": row[m]} for m in _RIVALS]
    windows = [m for m in row if m.startswith(("precision", "recall"))]
    metrics += [
        {"metric": f"{m} frame{'s' * (not m.endswith(' 1'))}", "objects": [], "all": row[m]}
        for m in windows
    ]
    return {
        "name": name,
        "keypoints": points.shape[1],
        "errors": verdict.tracking.error.tolist(),
        "chosen": verdict.tracking.keypoint.tolist(),
        "metrics": metrics,
    }


def _recorded(folder: str | Path, objects: Sequence[str]) -> dict[str, Any]:
    """Tracking errors of the recorded runs, and which runs stand together; as far as there are any.

    Returns:
        ``errors``: run -> one row for each seed, one number for each object, ``None`` where it was
        never seen; ``groups``: name -> runs; ``still``: the error of a constant for each object, on
        the episodes on which the recipe's runs are scored.
    """
    errors: dict[str, Any] = {}
    groups: dict[str, list[str]] = {}
    for group, names in _GROUPS.items():
        sweeps = [s for s in (Sweep.read(name, folder) for name in names) if s.rows]
        if names[0] not in [sweep.name for sweep in sweeps]:
            continue
        groups[group] = []
        for sweep in sweeps:
            for run in dict.fromkeys(row["run"] for row in sweep.rows):
                e = np.stack([sweep.column(run, "error", obj) for obj in objects], axis=1)
                errors[run] = [[None if np.isnan(v) else float(v) for v in row] for row in e]
                groups[group].append(run)
    recipe = Sweep.read("recipe", folder)
    still = [
        float(
            np.median(recipe.column("rarity", "error", o) / (1 - recipe.column("rarity", "r2", o)))
        )
        for o in objects
        if recipe.seeds("rarity")
    ]
    return {"errors": errors, "groups": groups, "still": still}
