"""A tiny spatial autoencoder and three moving discs for it: they learn within seconds."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, map_geometry, map_to_image
from kpbook.heatmaps import gaussian_maps, soft_argmax, spatial_softmax
from kpbook.training import Fit, fit

SIZE, MAP = (20, 28), (10, 14)
COLOURS = ((230, 40, 30), (30, 200, 60), (60, 50, 250))


def discs(
    episodes: int, frames: int = 7, seed: int = 0, objects=("red", "green", "blue")
) -> Episodes:
    """Three discs that drift and bounce over a grey ground."""
    rng = np.random.default_rng(seed)
    H, W = SIZE
    low, high = np.array([3, 3]), np.array([W - 4, H - 4])
    place = rng.uniform(low, high, (episodes, 1, 3, 2))
    speed = rng.uniform(-2, 2, (episodes, 1, 3, 2))
    path = place + speed * np.arange(frames)[:, None, None] - low
    span = high - low
    path = low + span - np.abs(path % (2 * span) - span)  # reflected at the border
    y, x = np.mgrid[:H, :W]
    images = np.full((episodes, frames, H, W, 3), 90, np.uint8)
    for k, colour in enumerate(COLOURS):
        d2 = (x - path[:, :, k, 0, None, None]) ** 2 + (y - path[:, :, k, 1, None, None]) ** 2
        images[d2 <= 2.5**2] = colour
    return Episodes.from_frames(images, truth=from_pixels(path, SIZE), objects=objects)


class Toy(nn.Module):
    """Two convolutions, soft-argmax, and a coloured Gaussian for each keypoint.

    Batch normalisation, noise on the input and a hook are there because ``fit`` has to get them
    right; the decoder is not good for anything but discs.
    """

    image_size = SIZE

    def __init__(self, keypoints: int = 5, batch_size: int = 16, length: int = 1, dropout=0.0):
        super().__init__()
        self.config = {"keypoints": keypoints, "batch_size": batch_size, "length": length}
        self.batch_size, self.length = batch_size, length
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(8, keypoints, 3, padding=1),
        )
        self.colours = nn.Parameter(0.3 * torch.randn(keypoints, 3))
        self.register_buffer("background", torch.zeros(3, *MAP))

    @property
    def name(self) -> str:
        return "toy"

    @property
    def images_per_batch(self) -> int:
        return self.batch_size * self.length

    def prepare(self, episodes: Episodes) -> None:
        frames = torch.from_numpy(np.median(episodes.flat().images, axis=0))
        frame = frames.movedim(-1, 0).float()[None] / 255
        self.background.copy_(functional.avg_pool2d(frame, 2)[0])

    def _logits(self, images):
        return self.encoder(images - 0.35) / 0.1

    def _points(self, images):
        return soft_argmax(self._logits(images))

    def forward(self, images):
        stride, offset = map_geometry([(5, 2, 2), (3, 1, 1)])
        return map_to_image(self._points(images), MAP, SIZE, stride, offset)

    def heatmaps(self, images):
        return spatial_softmax(self._logits(images))

    def reconstruct(self, images):
        maps = gaussian_maps(self._points(images), MAP, 0.2)
        return self.background + torch.einsum("bnhw,nc->bchw", maps, self.colours)

    def batch(self, episodes, generator):
        clean = episodes.snippets(self.length, self.batch_size, generator).flatten(0, 1)
        noise = 0.02 * torch.randn(clean.shape, generator=generator)
        return {"images": clean + noise, "target": functional.avg_pool2d(clean, 2)}

    def loss(self, batch):
        off = self.reconstruct(batch["images"]) - batch["target"]
        reconstruction = off.square().mean()
        colour = 1e-4 * self.colours.square().mean()
        return {"loss": reconstruction + colour, "reconstruction": reconstruction}


def toy(seed: int = 0, **options) -> Toy:
    """The same weights for the same seed; the caller's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy(**options)


# -- a run in a process of its own, that is killed ----------------------------------------------

RUN = {"steps": 40, "seed": 3, "every": 7, "learning_rate": 0.01, "schedule": "one-cycle"}


def train(folder: Path, **more) -> Fit:
    """A run with all that has a state: noise, batch normalisation, dropout, moments, a schedule."""
    torch.set_num_threads(1)
    options = {"checkpoint_every": 0.0, "progress": False, "name": "run", **RUN, **more}
    return fit(toy(dropout=0.1), discs(6), validate=discs(4, seed=1), folder=folder, **options)


def train_and_die(folder: Path, moment: str, nth: int) -> None:
    """Train; when ``moment`` comes for the ``nth`` time, die by SIGKILL in the middle of it."""
    from kpbook.training import checkpoints, run

    where = {
        "write": (checkpoints, "write_atomically"),
        "row": (run.Run, "add_row"),
        "step": (torch.optim.AdamW, "step"),
    }
    owner, name = where[moment]
    whole = getattr(owner, name)
    times = [0]

    def deadly(*args, **kwargs):
        times[0] += 1
        if times[0] < nth:
            return whole(*args, **kwargs)
        if moment == "write":  # half of the bytes have reached the temporary file
            path, data = args
            path.with_name(f".{path.name}.half.tmp").write_bytes(data[: len(data) // 2])
        else:
            whole(*args, **kwargs)
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)
    train(folder)
