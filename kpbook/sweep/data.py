"""The episodes of a job: the sample, or a recording of the world that its file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kpbook import episodes
from kpbook._checks import check_choice, check_integer, complain
from kpbook.world import registry

RECORD_OPTIONS = ("episodes", "steps", "seed", "policy")
_SPLIT = ("train", "validation", "seed", "pairs")
_PAIRS = ("pairs", "offers", "chance")
_SAMPLE_EPISODES = 300
#: The world of data that names none.
WORLD = "push"


def check_keys(mapping: Any, known: Iterable[str], *, where: str) -> None:
    """Raise ``TypeError`` unless it is a mapping, ``ValueError`` for a key that is not known."""
    if not isinstance(mapping, dict):
        raise TypeError(complain(where, repr(mapping), f"keys among {', '.join(known)}"))
    for key in mapping:
        check_choice(key, known, name=f"{where}: key")


def check_data(data: Any, split: Any, where: str) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless they describe episodes and their two parts."""
    if data != "sample":
        world = data.get("world", WORLD) if isinstance(data, dict) else WORLD
        options = registry.options(check_choice(world, registry.WORLDS, name=f"{where}: data"))
        known = (*RECORD_OPTIONS, "world", *(options or ()))
        if not isinstance(data, dict) or options is not None:
            check_keys(data, known, where=f"{where}: data")
        if "episodes" not in data:
            hint = "Or `data: sample`, the recording that ships."
            raise ValueError(complain(f"{where}: data", "no 'episodes'", "how many", hint))
    check_keys(split, _SPLIT, where=f"{where}: split")
    counts = {}
    for part, least in (("train", 1), ("validation", 2)):
        hint = "Half of the validation episodes fit the affine map, the others score."
        counts[part] = check_integer(
            split.get(part), name=f"{where}: split: {part}", minimum=least, hint=hint
        )
    most = _SAMPLE_EPISODES if data == "sample" else data["episodes"]
    if sum(counts.values()) > check_integer(most, name=f"{where}: data: episodes", minimum=1):
        got = f"{counts['train']} + {counts['validation']} episodes"
        raise ValueError(complain(f"{where}: split", got, f"at most {most} in all"))
    if "pairs" in split:
        check_keys(split["pairs"], _PAIRS, where=f"{where}: split: pairs")
        for key in ("pairs", "offers"):
            check_integer(split["pairs"].get(key), name=f"{where}: split: pairs: {key}", minimum=0)


def episodes_of(settings: Mapping[str, Any], cache: Path, workers: int = 1) -> episodes.Episodes:
    """Return all episodes of a job: the sample, or a recording, made once and then read."""
    data = settings["data"]
    if data == "sample":
        return episodes.Episodes.sample()
    own = {k: v for k, v in data.items() if k not in (*RECORD_OPTIONS, "world")}
    world = registry.make(data.get("world", WORLD), **own)
    options = {k: v for k, v in data.items() if k in RECORD_OPTIONS}
    try:
        return episodes.record(world, **options, workers=workers, cache=cache)
    finally:
        if hasattr(world, "close"):
            world.close()


def parts_of(
    settings: Mapping[str, Any], cache: Path
) -> tuple[episodes.Episodes, episodes.Episodes]:
    """Return the training and the validation episodes of a job.

    Where the split asks for ``pairs``, training sees those of :func:`kpbook.episodes.diverse_pairs`
    alone, each an episode of two frames.
    """
    split = settings["split"]
    train, validation = episodes_of(settings, cache).split(
        (split["train"], split["validation"]), seed=split["seed"]
    )
    if "pairs" in split:
        train = episodes.diverse_pairs(train, **split["pairs"], seed=split["seed"]).pairs
    return train, validation
