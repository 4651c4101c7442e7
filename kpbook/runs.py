"""Run records: what was run, how, and what came out.

A number that took longer than a page may take is recorded once, as JSON, with everything that is
needed to run it again. The book reads the record; it never repeats the number by hand.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import kpbook
from kpbook import tier as tiers
from kpbook._checks import check_name, complain
from kpbook._files import jsonable, write_atomically


@dataclass(frozen=True)
class RunRecord:
    """One run; a record copies what it is given.

    Attributes:
        name: Short identifier, also the file's stem.
        command: What a reader types to run it again.
        results: One row per result, each a mapping from column to value.
        config: Settings that the command line does not show.
        seed: Seed of the run, ``None`` if nothing random decides.
        tier: ``smoke``, ``laptop`` or ``paper``.
        device: Machine and number of threads, or the GPU.
        seconds: Wall time.
        versions: Versions of Python, kpbook and the packages that matter.
        date: UTC, ISO 8601, to the second.
    """

    name: str
    command: str
    results: list[dict[str, Any]]
    seconds: float
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tier: str = field(default_factory=tiers.name)
    device: str = field(default_factory=lambda: describe_device())
    versions: dict[str, str] = field(default_factory=lambda: describe_versions())
    date: str = field(default_factory=lambda: _now())

    def __post_init__(self) -> None:
        for key in ("results", "config", "versions"):
            object.__setattr__(self, key, copy.deepcopy(getattr(self, key)))

    def save(self, folder: str | Path) -> Path:
        """Write ``folder/<name>.json`` in one step and return its path.

        Raises:
            ValueError: If the name is no file name, or a number is NaN or infinite.
        """
        check_name(self.name, name="name")
        try:
            text = json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False, default=jsonable)
        except ValueError as error:
            hint = "Store None for a value that is missing."
            raise ValueError(complain(self.name, str(error), "finite numbers", hint)) from None
        return write_atomically(Path(folder) / f"{self.name}.json", (text + "\n").encode())


def load(path: str | Path) -> RunRecord:
    """Read one run record.

    Raises:
        FileNotFoundError: If there is none; the message lists the records beside it.
        ValueError: If the file is not a run record, is cut off, or is nested too deeply.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(p.stem for p in path.parent.glob("*.json"))
        found = f"Records in that folder: {', '.join(beside) or 'none'}."
        raise FileNotFoundError(complain("path", str(path), "a run record", found))
    hint = "Restore it from git, or run its command again."
    known = {f.name for f in dataclasses.fields(RunRecord)}
    try:
        content = json.loads(path.read_text())
        keys = set(content) if isinstance(content, dict) else set()
        if keys == known:
            return RunRecord(**content)
    except (ValueError, RecursionError) as error:  # no JSON, no text, or nested too deeply
        raise ValueError(complain(str(path), f"no JSON ({error})", "a run record", hint)) from None
    off = ", ".join(sorted(keys ^ known))
    raise ValueError(complain(str(path), f"fields that differ in {off}", "a run record", hint))


def describe_device(device: str = "cpu", threads: int | None = None) -> str:
    """Name the processor and its threads (torch's number without it), or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = threads or torch.get_num_threads()
    return f"CPU {_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def describe_versions(*packages: str) -> dict[str, str]:
    """Versions of Python, kpbook, torch, numpy and further installed ``packages``."""
    from importlib.metadata import version

    more = {name: version(name) for name in packages}
    return {
        "python": platform.python_version(),
        "kpbook": kpbook.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        **more,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
