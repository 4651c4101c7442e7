"""What live figures share: a picture before the figure, its colours, small PNGs."""

from __future__ import annotations

import base64
import html
import re
import struct
import zlib
from typing import Any

import anywidget
import numpy as np
import traitlets

from kpbook._checks import check_choice
from kpbook.widgets._join import HERE

_MARKS = (HERE / "marks.mjs").read_text(encoding="utf-8")
#: Colours on white by index, of the page and of the still pictures: the list in ``marks.mjs``.
PALETTE = tuple(re.findall(r"#[0-9a-f]{6}", _MARKS.partition("ON_WHITE = [")[2].partition("]")[0]))


class LiveFigure(anywidget.AnyWidget):
    """A figure that shows a still picture, then itself; it removes the picture when it is ready.

    So a page keeps something to see where JavaScript is off or fails. A figure's class gives
    ``_esm``, ``prompt`` and :meth:`still`.

    Attributes:
        prompt: The sentence above the figure: what to try and what to notice.

    Raises:
        ValueError: If an option is misspelt, or its value is not one that it takes.
    """

    prompt = traitlets.Unicode().tag(sync=True)
    still_id = traitlets.Unicode().tag(sync=True)  # the picture that the live figure removes

    def __init__(self, **traits: Any) -> None:
        inherited = set(LiveFigure.class_trait_names())
        for name in set(traits) - inherited:
            check_choice(name, sorted(set(self.trait_names()) - inherited), name="option")
        super().__init__(**traits)
        self.still_id = self.model_id

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        from IPython.display import publish_display_data

        publish_display_data({"text/html": self.still(), "text/plain": ""})  # type: ignore[no-untyped-call]
        bundle = self._repr_mimebundle_()
        if bundle is not None:
            data, metadata = bundle
            publish_display_data(data, metadata)  # type: ignore[no-untyped-call]


def still_picture(
    still_id: str, image: np.ndarray, marks: str, words: str, *, width_em: float = 32
) -> str:
    """Return a still: an image, SVG ``marks`` over it in its pixels, and ``words`` below it.

    Args:
        still_id: The figure's ``still_id``.
        image: uint8, grey ``(H, W)`` or colour ``(H, W, 3)``.
        marks: SVG elements; pixel (u, v) has its centre at (u + 0.5, v + 0.5).
        words: What the picture shows, read aloud in its place.
        width_em: Widest that the picture gets, in letters' heights.
    """
    H, W = image.shape[:2]
    picture = base64.b64encode(png(image)).decode()
    said = html.escape(words)
    return (
        f'<figure data-kp-still="{still_id}" style="max-width:{width_em:g}em;margin:0">'
        f'<svg viewBox="0 0 {W} {H}" role="img" aria-label="{said}" style="width:100%">'
        f'<image href="data:image/png;base64,{picture}" width="{W}" height="{H}" '
        f'style="image-rendering:pixelated"/>{marks}</svg><figcaption>{said}</figcaption></figure>'
    )


def ring(u: float, v: float, radius: float, colour: str, width: float) -> str:
    """A circle for a still, all but the colour in pixels; SVG counts from the image's edge."""
    return (
        f'<circle cx="{u:.2f}" cy="{v:.2f}" r="{radius:g}" fill="none" '
        f'stroke="{colour}" stroke-width="{width:g}"/>'
    )


def png(image: np.ndarray) -> bytes:
    """Return a uint8 image, grey ``(H, W)`` or colour ``(H, W, 3)``, as a PNG of a few kB."""
    H, W = image.shape[:2]

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = image.reshape(H, -1)
    rows = np.concatenate([np.zeros((H, 1), np.uint8), rows], axis=1)  # 0: no row filter
    header = struct.pack(">IIBBBBB", W, H, 8, 0 if image.ndim == 2 else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
