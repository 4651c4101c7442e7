"""Live figures in which a network answers: which one, and in a live notebook its answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from kpbook import zoo
from kpbook._checks import complain
from kpbook.detect import device_of
from kpbook.grid import as_size
from kpbook.widgets._base import LiveFigure
from kpbook.widgets._traits import Choice, Custom

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
    "transporter-pong": "The Transporter",
}


def _address(value: Any) -> str:
    address = str(value)
    if address and not re.fullmatch(r"https?://.+/", address):
        hint = "Of the book's _static folder; the names of files are put behind it."
        wanted = "a whole address, https://.../, with a slash at its end"
        raise ValueError(complain("address", repr(address), wanted, hint))
    return address


class NetworkFigure(LiveFigure):
    """A figure in which a network answers; asking.mjs is its other half.

    In a page without a kernel the network runs in the page, from files beside it; in a live
    notebook the kernel's own network answers. A figure's class gives :meth:`look`.

    Attributes:
        engine: Who runs the network: ``"kernel"``, ``"browser"``, or ``"auto"``: the kernel where
            there is one and no ``address`` is given.
        address: Where the browser finds the book's files, if not beside the page: the whole address
            of the book's ``_static``, with a slash at its end. There a network is
            ``live/<file>``, as :func:`kpbook.export.to_onnx` writes it.
    """

    engine = Choice(("auto", "browser", "kernel"), "auto")
    address = Custom(_address, "")
    networks: Any = traitlets.List().tag(sync=True)
    _extractors: dict[str, Any]

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._answer)

    def look(self, network: Any, **inputs: torch.Tensor) -> dict[str, np.ndarray]:
        """Return what one of the figure's networks finds, by the names that the page knows."""
        raise NotImplementedError

    def _answer(self, _widget: Any, content: Any, buffers: Sequence[Any]) -> None:
        """Answer a front end's question: float32 arrays in, float32 arrays out."""
        try:
            network = self._extractors[content["network"]]
            inputs = {
                name: torch.from_numpy(np.frombuffer(bytes(b), np.float32).reshape(shape).copy())
                for (name, shape), b in zip(content["shapes"].items(), buffers, strict=True)
            }
            found = self.look(network, **inputs)
            shapes = {name: list(part.shape) for name, part in found.items()}
            parts = [np.ascontiguousarray(part).tobytes() for part in found.values()]
            self.send({"answer": content["question"], "shapes": shapes}, buffers=parts)
        except Exception as error:  # the figure says it; the kernel goes on
            self.send({"answer": content.get("question"), "error": str(error)})


@torch.no_grad()
def evaluated(
    network: Any, ask: Callable[..., dict[str, torch.Tensor]], *inputs: torch.Tensor
) -> dict[str, np.ndarray]:
    """What ``ask`` finds for the first of a batch with a network in eval mode, where that is.

    Afterwards the network is in the mode in which it was: a notebook may go on training it.
    """
    device, trains = device_of(network), network.training
    network.eval()
    found = ask(*(part.to(device) for part in inputs))
    network.train(trains)
    return {name: part[0].float().cpu().numpy() for name, part in found.items()}


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
