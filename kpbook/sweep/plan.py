"""From a YAML file to a list of jobs; whatever is wrong with it is said before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpbook import runs
from kpbook._checks import check_integer, check_name, complain
from kpbook._files import read_yaml
from kpbook.sweep import kinds
from kpbook.sweep.data import check_keys

_TOP = ("plugins", "data", "split", "defaults", "runs")
_SHARED = ("kind", "seeds")


@dataclass(frozen=True)
class Job:
    """One run with one seed.

    Attributes:
        run: Name of the run.
        seed: Decides the initial weights and the batches.
        settings: All that shapes the result, as its kind says (:mod:`kpbook.sweep.kinds`).
        command: What a reader types to run it again.
        plugins: Modules to import first.
    """

    run: str
    seed: int
    settings: Mapping[str, Any]
    command: str
    plugins: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """What it does: :mod:`kpbook.sweep.kinds`."""
        return str(self.settings.get("kind", kinds.USUAL))

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
        ImportError: If pyyaml, or a module named under ``plugins``, is missing.
        TypeError: If an entry is of another kind.
        ValueError: If it is no YAML, a key or name is unknown, or a number makes no sense; the
            message says where in the file.
    """
    content = read_yaml(path, purpose="reading the configuration")
    check_keys(content, _TOP, where=str(path))
    entries = content.get("runs")
    if not isinstance(entries, list) or not entries:
        got = f"runs = {entries!r}"
        hint = "Each entry starts with '- name: ...'."
        raise ValueError(complain(str(path), got, "a list of at least one run", hint))
    plugins = _plugins(content, path)
    defaults = content.get("defaults") or {}
    usual = defaults.get("kind", kinds.USUAL) if isinstance(defaults, dict) else kinds.USUAL
    known = [_kind(entry, usual, f"{path}: runs[{i}]") for i, entry in enumerate(entries)]
    every = dict.fromkeys(key for name in known for key in kinds.of(name).KEYS)
    check_keys(defaults, (*_SHARED, *every), where=f"{path}: defaults")
    shared = {**{key: content[key] for key in ("data", "split") if key in content}, **defaults}
    jobs: list[Job] = []
    for i, (entry, name) in enumerate(zip(entries, known, strict=True)):
        where = f"{path}: runs[{i}]"
        kind = kinds.of(name)
        check_keys(entry, ("name", *_SHARED, *kind.KEYS), where=where)
        either = set(kind.EITHER)  # a run's own length replaces the shared one
        dropped = either if either & set(entry) else set()
        base = {k: v for k, v in shared.items() if k in (*_SHARED, *kind.KEYS)}
        base = {k: v for k, v in base.items() if k not in dropped}
        jobs += _jobs({**base, **entry, "kind": name}, where, Path(path), plugins)
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(complain(str(path), f"{twice[0]!r} twice", "a name of its own each"))
    return jobs


def _plugins(content: Mapping[str, Any], path: str | Path) -> list[str]:
    """Import what the file names."""
    plugins = content.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(module, str) for module in plugins):
        expected = "a list of modules, such as [my_agent]"
        raise TypeError(complain(f"{path}: plugins", repr(plugins), expected))
    try:
        kinds.load(plugins)
    except ImportError as error:
        raise ImportError(f"{path}: {error}") from error
    return plugins


def _kind(entry: Any, usual: Any, where: str) -> str:
    """The kind of a run, known to be one."""
    name = entry.get("kind", usual) if isinstance(entry, dict) else usual
    kinds.of(name, f"{where}: kind")
    return str(name)


def _jobs(entry: dict[str, Any], where: str, path: Path, plugins: Sequence[str]) -> list[Job]:
    """Check one run and deal it out over its seeds."""
    kind = kinds.of(entry["kind"])
    for key in ("name", *kind.NEEDS):
        if key not in entry:
            raise ValueError(complain(where, f"no {key!r}", f"a {key!r} here or in the defaults"))
    name = check_name(entry["name"], name=f"{where}: name")
    # The usual kind goes without saying, also in the digests of what has been recorded.
    said = {} if entry["kind"] == kinds.USUAL else {"kind": entry["kind"]}
    settings = said | kind.settings(entry, where)
    return [
        Job(
            name,
            seed,
            settings,
            f"python -m kpbook.sweep {typed(path)} --only {name}-s{seed}",
            plugins,
        )
        for seed in _seeds(entry.get("seeds", 1), where)
    ]


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
