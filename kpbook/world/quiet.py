"""Silence for what compiled code prints: Python's own ``redirect_stdout`` does not reach it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what is written to the process's stdout and stderr meanwhile to nowhere.

    pybullet announces its build time when it is imported and its options when it is connected.
    Errors are exceptions and still arrive. Not for code that runs beside other threads' output.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, original in kept.items():
            os.dup2(original, number)
            os.close(original)
        os.close(nowhere)
