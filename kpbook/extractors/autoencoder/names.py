"""Name -> spatial autoencoder: architectures, the papers' switches, and every option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from kpbook._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_positive,
    check_range,
    check_seed,
    complain,
)
from kpbook.extractors.autoencoder.layers import PAPER_SIGMA, Parts, basic, dsae, keynet
from kpbook.extractors.autoencoder.model import SpatialAutoencoder
from kpbook.extractors.autoencoder.recipe import Recipe, rarity
from kpbook.extractors.registry import parse, plain

PAPER_SIZE, SMALL_SIZE = 256, 64
SIGMA = ("no", "shared", "each")


class _Architecture(NamedTuple):
    parts: Callable[[float, int, bool, float, str], Parts]
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
    "quarter": {"width": 0.25, "image_size": SMALL_SIZE, "small": True},
    "vel": {"velocity": 0.1},
    "std": {"learn_sigma": "shared"},
    "bg": {"background": "zero"},
}
_LAYERS: Mapping[str, Any] = {
    "image_size": PAPER_SIZE, "width": 1.0, "sigma": PAPER_SIGMA, "learn_sigma": "no",
    "small": False,
}  # fmt: skip
_NOT_OPTIONS = {"self", "encoder", "decoder", "name", "config", "options"}


def build(name: str, *, seed: int = 0, **options: Any) -> SpatialAutoencoder:
    """Build an untrained spatial autoencoder.

    Args:
        name: An architecture (``dsae``, ``basic``, ``basic-kp32``, ``keynet``, ``rarity``), then
            any of ``-quarter`` (64 px, a quarter of the channels, ``small``), ``-vel``, ``-std``
            and ``-bg``. A switch sets an option to the paper's value; ``rarity`` has values of
            its own.
        seed: Of the first weights.
        **options: As in :class:`SpatialAutoencoder` and :class:`Recipe`, which is built if one of
            its options is on; and ``keypoints``, ``image_size``, ``width`` (share of the paper's
            channels), ``small`` (strides moved, so that the map of a 64-pixel image has about
            32 x 32 cells), ``sigma`` (start) and ``learn_sigma`` (``"no"``, ``"shared"``,
            ``"each"``).

    Raises:
        TypeError: If an option is of another kind.
        ValueError: If the name or an option is unknown, or the parts cannot take an option.
    """
    architecture, _ = _parse(name)
    chosen = options_of(name)
    for option in options:
        check_choice(option, chosen, name=f"option of {name}")
    chosen |= options
    _check(name, chosen, architecture.multiple)
    chosen = {option: plain(value) for option, value in chosen.items()}
    seed = check_seed(seed)
    # All of them, not those that were given: a default may change, what is recorded may not.
    config = dict(chosen)
    width, small, sigma, learn_sigma = (
        chosen.pop(k) for k in ("width", "small", "sigma", "learn_sigma")
    )
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
        torch.manual_seed(seed)
        parts = architecture.parts(width, chosen["keypoints"], small, sigma, learn_sigma)
    ours = _defaults(Recipe).keys() - _defaults(SpatialAutoencoder).keys()
    if chosen["background"] != "median" and not any(chosen[k] for k in ours):
        paper = {k: v for k, v in chosen.items() if k not in ours}
        return SpatialAutoencoder(*parts, name=name, config=config, **paper)
    return Recipe(*parts, name=name, config=config, **chosen)


def options_of(name: str) -> dict[str, Any]:
    """Return every option of a name with its value, as ``build(name)`` takes it.

    Raises:
        ValueError: If there is no such architecture or switch.
    """
    architecture, switches = _parse(name)
    chosen = _defaults(SpatialAutoencoder) | _defaults(Recipe) | dict(_LAYERS)
    chosen |= architecture.options
    for switch in switches:
        chosen |= SWITCHES[switch]
    return {option: plain(value) for option, value in chosen.items()}


def _check(name: str, chosen: Mapping[str, Any], multiple: int) -> None:
    """Raise unless the options that decide the layers, and which class, make sense."""
    check_choice(chosen["learn_sigma"], SIGMA, name="learn_sigma")
    check_choice(chosen["background"], Recipe.BACKGROUND, name="background")
    hint = "Share of the paper's channels, 1 or 0.25."
    check_range(chosen["width"], 1 / 16, 4, name="width", hint=hint)
    size = check_integer(chosen["image_size"], name="image_size", minimum=1, hint="A square.")
    hint = f"In map coordinates; the paper's is {PAPER_SIGMA:.4f}."
    check_positive(chosen["sigma"], name="sigma", hint=hint)
    check_integer(chosen["keypoints"], name="keypoints", minimum=1, hint="N, points per image.")
    for flag in ("small", "whiten"):
        check_flag(chosen[flag], name=flag)
    if size % multiple:
        raise ValueError(complain("image_size", size, f"a multiple of {multiple} for {name}"))


def _defaults(network: type) -> dict[str, Any]:
    """Options of a class that have a default."""
    signature = inspect.signature(network.__init__).parameters  # type: ignore[misc]
    return {k: p.default for k, p in signature.items() if k not in _NOT_OPTIONS}


def _parse(name: str) -> tuple[_Architecture, list[str]]:
    """Architecture and switches of a name."""
    base, given = parse(name, ARCHITECTURES, SWITCHES)
    return ARCHITECTURES[base], given
