"""One small member of each family to come: they register by name, as a sweep's plugin does.

A world of coloured balls that two cameras see, a 3-D extractor of them, a learner that carries
features from one frame to the next and cannot draw, a game without cameras, and an agent.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from kpbook import runs
from kpbook._checks import check_choice, check_integer, complain
from kpbook._files import write_atomically
from kpbook.cameras import Camera
from kpbook.cores import expectation, gaussian_maps, softmax
from kpbook.extractors import registry
from kpbook.grid import cell_coordinates, map_geometry, map_to_image, to_pixels
from kpbook.sweep import kinds
from kpbook.world import registry as worlds

HERE = __name__
SIZE = (32, 40)
COLOURS = np.array([[230, 40, 30], [30, 200, 60], [60, 50, 250]], np.uint8)


def cameras() -> dict[str, Camera]:
    eyes = {"left": (-0.5, -1.0, 0.8), "right": (0.7, -0.9, 0.7)}
    return {name: Camera.look_at(eye, (0, 0, 0), 50, SIZE) for name, eye in eyes.items()}


# -- a world of balls -----------------------------------------------------------------------------


class Balls:
    """Three balls drift through a room of 40 cm; pictures from two cameras."""

    look = "balls"
    objects = ("red", "green", "blue")
    image_size = SIZE

    def __init__(self) -> None:
        self.cameras = cameras()
        self.views = tuple(self.cameras)

    def reset(self, *, seed):
        rng = np.random.default_rng(seed)
        self.place = rng.uniform(-0.2, 0.2, (3, 3))
        self.speed = rng.uniform(-0.05, 0.05, (3, 3))
        return {}, {}

    def step(self, action):
        self.place = self.place + self.speed
        self.speed = np.where(np.abs(self.place) > 0.2, -np.abs(self.speed) * np.sign(self.place),
                              self.speed)  # fmt: skip
        return {}, 0.0, False, False, {}

    def truth(self, view):
        return self.cameras[view].project(self.place)[0]

    def visible(self, view):
        return (np.abs(self.truth(view)) <= 1).all(axis=-1)

    def positions(self):
        return self.place

    def frame(self, view):
        picture = np.full((*SIZE, 3), 90, np.uint8)
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        image, depth_m = self.cameras[view].project(self.place)
        for k in np.argsort(-depth_m):  # the nearest one last
            u, v = to_pixels(image[k], SIZE)
            picture[(x - u) ** 2 + (y - v) ** 2 <= 3**2] = COLOURS[k]
        return picture

    def policy(self, name, rng):
        check_choice(name, ["drift"], name="policy")
        return lambda observation: np.zeros(1)

    def description(self):
        return {"world": "balls"}


# -- keypoints in metres from two views -----------------------------------------------------------


class Triangulating(nn.Module):
    """One map per colour and view; where the rays of two views come closest lies the keypoint."""

    image_size = SIZE
    views, dimensions = 2, 3
    name = "triangulating"
    images_per_batch = 16

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, object] = {}
        self.log_sharpness = nn.Parameter(torch.tensor(3.0))
        pair = list(cameras().values())
        self.register_buffer("colours", torch.from_numpy(COLOURS / 255.0).float())
        self.register_buffer("K", torch.tensor(pair[0].intrinsics, dtype=torch.float32))
        self.register_buffer("X_WC", torch.from_numpy(np.stack([c.X_WC for c in pair])).float())

    def heatmaps(self, images):
        off = (images[:, :, None] - self.colours[:, :, None, None]).square().sum(3)
        return softmax(-off * self.log_sharpness.exp())  # (B, V, N, h, w)

    def _rays(self, images):
        z = expectation(self.heatmaps(images))
        H, W = SIZE
        pixels = (z + 1) / 2 * z.new_tensor([W - 1, H - 1])
        unit = (pixels - self.K[:2, 2]) / torch.stack([self.K[0, 0], self.K[1, 1]])
        d_C = torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1)
        d = torch.einsum("vij,bvnj->bvni", self.X_WC[:, :3, :3], d_C)
        return d / d.square().sum(-1, keepdim=True).sqrt()

    def _meet(self, d):
        eye = torch.eye(3, dtype=d.dtype) - d[..., :, None] * d[..., None, :]  # (B, V, N, 3, 3)
        A = eye.sum(1)
        b = torch.einsum("bvnij,vj->bni", eye, self.X_WC[:, :3, 3])
        a0, a1, a2 = A.unbind(-2)
        rows = torch.stack([_cross(a1, a2), _cross(a2, a0), _cross(a0, a1)], dim=-1)
        return (rows * b[..., None, :]).sum(-1) / (a0 * _cross(a1, a2)).sum(-1, keepdim=True)

    def forward(self, images):
        return self._meet(self._rays(images))

    def batch(self, episodes, generator):
        return {"images": episodes.frames(8, generator, view=None)}

    def loss(self, batch):
        """How far the two rays of a keypoint pass each other, and how wide its maps are."""
        d = self._rays(batch["images"])
        off = self._meet(d)[:, None] - self.X_WC[:, None, :3, 3]
        apart = off - (off * d).sum(-1, keepdim=True) * d
        maps = self.heatmaps(batch["images"])
        second = torch.einsum("...hw,hwc->...c", maps, cell_coordinates(SIZE).square())
        wide = second - expectation(maps).square()
        return {"loss": apart.square().sum(-1).mean() + wide.mean()}


def _cross(a, b):
    x = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return torch.stack(x, dim=-1)


# -- a learner that needs two images and cannot draw from one -------------------------------------


class Carrier(nn.Module):
    """After Kulkarni et al. (2019): features leave where the source's keypoints are and appear
    where the target's are; what is drawn takes both images, so it offers no ``reconstruct``."""

    only_draws = ("draw.",)
    images_per_batch = 16
    name = "carrier"

    def __init__(self, image_size=SIZE, keypoints: int = 4, sigma: float = 0.15) -> None:
        super().__init__()
        self.config = {"image_size": image_size, "keypoints": keypoints, "sigma": sigma}
        self.image_size = tuple(image_size)
        self.register_buffer("sigma", torch.tensor(sigma), persistent=False)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.points = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, keypoints, 3, padding=1)
        )
        self.draw = nn.Conv2d(8, 3, 3, padding=1)

    def heatmaps(self, images):
        return softmax(20 * self.points(images))

    def forward(self, images):
        z = expectation(self.heatmaps(images))
        return map_to_image(z, self.image_size, self.image_size, *map_geometry([(3, 1, 1)]))

    def _where(self, images):
        maps = gaussian_maps(expectation(self.heatmaps(images)), self.image_size, self.sigma)
        return maps.amax(1, keepdim=True)

    def batch(self, episodes, generator):
        longest = min(3, episodes.images.shape[1] - 1)
        source, target = episodes.pairs((1, longest), 8, generator)
        return {"source": source, "target": target}

    def loss(self, batch):
        source, target = batch["source"], batch["target"]
        here, there = self._where(source).detach(), self._where(target)
        kept, new = self.features(source).detach(), self.features(target)
        carried = (1 - here) * (1 - there) * kept + there * new
        return {"loss": (self.draw(carried) - target).square().mean()}


