"""What the camera and the scene of Cramer et al. (2024) are called: one name, and the old one.

Both were called "paper". That is still taken for ``cramer2024``, and still written into the
settings of a recording, which are the keys of old caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

CRAMER, OLD = "cramer2024", "paper"
T = TypeVar("T")


def canonical(name: Any) -> Any:
    """Return today's spelling of a name; anything else as it is."""
    return CRAMER if isinstance(name, str) and name == OLD else name


class OldNames(Mapping[str, T]):
    """A read-only mapping by name that can also be asked by the old spelling."""

    def __init__(self, items: Mapping[str, T]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> T:
        return self._items[canonical(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)
