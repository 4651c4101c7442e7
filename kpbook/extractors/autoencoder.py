r"""Spatial autoencoders: an image through a few points and back; built step by step in chapter 3.

.. math:: x \to a = \text{encoder}(x) \to z = \text{soft-argmax}(a) \to \hat x = \text{decoder}(z)

Source: DSAE of Finn et al. (2016); KeyNet of Jakab et al. (2018), as an autoencoder; Basic, the
velocity loss, the learned width and the background of Cramer et al. (2024), layers from their code.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kpbook._checks import (
    check_choice,
    check_integer,
    check_positive,
    check_range,
    check_shape,
    complain,
)
from kpbook.episodes import Episodes
from kpbook.extractors.blocks import (
    Difference,
    GaussianDecoder,
    LinearDecoder,
    PixelWeight,
    Positive,
    SpatialPrior,
    as_channels_last,
    channels_last,
    check_input,
    conv,
    geometry,
    median_frame,
)
from kpbook.grid import map_to_image
from kpbook.heatmaps import _expectation, _softmax
from kpbook.images import resize
from kpbook.losses import _reconstruction, acceleration, reconstruction

#: The papers leave the half out of a Gaussian's exponent: their width of 0.1 is this one of ours.
PAPER_SIGMA = 0.1 / 2**0.5
PAPER_SIZE, SMALL_SIZE, TARGET_SIZE = 256, 64, 64

SIGMA = ("no", "shared", "each")
BACKGROUND = ("no", "zero", "median")


class SpatialAutoencoder(nn.Module):
    """Encoder, soft-argmax, decoder, and the switches that Cramer et al. (2024) study.

    Use :func:`build`; this class takes the parts.

    Args:
        encoder: Layers from ``(B, 3, *image_size)`` to scores ``(B, N, h, w)``; one that is no
            ``nn.Sequential`` says in ``.geometry`` which layers decide where its cells lie.
        decoder: From map coordinates ``(B, N, 2)`` to images ``(B, 3, target, target)``.
        keypoints: N.
        image_size: Pixels of the square image.
        temperature: Divides the scores. Two numbers, coolest and warmest, give each keypoint its
            own, evenly spaced on a logarithmic scale.
        learn_temperature: Whether training changes it (DSAE: yes; the other codes: no).
        velocity: Weight of :func:`kpbook.losses.acceleration`, 0 to leave it out.
        background: An image that is added to what the decoder draws, and learned: ``"no"``, from
            ``"zero"`` (as in the paper) or from the ``"median"`` of the frames.
        rarity: Share of the pixel weights that goes by :func:`kpbook.losses.rarity_weight`, as a
            multiple of the equal share; 0 to leave it out.
        motion: The same for pixels that differ from the median frame.
        whiten: Show the encoder the whitened difference from the median frame
            (:class:`~kpbook.extractors.blocks.Difference`) instead of the frame.
        gate: Added to the scores, after the temperature, of cells that differ from the median
            frame; 0 to leave it out.
        prior: In evaluation, strength of :class:`~kpbook.extractors.blocks.SpatialPrior`, which
            training observes; 0 to leave it out.
        input_noise: Standard deviation of the noise on the encoder's input, units of the image.
        snippet: Frames in a row that a batch holds of each place; 3 for the velocity loss.
        batch_size: Snippets in a batch.
        coordinates: ``"image"``, the course's, or ``"paper"``: map coordinates, as in the codes.
        name: Name in :mod:`kpbook.extractors.registry`.
        config: Options for :func:`build` that give the same network again.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        keypoints: int,
        image_size: int,
        temperature: float | tuple[float, float] = 1.0,
        learn_temperature: bool = False,
        velocity: float = 0.0,
        background: str = "no",
        rarity: float = 0.0,
        motion: float = 0.0,
        whiten: bool = False,
        gate: float = 0.0,
        prior: float = 0.0,
        input_noise: float = 0.001,
        snippet: int = 3,
        batch_size: int = 32,
        coordinates: str = "image",
        name: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_choice(coordinates, ("image", "paper"), name="coordinates")
        check_choice(background, BACKGROUND, name="background")
        start = _temperatures(temperature, keypoints)
        for option, flag in (("learn_temperature", learn_temperature), ("whiten", whiten)):
            if not isinstance(flag, bool):
                raise TypeError(complain(option, repr(flag), "True or False"))
        weights = {"rarity": rarity, "motion": motion, "gate": gate, "prior": prior}
        for option, share in weights.items():
            check_range(share, 0, 1e3, name=option, hint="0 leaves it out.")
        check_range(velocity, 0, 1e6, name="velocity", hint="Weight of a loss; the paper's: 0.1.")
        check_range(input_noise, 0, 1, name="input_noise", hint="Standard deviation; 0.001.")
        check_integer(snippet, name="snippet", minimum=3 if velocity else 1, hint=_SNIPPET_HINT)
        check_integer(batch_size, name="batch_size", minimum=1, hint="Snippets in a batch.")
        self.encoder, self.decoder = encoder, decoder
        self.keypoints, self.image_size, self.coordinates = keypoints, image_size, coordinates
        self.velocity, self.input_noise = velocity, input_noise
        self.snippet, self.batch_size = snippet, batch_size
        self.name, self.config = name, dict(config or {})
        layers: Any = getattr(encoder, "geometry", encoder)
        self.map_size, self.stride, self.offset = geometry(layers, (image_size, image_size))
        self.temperature = Positive(start, learned=learn_temperature)
        self.start = background
        empty = torch.zeros(3, TARGET_SIZE, TARGET_SIZE)
        self.background = None if background == "no" else nn.Parameter(empty)
        self.weight = PixelWeight(rarity, motion) if rarity or motion else None
        self.difference = (
            Difference(image_size, self.map_size, whiten, gate) if whiten or gate else None
        )
        self.prior = SpatialPrior(keypoints, self.map_size, prior) if prior else None
        as_channels_last(self)

    # -- the contract ------------------------------------------------------------------------

    @property
    def knows_places(self) -> bool:
        """Whether keypoints depend on a median frame or on where they usually are."""
        return self.prior is not None or self.difference is not None

    def forward(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to keypoints ``(B, N, 2)``, image coordinates.

        Raises:
            TypeError: If the images are of another type than the weights, float32.
            ValueError: If their size or range is another than the network's.
        """
        points = _expectation(self.heatmaps(images))
        if self.coordinates == "paper":
            return points
        size = self.image_size
        return map_to_image(points, self.map_size, size, self.stride, self.offset)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to heat maps ``(B, N, h, w)``."""
        check_input(images, self.image_size, self.temperature.log.dtype)
        tau = self.temperature().expand(self.keypoints)
        seen, gate = (images, 0.0) if self.difference is None else self.difference(images)
        scores = self.encoder(channels_last(seen))
        prior = self.prior if not self.training else None
        if self.difference is None and prior is None:
            return _softmax(scores, tau)
        scores = scores / tau[:, None, None] + gate
        return _softmax(scores if prior is None else scores + prior(), None)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` to their pictures ``(B, 3, 64, 64)``, not clipped."""
        return self.draw(_expectation(self.heatmaps(images)))

    def draw(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)``, as the decoder takes them, to ``(B, 3, 64, 64)``."""
        image: Tensor = self.decoder(points)
        return image if self.background is None else image + self.background

    # -- learning ----------------------------------------------------------------------------

    @property
    def images_per_batch(self) -> int:
        """Frames that a step sees."""
        return self.batch_size * self.snippet

    def prepare(self, episodes: Episodes) -> None:
        """Look at the frames once: median frame, whitening, table of rare colours."""
        frames = episodes.flat().images
        _check_size(frames, self.image_size)
        if self.start == "median" and self.background is not None:
            scene = torch.from_numpy(median_frame(frames)).movedim(-1, 0)[None]
            with torch.no_grad():
                self.background.copy_(resize(scene, TARGET_SIZE)[0])
        for part in (self.weight, self.difference):
            if part is not None:
                part.prepare(frames)
        if self.prior is not None:
            self.prior.forget()  # what it was trained on before may be another scene

    def batch(self, episodes: Episodes, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw snippets: clean images, and with noise what the encoder sees, ``(B, S, 3, H, W)``.

        Raises:
            ValueError: If episodes are shorter than a snippet, or frames have another size.
        """
        _check_size(episodes.images, self.image_size)
        clean = episodes.snippets(self.snippet, self.batch_size, generator)
        noise = self.input_noise * torch.randn(clean.shape, generator=generator)
        return {"images": (clean + noise).clamp(0, 1), "target": clean}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch: ``loss`` is minimised, the other entries are its parts.

        Source: Cramer et al. (2024), reconstruction plus weighted velocity loss.

        Args:
            batch: ``images`` and ``target``, B snippets of S frames, ``(B, S, 3, H, W)``, as
                :meth:`batch` draws them. The velocity loss goes by this S.

        Raises:
            ValueError: If there are no snippets, or the target is of other frames.
        """
        hint = "B snippets of S frames in a row, as batch(episodes, generator) draws them."
        B, S, *_ = check_shape(batch["images"], "B S 3 H W", name="batch['images']", hint=hint)
        images, target = batch["images"].flatten(0, 1), batch["target"].flatten(0, 1)
        if target.shape[-1] != TARGET_SIZE:
            target = resize(target, TARGET_SIZE)
        maps = self.heatmaps(images)
        if self.prior is not None and self.training:
            self.prior.observe(maps.detach())
        points = _expectation(maps)
        drawn = self.draw(points)
        parts = {"reconstruction": reconstruction(drawn, target)}
        loss = parts["reconstruction"]
        if self.weight is not None:
            parts["weighted"] = loss = _reconstruction(drawn, target, self.weight(target))
        if self.velocity:
            parts["velocity"] = acceleration(points.unflatten(0, (B, S)))
            loss = loss + self.velocity * parts["velocity"]
        return {"loss": loss, **parts}


_SNIPPET_HINT = "Frames in a row; the velocity loss is a second difference and needs three."


def _temperatures(temperature: Any, keypoints: int) -> Tensor:
    """One temperature, ``()``, or one per keypoint, ``(N,)``."""
    ends = temperature if isinstance(temperature, list | tuple) else (temperature,)
    for end in ends:
        check_positive(end, name="temperature", hint="It divides the scores.")
    if len(ends) == 1:
        return torch.tensor(float(ends[0]))
    if len(ends) != 2:
        raise ValueError(complain("temperature", temperature, "one number, or coolest and warmest"))
    low, high = (math.log10(end) for end in ends)
    return torch.logspace(low, high, keypoints)


def _check_size(frames: np.ndarray, size: int) -> None:
    H, W = frames.shape[-3:-1]
    if size != H or size != W:
        hint = "Record at that size (PushWorld(image_size=...)), or resize with kpbook.images."
        raise ValueError(complain("episodes", f"frames of {H} x {W} px", f"{size} x {size}", hint))


# -- layers ----------------------------------------------------------------------------------
# An architecture is a function from its width and keypoints to encoder and decoder. ``small`` moves
# strides, so that the map of a 64-pixel image still has about 32 x 32 cells.


class _Parts(NamedTuple):
    encoder: nn.Module
    decoder: nn.Module


def dsae(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> _Parts:
    """Finn et al. (2016), layers of Cramer's code; ReLU in front of the softmax, as there.

    The small one is padded: without padding its map would reach only two thirds of the image.
    """
    if learn_sigma != "no":
        hint = "DSAE's decoder is linear and draws no Gaussian; take keynet or basic."
        raise ValueError(complain("learn_sigma", repr(learn_sigma), "'no' for dsae", hint))
    a, b = int(64 * width), int(32 * width)
    same = None if small else 0
    layers = [*conv(3, a, 7, 2, padding=same), *conv(a, b, 5, padding=same)]
    return _Parts(
        nn.Sequential(*layers, *conv(b, keypoints, 5, padding=same)),
        LinearDecoder(keypoints, TARGET_SIZE),
    )


def basic(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> _Parts:
    """Cramer et al. (2024), Basic: three blocks that end in a pooling with a padding of 1.

    In the small one only the first block pools.
    """
    layers: list[nn.Module] = []
    before = 3
    for block, channels in enumerate(int(c * width) for c in (32, 64, 128)):
        layers += [*conv(before, channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
        if block == 0 or not small:
            layers += [nn.MaxPool2d(2, 2, padding=1)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        before = channels
    encoder = nn.Sequential(*layers, nn.Conv2d(before, keypoints, 1))
    a, b, c = (int(n * width) for n in (64, 32, 16))
    stack = nn.Sequential(*conv(keypoints, a), *conv(a, b), *conv(b, c), nn.Conv2d(c, 3, 1))
    return _Parts(encoder, GaussianDecoder(stack, 64, keypoints, sigma, learn_sigma))


def keynet(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> _Parts:
    """Jakab et al. (2018) as in Cramer's code: no source image, one 2-D softmax.

    The small one has stride 2 in its second block only; at the paper's strides its map would have
    8 x 8 cells, each larger than the cube.
    """
    a, b, c, d = (int(n * width) for n in (32, 64, 128, 256))
    late = 1 if small else 2
    encoder = nn.Sequential(
        *conv(3, a, 7), *conv(a, a),
        *conv(a, b, stride=2), *conv(b, b),
        *conv(b, c, stride=late), *conv(c, c),
        *conv(c, d, stride=late), *conv(d, d),
        nn.Conv2d(d, keypoints, 1),
    )  # fmt: skip
    decoder = nn.Sequential(
        *conv(keypoints, d), *conv(d, d), _twice(),
        *conv(d, c), *conv(c, c), _twice(),
        *conv(c, b), *conv(b, b),
        nn.Conv2d(b, 3, 1),
    )  # fmt: skip
    return _Parts(encoder, GaussianDecoder(decoder, 16, keypoints, sigma, learn_sigma))


class TwoScales(nn.Module):
    """Look closely at 32 x 32 cells and widely at 16 x 16, and score cells by both.

    Args:
        near: Channels of the close look.
        far: Channels of the wide look.
        keypoints: N.
    """

    def __init__(self, near: int, far: int, keypoints: int) -> None:
        super().__init__()
        self.near = nn.Sequential(*conv(3, near, 5, 2), *conv(near, near))
        # A kernel of 4: one of 3 would put the wide look half a cell beside the close one.
        half = conv(near, far, 4, stride=2, padding=1)
        self.far = nn.Sequential(*half, *conv(far, far), *conv(far, far), _twice())
        self.score = nn.Sequential(*conv(near + far, far, 1), nn.Conv2d(far, keypoints, 1))

    @property
    def geometry(self) -> nn.Sequential:
        """The layers that decide where the cells of the map lie."""
        return self.near

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to scores ``(B, N, H/2, W/2)``."""
        near = self.near(images)
        scores: Tensor = self.score(torch.cat([near, self.far(near)], dim=1))
        return scores


def rarity(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> _Parts:
    """Ours: two scales in, three narrow layers out."""
    near, draw, far = (int(n * width) for n in (16, 16, 32))
    stack = nn.Sequential(
        *conv(keypoints, draw),
        *conv(draw, draw),
        nn.Conv2d(draw, 12, 3, padding=1),
        nn.PixelShuffle(2),
    )
    encoder = TwoScales(near, far, keypoints)
    return _Parts(encoder, GaussianDecoder(stack, 32, keypoints, sigma, learn_sigma))


def _twice() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


# -- names -----------------------------------------------------------------------------------


class _Architecture(NamedTuple):
    parts: Callable[[float, int, bool, float, str], _Parts]
    options: Mapping[str, Any]
    multiple: int = 1  # of pixels that the image's side must be


#: Name -> layers, and the options that it sets. Everything else is as in Cramer's code.
ARCHITECTURES: Mapping[str, _Architecture] = {
    "dsae": _Architecture(dsae, {"keypoints": 16, "learn_temperature": True, "velocity": 0.1}),
    "basic": _Architecture(basic, {"keypoints": 16}),
    "basic-kp32": _Architecture(basic, {"keypoints": 32}),
    "keynet": _Architecture(keynet, {"keypoints": 30}),
    "rarity": _Architecture(
        rarity,
        {
            "keypoints": 32,
            "image_size": SMALL_SIZE,
            "sigma": 0.1,
            "learn_sigma": "each",
            "temperature": (0.1, 2.0),
            "background": "median",
            "rarity": 6.0,
            "motion": 4.0,
            "velocity": 2.0,
            "whiten": True,
            "gate": 10.0,
            "prior": 1.0,
            "input_noise": 0.0,
            "batch_size": 11,
        },
        multiple=4,
    ),
}
#: Endings of a name, in this order, and the options that each sets.
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "quarter": {"width": 0.25, "image_size": SMALL_SIZE},
    "vel": {"velocity": 0.1},
    "std": {"learn_sigma": "shared"},
    "bg": {"background": "zero"},
}


def build(name: str, *, seed: int = 0, **options: Any) -> SpatialAutoencoder:
    """Build an untrained spatial autoencoder.

    Args:
        name: An architecture (``dsae``, ``basic``, ``basic-kp32``, ``keynet``, ``rarity``), then
            any of ``-quarter`` (64 px, a quarter of the channels), ``-vel``, ``-std`` and ``-bg``.
            A switch sets an option to the paper's value; ``rarity`` has values of its own.
        seed: Of the first weights.
        **options: As in :class:`SpatialAutoencoder`, and ``keypoints``, ``image_size``, ``width``
            (share of the paper's channels), ``sigma`` (start) and ``learn_sigma`` (``"no"``,
            ``"shared"``, ``"each"``).

    Raises:
        ValueError: If the name or an option is unknown, or the parts cannot take an option.
    """
    architecture, switches = _parse(name)
    chosen: dict[str, Any] = _defaults() | dict(architecture.options)
    for switch in switches:
        chosen |= SWITCHES[switch]
    for option in options:
        check_choice(option, _OPTIONS, name=f"option of {name}")
    chosen |= options
    width, sigma, learn_sigma = (chosen.pop(k) for k in ("width", "sigma", "learn_sigma"))
    check_choice(learn_sigma, SIGMA, name="learn_sigma")
    check_range(width, 1 / 16, 4, name="width", hint="Share of the paper's channels, 1 or 0.25.")
    check_integer(chosen["image_size"], name="image_size", minimum=1, hint="Images are square.")
    check_integer(seed, name="seed", minimum=0, hint="Of the first weights.")
    check_positive(
        sigma, name="sigma", hint=f"In map coordinates; the paper's is {PAPER_SIGMA:.4f}."
    )
    N = check_integer(chosen["keypoints"], name="keypoints", minimum=1, hint="N, points per image.")
    if chosen["image_size"] % architecture.multiple:
        expected = f"a multiple of {architecture.multiple} for {name}"
        raise ValueError(complain("image_size", chosen["image_size"], expected))
    # All of them, not those that were given: a default may change, what is recorded may not.
    config = {**chosen, "width": width, "sigma": sigma, "learn_sigma": learn_sigma}
    if isinstance(config.get("temperature"), tuple):
        config["temperature"] = list(config["temperature"])  # as it reads back from JSON
    small = "quarter" in switches
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
        torch.manual_seed(seed)
        encoder, decoder = architecture.parts(width, N, small, sigma, learn_sigma)
    return SpatialAutoencoder(encoder, decoder, name=name, config=config, **chosen)


def _defaults() -> dict[str, Any]:
    """Every option, as it is where no architecture, switch or caller says otherwise."""
    signature = inspect.signature(SpatialAutoencoder.__init__).parameters
    own = {"width": 1.0, "image_size": PAPER_SIZE, "sigma": PAPER_SIGMA, "learn_sigma": "no"}
    return {k: signature[k].default for k in _OPTIONS if k in signature} | own


def _parse(name: str) -> tuple[_Architecture, list[str]]:
    """Architecture and switches of a name, the longest architecture that fits."""
    for base in sorted(ARCHITECTURES, key=len, reverse=True):
        rest = str(name).removeprefix(base).split("-")
        given = [s for s in SWITCHES if s in rest[1:]]
        if str(name).startswith(base) and rest == ["", *given]:
            return ARCHITECTURES[base], given
    known = f"one of {', '.join(ARCHITECTURES)}, then any of -{', -'.join(SWITCHES)} in this order"
    raise ValueError(complain("architecture", repr(name), known))


_OPTIONS = (
    "keypoints", "image_size", "width", "sigma", "learn_sigma", "temperature", "learn_temperature",
    "velocity", "background", "rarity", "motion", "whiten", "gate", "prior", "input_noise",
    "snippet", "batch_size", "coordinates",
)  # fmt: skip