FAMILY = {"triangulating": Triangulating, "carrier": Carrier}


def build(name, *, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FAMILY[name](**options)


# -- an agent, as a kind of job -------------------------------------------------------------------

KEYS, NEEDS, EITHER = ("world", "steps"), ("world", "steps"), ("steps",)


def settings(entry, where):
    world = check_choice(entry["world"], worlds.WORLDS, name=f"{where}: world")
    steps = check_integer(entry["steps"], name=f"{where}: steps", minimum=1)
    if steps % 5:
        raise ValueError(complain(f"{where}: steps", steps, "a multiple of 5"))
    return {"world": world, "steps": steps}


def prepare(jobs, cache, workers):
    cache.mkdir(parents=True, exist_ok=True)


def train(job, out):
    """It learns how long to wait, by trial: the return is the number of frames that it plays."""
    world = worlds.make(job.settings["world"])
    rng, best, rows = np.random.default_rng(job.seed), (-np.inf, 0), []
    for step in range(1, job.settings["steps"] + 1):
        seed, total, over = int(rng.integers(1000)), 0.0, False
        world.reset(seed=seed)
        while not over:
            _, reward, terminated, truncated, _ = world.step(0)
            total, over = total + reward, terminated or truncated
        best = max(best, (total, seed))
        if step % 5 == 0:
            rows.append({"step": step, "return": best[0], "success": best[0] >= 3})
    record = runs.RunRecord(job.name, "", rows, seconds=0.1, seed=job.seed)

    def keep(record):
        write_atomically(out / f"{record.name}.policy", f"{best[1]}\n".encode())

    return record, keep


for each in FAMILY:
    registry.add(each, HERE)
worlds.add("balls", f"{HERE}:Balls")
worlds.add("game", "toy_world:ToyGame")
kinds.add("player", HERE)
