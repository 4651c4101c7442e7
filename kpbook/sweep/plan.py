"""From a YAML file to a list of jobs; whatever is wrong with it is said before anything runs."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpbook import episodes, runs, training
from kpbook._checks import check_choice, check_integer, complain, require
from kpbook.extractors import registry

#: Options of ``fit`` that a sweep decides by itself.
_OWN = {"extractor", "episodes", "steps", "seed", "validate", "folder", "name", "resume", "config"}
FIT_OPTIONS = sorted(set(inspect.signature(training.fit).parameters) - _OWN - {"progress"})
RECORD_OPTIONS = ("episodes", "steps", "seed", "policy")
_TOP = ("data", "split", "defaults", "runs")
_SPLIT = ("train", "validation", "seed")
_SHARED = ("architecture", "overrides", "seeds", "images", "steps", "data", "split", *FIT_OPTIONS)
_SAMPLE_EPISODES = 300


@dataclass(frozen=True)
class Job:
    """One run with one seed.

    Attributes:
        run: Name of the run.
        seed: Decides the initial weights and the batches.
        settings: All that shapes the result: architecture, overrides, steps, data, split, fit.
        command: What a reader types to run it again.
    """

    run: str
    seed: int
    settings: Mapping[str, Any]
    command: str

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.run}-s{self.seed}"

    @property
    def digest(self) -> str:
        """Short sha256 of the settings."""
        text = json.dumps(self.settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def work(self, out: Path) -> Path:
        """Folder of its checkpoints, one for each choice of settings."""
        return out / ".work" / f"{self.name}-{self.digest}"

    def outcome(self, out: Path) -> Path:
        """File of its last words, empty if it finished; there from its end until it is read."""
        return out / ".work" / f"{self.name}.outcome"

    def finished(self, out: Path) -> runs.RunRecord | None:
        """Return its run record, or ``None`` if it has not finished with these settings.

        The record says it alone: it is written last, and git may leave the weights out.

        Raises:
            ValueError: If the record is damaged.
        """
        record = self._record(out)
        return record if record and record.config.get("digest") == self.digest else None

    def encoder(self, out: Path) -> Path:
        """File of its weights without what only draws; :func:`check_encoders` looks for it."""
        return out / f"{self.name}.encoder.safetensors"

    def check_same(self, out: Path) -> None:
        """Raise ``ValueError`` if a run of this name has finished with other settings."""
        record = self._record(out)
        if record and record.config.get("digest") != self.digest:
            before = record.config.get("settings", {})
            keys = sorted({*before, *self.settings})
            off = [key for key in keys if before.get(key) != self.settings.get(key)]
            got = f"a finished run with another {', '.join(off)}"
            hint = "--force runs it again; or give another name, or another --out."
            raise ValueError(complain(str(out / self.name), got, "these settings", hint))

    def _record(self, out: Path) -> runs.RunRecord | None:
        path = out / f"{self.name}.json"
        return runs.load(path) if path.is_file() else None


def check_encoders(jobs: Sequence[Job], out: Path) -> None:
    """Raise ``FileNotFoundError`` unless the weights of all these finished jobs are there."""
    missing = [job for job in jobs if not job.encoder(out).is_file()]
    if missing:
        first = missing[0]
        hint = (
            f"Git may hold the record alone; `{first.command} --force` trains them again. "
            f"Missing: {len(missing)} of {len(jobs)}."
        )
        expected = "the weights of a recorded run"
        raise FileNotFoundError(complain(str(first.encoder(out)), "no such file", expected, hint))


def read(path: str | Path) -> list[Job]:
    """Return the jobs of a sweep's YAML file, in its order.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If pyyaml is missing.
        TypeError: If an entry is of another kind.
        ValueError: If it is no YAML, a key or name is unknown, or a number makes no sense; the
            message says where in the file.
    """
    content = _parse(Path(path))
    _check_keys(content, _TOP, where=str(path))
    if not isinstance(content.get("runs"), list) or not content["runs"]:
        got = f"runs = {content.get('runs')!r}"
        hint = "Each entry starts with '- name: ...'."
        raise ValueError(complain(str(path), got, "a list of at least one run", hint))
    defaults = content.get("defaults") or {}
    _check_keys(defaults, _SHARED, where=f"{path}: defaults")
    shared = {**{key: content[key] for key in ("data", "split") if key in content}, **defaults}
    jobs: list[Job] = []
    for i, entry in enumerate(content["runs"]):
        where = f"{path}: runs[{i}]"
        _check_keys(entry, ("name", *_SHARED), where=where)
        length = {"images", "steps"} & set(entry)  # a run's own length replaces the shared one
        base = {k: v for k, v in shared.items() if not (length and k in ("images", "steps"))}
        jobs += _jobs({**base, **entry}, where, Path(path))
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(complain(str(path), f"{twice[0]!r} twice", "a name of its own each"))
    return jobs


def _parse(path: Path) -> Any:
    yaml = require("yaml", extra="sweep", purpose="reading the configuration")
    if not path.is_file():
        raise FileNotFoundError(complain(str(path), "no such file", "a sweep's YAML file"))

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """YAML 1.1 takes ``1e-3``, without a dot, for a word; nobody means that."""

    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        hint = "Mind the indentation, and a space after each colon."
        raise ValueError(complain(str(path), f"no YAML ({error})", "YAML", hint)) from error


def _check_keys(mapping: Any, known: Iterable[str], *, where: str) -> None:
    if not isinstance(mapping, dict):
        raise TypeError(complain(where, repr(mapping), f"keys among {', '.join(known)}"))
    for key in mapping:
        check_choice(key, known, name=f"{where}: key")


def _jobs(entry: dict[str, Any], where: str, path: Path) -> list[Job]:
    """Check one run and deal it out over its seeds."""
    for key in ("name", "architecture", "data", "split"):
        if key not in entry:
            raise ValueError(complain(where, f"no {key!r}", f"a {key!r} here or in the defaults"))
    name = str(entry["name"])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        hint = "It becomes a file's name."
        expected = "letters, digits, '.', '_' and '-'"
        raise ValueError(complain(f"{where}: name", repr(name), expected, hint))
    data, split = entry["data"], entry["split"]
    _check_data(data, split, where)
    overrides = entry.get("overrides") or {}
    steps, built = _steps(entry, where)
    settings = {
        "architecture": entry["architecture"],
        "overrides": overrides,
        "built": built,  # with the defaults of today: others make another run
        "steps": steps,
        "data": data,
        "split": {"seed": 0, **split},
        "fit": {key: entry[key] for key in FIT_OPTIONS if key in entry},
    }
    return [
        Job(name, seed, settings, f"python -m kpbook.sweep {typed(path)} --only {name}-s{seed}")
        for seed in _seeds(entry.get("seeds", 1), where)
    ]


def _check_data(data: Any, split: Any, where: str) -> None:
    if data != "sample":
        world = _world_options()
        _check_keys(data, (*RECORD_OPTIONS, *world), where=f"{where}: data")
        if "episodes" not in data:
            hint = "Or `data: sample`, the recording that ships."
            raise ValueError(complain(f"{where}: data", "no 'episodes'", "how many", hint))
    _check_keys(split, _SPLIT, where=f"{where}: split")
    counts = {}
    for part, least in (("train", 1), ("validation", 2)):
        hint = "Half of the validation episodes fit the affine map, the others score."
        counts[part] = check_integer(
            split.get(part), name=f"{where}: split: {part}", minimum=least, hint=hint
        )
    known = _SAMPLE_EPISODES if data == "sample" else data["episodes"]
    if sum(counts.values()) > check_integer(known, name=f"{where}: data: episodes", minimum=1):
        got = f"{counts['train']} + {counts['validation']} episodes"
        raise ValueError(complain(f"{where}: split", got, f"at most {known} in all"))


def _world_options() -> list[str]:
    from kpbook import world

    if not world.available():
        return ["image_size", "camera", "look"]  # recording itself says what to install
    return list(inspect.signature(world.PushWorld.__init__).parameters)[1:]


def _steps(entry: dict[str, Any], where: str) -> tuple[int, dict[str, Any]]:
    """Number of batches, and all options of the network; building it shows what is wrong."""
    given = {"images", "steps"} & set(entry)
    if len(given) != 1:
        got = " and ".join(sorted(given)) or "neither"
        raise ValueError(complain(where, got, "one of 'images' and 'steps', the run's length"))
    overrides = entry.get("overrides") or {}
    if not isinstance(overrides, dict) or "seed" in overrides:
        hint = "'seeds' decides the first weights, too."
        expected = "options of the architecture by name"
        raise TypeError(complain(f"{where}: overrides", repr(overrides), expected, hint))
    if not isinstance(entry["architecture"], str):
        got = repr(entry["architecture"])
        raise TypeError(complain(f"{where}: architecture", got, "a name"))
    try:
        extractor: Any = registry.build(entry["architecture"], **overrides)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error
    (key,) = given
    count = check_integer(entry[key], name=f"{where}: {key}", minimum=1)
    steps = count if key == "steps" else math.ceil(count / int(extractor.images_per_batch))
    return steps, _built(entry["architecture"], extractor.config)


def _built(architecture: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network; ``small`` only where it is not what the name says.

    It came after runs had been recorded, which are to keep their digest.
    """
    family = registry.family(architecture)
    named = family.options_of(architecture) if hasattr(family, "options_of") else {}
    return {k: v for k, v in config.items() if k != "small" or v != named.get("small")}


def _seeds(seeds: Any, where: str) -> list[int]:
    name, hint = f"{where}: seeds", "A number of seeds, such as 6, or a list, such as [0, 3]."
    if not isinstance(seeds, list):
        return list(range(check_integer(seeds, name=name, minimum=1, hint=hint)))
    if not seeds:
        raise ValueError(complain(name, "an empty list", "at least one seed", hint))
    return [check_integer(seed, name=name, minimum=0, hint=hint) for seed in seeds]


def typed(path: Path) -> str:
    """The path as a reader of the record can type it: no folder of one machine."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def episodes_of(settings: Mapping[str, Any], cache: Path, workers: int) -> episodes.Episodes:
    """Return the episodes of a job: the sample, or a recording, made once and then read."""
    data = settings["data"]
    if data == "sample":
        return episodes.Episodes.sample()
    from kpbook.world import PushWorld

    world = PushWorld(**{k: v for k, v in data.items() if k not in RECORD_OPTIONS})
    options = {k: v for k, v in data.items() if k in RECORD_OPTIONS}
    try:
        return episodes.record(world, **options, workers=workers, cache=cache)
    finally:
        world.close()
