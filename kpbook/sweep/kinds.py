"""What a job of a sweep does: train an extractor, and whatever else a chapter needs.

A kind is a module with

- ``KEYS``: keys that a run of this kind may have in a sweep's file; ``NEEDS``: those it must have;
  ``EITHER``: those of which it has one, so that a run's own replaces a shared one.
- ``settings(entry, where)``: all that shapes the result, in plain types, from the run's keys.
  Whatever is wrong raises ``TypeError`` or ``ValueError`` and says ``where``. It is called for
  every run before anything trains.
- ``prepare(jobs, cache, workers)``: makes once what jobs share, such as recordings, in ``cache``.
- ``train(job, out)``: trains, or goes on from ``job.work(out)``; returns the run record and a
  function that is given the finished record and writes what belongs beside it, such as weights.

- if an extractor of its jobs can be judged, ``extractor_of(job, out, device)``, which returns it in
  eval mode; the job's settings have ``data`` and ``split`` then.

A record's last row is the result. Columns ``error/<object>``, ``r2/<object>`` and
``keypoint/<object>`` make one row of ``runs.csv`` per object; a record without them, an agent's
return say, makes one.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from kpbook._checks import check_choice, complain

#: What a run is that does not say its kind.
USUAL = "extractor"
#: Name -> module; it loads at its first use.
KINDS: dict[str, str] = {USUAL: "kpbook.sweep.extractor", "agent": "kpbook.sweep.agent"}


def add(name: str, module: str) -> None:
    """Let a sweep's file name a kind of your own.

    Raises:
        ValueError: If another module has the name.
    """
    if KINDS.setdefault(name, module) != module:
        raise ValueError(complain("name", repr(name), f"one that {KINDS[name]} does not have"))


def of(name: str, where: str = "kind") -> Any:
    """Return the module of a kind.

    Raises:
        ValueError: If there is no such kind.
    """
    return importlib.import_module(KINDS[check_choice(name, KINDS, name=where)])


def load(plugins: Sequence[str]) -> None:
    """Import the modules that register kinds, worlds and architectures of your own.

    Raises:
        ImportError: If there is no such module.
    """
    for module in plugins:
        try:
            importlib.import_module(module)
        except ImportError as error:
            hint = "Start the sweep in its folder, or put that on PYTHONPATH."
            got = f"{module!r}, which does not import ({error})"
            raise ImportError(complain("plugins", got, "a module", hint)) from error
