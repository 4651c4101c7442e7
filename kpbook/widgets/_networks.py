"""Which networks a live figure shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kpbook import zoo
from kpbook._checks import complain
from kpbook.grid import as_size

#: Shipped networks that a figure offers by itself. Basic with some of the switches ships as well,
#: but would make the page heavier to show once more what Basic does.
MENU = (
    "rarity", "basic-kp32-quarter", "basic-quarter", "dsae-quarter", "keynet-quarter",
    "keynet-quarter-vel-std-bg",
)  # fmt: skip

#: What a reader calls them.
LABELS = {
    "rarity": "The book's recipe",
    "basic-kp32-quarter": "Basic, 32 keypoints",
    "basic-quarter": "Basic",
    "dsae-quarter": "DSAE",
    "keynet-quarter": "KeyNet",
    "keynet-quarter-vel-std-bg": "KeyNet, all three switches",
}


def extractors_for(networks: Sequence[Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return name -> extractor, in eval mode, each for images of ``size``.

    Args:
        networks: Names of shipped networks, or extractors, which are put into eval mode;
            :data:`MENU` if there are none. Of several with one name the later ones are numbered.
        size: Height and width of the figure's images.

    Raises:
        ValueError: If a network takes images of another size, or a name is unknown.
    """
    found: dict[str, Any] = {}
    for one in networks or MENU:
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
