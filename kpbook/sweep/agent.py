"""Agents: SAC on true points, on the full state or on somebody's keypoints, over seeds.

A run states ``state`` and ``steps``, and if it likes ``hand``, ``reward``, ``configuration``
(``"cpu"`` without it), ``every``, ``episodes`` and ``overrides``, any other setting of
:mod:`kpbook.control.configurations`. With ``state: keypoints`` it names an ``extractor``:

- ``rarity``: weights that ship with the package;
- ``recipe/rarity-s3``: the encoder of a recorded run, seed 3 of the sweep ``recipe``, in the
  folder beside this sweep's own;
- ``recipe/rarity``: the same, of the agent's own seed;
- ``untrained/rarity``: an architecture with its first weights, drawn from the agent's own seed.

``data`` and ``split`` say on whose validation episodes :mod:`kpbook.sweep.metrics` judges the
extractor; the agent never sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kpbook import runs, zoo
from kpbook._checks import check_choice, check_flag, check_integer, complain
from kpbook.control import agents, configurations, sac
from kpbook.extractors import registry
from kpbook.sweep.data import check_data
from kpbook.sweep.plan import Job
from kpbook.world import registry as worlds

UNTRAINED = "untrained"
_SEEING = ("state", "hand", "reward")
_LENGTH = ("steps", "every", "episodes")
KEYS = (*_SEEING, *_LENGTH, "extractor", "configuration", "overrides", "data", "split")
NEEDS = ("state", "steps")
EITHER: tuple[str, ...] = ()


def settings(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All that shapes a run: the whole configuration, the extractor's name, and the length."""
    overrides = entry.get("overrides") or {}
    name = entry.get("configuration", "cpu")
    if "hand" in entry:
        check_flag(entry["hand"], name=f"{where}: hand")
    changes = {key: entry[key] for key in _SEEING if key in entry}
    try:
        if not isinstance(overrides, dict) or set(overrides) & {*_SEEING}:
            expected = f"settings by name, without {', '.join(_SEEING)}"
            raise TypeError(complain("overrides", repr(overrides), expected))
        made = configurations.configuration(name, **changes, **overrides)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error
    extractor = entry.get("extractor")
    _check_extractor(extractor, made.options.state, where)
    lengths = {
        key: check_integer(entry[key], name=f"{where}: {key}", minimum=1)
        for key in _LENGTH
        if key in entry
    }
    judged: dict[str, Any] = {}
    if extractor is not None and "data" in entry:
        check_data(entry["data"], entry.get("split") or {}, where)
        judged = {"data": entry["data"], "split": {"seed": 0, **entry["split"]}}
    return {
        **judged,
        "state": made.options.state,
        "hand": made.options.hand,
        "reward": made.options.reward,
        "extractor": extractor,
        "configuration": name,
        "overrides": overrides,
        "built": made.plain(),  # with the defaults of today: others make another run
        **lengths,
    }


def prepare(jobs: Sequence[Job], cache: Path, workers: int) -> None:
    """Raise ``FileNotFoundError`` if an encoder is missing, before the first agent trains."""
    missing = [
        path for job in jobs if (path := _recorded(job, cache.parent)) and not path.is_file()
    ]
    if missing:
        got = f"no {missing[0].name}"
        hint = f"Train it, or copy it there. Missing: {len({*missing})} encoders."
        raise FileNotFoundError(complain(str(missing[0].parent), got, "an encoder", hint))


def train(job: Job, out: Path) -> tuple[runs.RunRecord, Callable[[runs.RunRecord], None]]:
    """Train one agent, or go on with it; what it keeps are the networks' weights."""
    s = job.settings
    extractor = extractor_of(job, out)
    size = 64 if extractor is None else extractor.image_size
    made = configurations.configuration(
        s["configuration"], **{key: s[key] for key in _SEEING}, **s["overrides"]
    )
    trained = sac.train(
        lambda: worlds.make("push", image_size=size),
        made,
        seed=job.seed,
        extractor=extractor,
        folder=job.work(out),
        name=job.name,
        progress=False,
        **{key: s[key] for key in _LENGTH if key in s},
    )
    if trained.stopped:
        raise SystemExit(f"{job.name} was {trained.stopped}; its checkpoint stays.")

    def keep(record: runs.RunRecord) -> None:
        path = out / f"{job.name}.agent.safetensors"
        agents.save(path, trained.model, made, trained.fit, record.name)

    return trained.record, keep


def extractor_of(job: Job, out: Path, device: str = "cpu") -> Any:
    """The extractor of a job, in eval mode; ``None`` where the state is no keypoints."""
    name = job.settings["extractor"]
    if name is None:
        return None
    if path := _recorded(job, out):
        return zoo.load_file(path, device)
    if "/" in name:
        return registry.build(name.partition("/")[2], seed=job.seed).to(device).eval()
    return zoo.load(name, device)


def _recorded(job: Job, out: Path) -> Path | None:
    """File of a recorded run's encoder, ``None`` for another kind of extractor."""
    sweep, _, run = (job.settings["extractor"] or "").rpartition("/")
    if sweep in ("", UNTRAINED):
        return None
    stem, _, seed = run.rpartition("-s")
    name = run if stem and seed.isdigit() else f"{run}-s{job.seed}"
    return out.resolve().parent / sweep / f"{name}.encoder.safetensors"


def _check_extractor(extractor: Any, state: str, where: str) -> None:
    """Raise unless the name says where an extractor is, for a state that needs one."""
    needed = state == "keypoints"
    if needed != (extractor is not None):
        expected = "an 'extractor'" if needed else "no 'extractor': this state has no keypoints"
        raise ValueError(complain(f"{where}: extractor", repr(extractor), expected))
    if extractor is None:
        return
    if not isinstance(extractor, str):
        raise TypeError(complain(f"{where}: extractor", repr(extractor), "a name"))
    sweep, slash, name = extractor.partition("/")
    if not slash:
        check_choice(extractor, zoo.names(), name=f"{where}: extractor")
    elif sweep == UNTRAINED:
        try:
            registry.build(name)
        except ValueError as error:
            raise ValueError(f"{where}: extractor: {error}") from error
    elif not sweep or not name:
        expected = "'sweep/run' or 'sweep/run-s0'"
        raise ValueError(complain(f"{where}: extractor", repr(extractor), expected))
