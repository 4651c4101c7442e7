"""Which networks a live figure shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kpbook import zoo
from kpbook._checks import complain
from kpbook.grid import as_size


def extractors_for(networks: Sequence[Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return name -> extractor, in eval mode, each for images of ``size``.

    Args:
        networks: Names of shipped networks, or extractors, which are put into eval mode; all
            shipped ones for ``size`` if there are none. Of several with one name the later ones
            are numbered.
        size: Height and width of the figure's images.

    Raises:
        ValueError: If a network takes images of another size, or a name is unknown.
    """
    found: dict[str, Any] = {}
    for one in networks or _usual(size):
        extractor = zoo.load(one) if isinstance(one, str) else one
        name = one if isinstance(one, str) else str(getattr(one, "name", "") or "yours")
        if _size(extractor) != size:
            got = f"{name} for images of {_size(extractor)}"
            raise ValueError(complain("networks", got, f"one for {size}: the figure's pixels"))
        same = sum(known == name or known.startswith(f"{name} (") for known in found)
        found[f"{name} ({same + 1})" if same else name] = extractor.eval()
    return found


def _size(extractor: Any) -> tuple[int, int]:
    return as_size(extractor.image_size, name="image_size")


def _usual(size: tuple[int, int]) -> list[str]:
    """Shipped networks for this size, the recipe's first."""
    names = [name for name in zoo.names() if _size(zoo.load(name)) == size]
    return sorted(names, key=lambda name: name != "rarity")
