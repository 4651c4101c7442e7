"""Name -> network of frame pairs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from kpbook._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_seed,
    complain,
)
from kpbook.extractors.registry import parse, plain
from kpbook.extractors.transporter.layers import NORMS, encoder, refiner
from kpbook.extractors.transporter.model import ConditionalGenerator, FramePairs, Transporter
from kpbook.extractors.transporter.recipe import Candidates

#: The paper leaves the half out of a Gaussian's exponent: its width of 0.1 is this one of ours.
PAPER_SIGMA = 0.1 / 2**0.5
_PAPER: Mapping[str, Any] = {
    "keypoints": 4, "image_size": 128, "small": False, "width": 1.0, "norm": "batch",
    "sigma": PAPER_SIGMA, "candidates": 0, "choose_after": 150,
}  # fmt: skip
ARCHITECTURES = ("transporter", "pixel-transporter", "jakab")
#: Endings of a name, in this order, and the options that each sets: sizes for 64 pixels and a CPU;
#: and what we added, as in chapter 3, so that small objects are found within a minute.
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "small": {"image_size": 64, "small": True, "norm": "instance", "batch_size": 32},
    "recipe": {
        "separable": False, "temperature": 0.1, "rarity": 6.0, "whiten": True, "gate": 10.0,
        "motion": 10.0, "sigma": 0.15, "candidates": 24, "choose_after": 150,
    },
}  # fmt: skip
_NOT_OPTIONS = {"self", "encoder", "features", "refine", "name", "config"}


def build(name: str, *, seed: int = 0, **options: Any) -> FramePairs:
    """Build an untrained network of frame pairs.

    Args:
        name: ``transporter``, ``pixel-transporter`` (transports the pixels themselves) or
            ``jakab`` (the conditional generator), each with the paper's sizes; then any of
            ``-small`` (64 pixels, fewer and smaller layers, instance norm) and ``-recipe`` (what
            we added: joint softmax, cool from the start; pixels weighted by rare colours and
            motion; the whitened difference from the median frame and its gate; wider Gaussians;
            more candidates at first than keypoints that remain).
        seed: Of the first weights.
        **options: As in :class:`FramePairs` and :class:`Transporter`; and ``width`` (share of the
            paper's channels), ``small`` (its layers), ``norm`` (``"instance"`` or ``"batch"``),
            ``candidates`` (0: as many as ``keypoints``) and ``choose_after``, of
            :class:`~kpbook.extractors.transporter.recipe.Candidates`.

    Raises:
        TypeError: If an option is of another kind.
        ValueError: If the name or an option is unknown or out of range.
    """
    chosen = options_of(name)
    for option in options:
        check_choice(option, chosen, name=f"option of {name}")
    chosen |= {option: plain(value) for option, value in options.items()}
    config = dict(chosen)
    small, width, norm = (chosen.pop(k) for k in ("small", "width", "norm"))
    M, choose_after = (chosen.pop(k) for k in ("candidates", "choose_after"))
    check_flag(small, name="small")
    check_range(width, 1 / 16, 4, name="width", hint="Share of the paper's channels.")
    check_choice(norm, NORMS, name="norm")
    N = check_integer(chosen["keypoints"], name="keypoints", minimum=1, hint="N, points per image.")
    hint = "Keypoints that training begins with; 0: as many as remain."
    M = check_integer(M, name="candidates", minimum=0, hint=hint) or N
    if M < N:
        raise ValueError(complain("candidates", M, f"0, or at least {N}, the keypoints", hint))
    check_integer(choose_after, name="choose_after", minimum=1, hint="Steps before the choice.")
    size = check_integer(chosen["image_size"], name="image_size", minimum=16, hint="A square.")
    cell = 2 if small else 4
    if size % cell:
        raise ValueError(complain("image_size", size, f"a multiple of {cell} for {name}"))
    (kind, _), make = parse(name, ARCHITECTURES, SWITCHES), NORMS[norm]
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
        torch.manual_seed(check_seed(seed))
        layers, C = encoder(small, width, make, 5 if chosen["places"] else 3)
        points = nn.Sequential(*layers, Candidates(C, N, M, choose_after))
        features: nn.Module = nn.PixelUnshuffle(cell)
        channels = 3 * cell**2
        if kind != "pixel-transporter":
            features, channels = encoder(small, width, make)
        channels += M if kind == "jakab" else 0
        refine = refiner(small, width, channels, make)
    network = ConditionalGenerator if kind == "jakab" else Transporter
    return network(points, features, refine, name=name, config=config, **chosen)


def options_of(name: str) -> dict[str, Any]:
    """Return every option of a name with its value, as ``build(name)`` takes it.

    Raises:
        ValueError: If there is no such architecture or switch.
    """
    kind, switches = parse(name, ARCHITECTURES, SWITCHES)
    signature = inspect.signature(FramePairs.__init__).parameters
    chosen = {k: p.default for k, p in signature.items() if k not in _NOT_OPTIONS}
    chosen.update(_PAPER)
    if kind != "jakab":
        chosen["stop_gradient"] = True
    for switch in switches:
        chosen |= SWITCHES[switch]
    return {option: plain(value) for option, value in chosen.items()}
