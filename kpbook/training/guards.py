"""What a run owes to others: Ctrl-C, the global generators, warnings at the line of the call."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Iterator

import torch


class Interrupts:
    """Turn the first Ctrl-C into a note that the loop reads between steps.

    Raised in the middle of a step it would leave half of the weights updated. The second one is
    raised as usual. Another handler than Python's own is left in place.
    """

    def __init__(self) -> None:
        self.asked = False
        self._ours = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        self._ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def warn(message: str) -> None:
    """Warn at the line that called into kpbook, however deep inside the reason was found."""
    level = 1
    while sys._getframe(level).f_globals.get("__name__", "").partition(".")[0] == "kpbook":
        level += 1
    warnings.warn(message, stacklevel=level + 1)


@contextlib.contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for networks that draw there, and give them back after."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield
