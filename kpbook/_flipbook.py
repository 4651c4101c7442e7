"""A film on a page: frames with points, one at a time, stepped by hand or played."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kpbook._arrays import plain
from kpbook._checks import check_range, check_shape, check_uint8, check_unmasked, complain
from kpbook.grid import to_pixels

#: Outlines of the markers in units of their radius, and Okabe and Ito's colours for them.
_MARKERS = (
    ("M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z", "#D55E00"),
    ("M-1 -1L1 1M-1 1L1 -1", "#009E73"),
    ("M-1 -1H1V1H-1Z", "#CC79A7"),
    ("M-1.3 0H1.3M0 -1.3V1.3", "#E69F00"),
    ("M0 -1.3L1.3 0L0 1.3L-1.3 0Z", "#56B4E9"),
    ("M0 -1.2L1.1 0.9H-1.1Z", "#0072B2"),
)
_STYLE = (
    "<style>.kp-flipbook .kp-frame{display:none}.kp-flipbook .kp-frame.kp-now{display:inline}"
    ".kp-flipbook>svg{display:block;width:min(100%,22rem);height:auto}"
    ".kp-flipbook image{image-rendering:pixelated}"
    ".kp-flipbook .kp-bar{display:flex;align-items:center;gap:.6rem;width:min(100%,22rem);"
    "margin:.4rem 0}.kp-flipbook .kp-bar input{flex:1;min-width:0;height:1.6rem}"
    ".kp-flipbook .kp-bar button{min-width:4.5rem;min-height:1.8rem}"
    ".kp-flipbook figcaption{color:inherit;opacity:1;font-weight:inherit;text-align:left}"
    ".kp-flipbook .kp-key{display:inline-flex;align-items:center;gap:.3rem;margin-right:1rem}"
    "@media (prefers-reduced-motion:reduce){.kp-flipbook .kp-bar button{display:none}}</style>"
)
# Handlers stand on their elements: no script of the page, no kernel, no other host is needed.
_SHOW = (
    "const s=this,f=s.closest('figure'),g=f.querySelectorAll('.kp-frame');"
    "g.forEach((e,i)=>e.classList.toggle('kp-now',i===s.value-1));"
    "const t=g[s.value-1].dataset.said;f.querySelector('output').value=t;"
    "s.setAttribute('aria-valuetext',t)"
)
_PLAY = (
    "const b=this,s=b.parentNode.querySelector('input'),"
    "stop=()=>{clearInterval(b.kp);b.kp=0;b.textContent='Play'};"
    "if(b.kp)stop();else{b.textContent='Pause';"
    "b.kp=setInterval(()=>{if(!b.isConnected)return stop();"
    "s.value=s.value%s.max+1;s.oninput()},PAUSE)}"
)


@dataclass(frozen=True)
class Flipbook:
    """A film: still until somebody moves its slider or plays it; no kernel needed.

    Where the reader asked for less motion there is no button, only the slider.

    Attributes:
        images: uint8 ``(T, H, W, 3)``.
        points: Name -> ``(T, 2)``, pixels.
        titles: One for each frame.
        pause: Milliseconds a frame.
        alt: What the film shows, in words, computed from its data.
    """

    images: np.ndarray = field(repr=False)
    points: Mapping[str, np.ndarray] = field(repr=False)
    titles: Sequence[str] = field(repr=False)
    pause: int = field(repr=False)
    alt: str

    def _repr_html_(self) -> str:
        T, H, W, _ = self.images.shape
        drawn = "".join(self._frame(t) for t in range(T))
        film = (
            f'<svg viewBox="-0.5 -0.5 {W} {H}" role="img" aria-label="{html.escape(self.alt)}">'
            f"{drawn}</svg>"
        )
        play = html.escape(_PLAY.replace("PAUSE", str(self.pause)))
        bar = (
            f'<div class="kp-bar"><button type="button" onclick="{play}">Play</button>'
            f'<input type="range" min="1" max="{T}" value="1" aria-label="Frame" '
            f'aria-valuetext="{html.escape(self.titles[0])}" oninput="{html.escape(_SHOW)}">'
            "</div>"
            f'<output aria-live="off">{html.escape(self.titles[0])}</output>'
        )
        keys = "".join(
            f'<span class="kp-key"><svg viewBox="-2 -2 4 4" width="18" height="18" '
            f'aria-hidden="true">{_marker(n, 0, 0, 1, rim=False)}</svg>{html.escape(name)}</span>'
            for n, name in enumerate(self.points)
        )
        caption = f"<figcaption>{keys}</figcaption>" if keys else ""
        return f'<figure class="kp-figure kp-flipbook">{_STYLE}{film}{bar}{caption}</figure>'

    def _frame(self, t: int) -> str:
        H, W = self.images.shape[1:3]
        marks = "".join(
            _marker(n, float(z[t, 0]), float(z[t, 1]), W / 26)
            for n, z in enumerate(self.points.values())
            if np.isfinite(z[t]).all()
        )
        now = " kp-now" if t == 0 else ""
        return (
            f'<g class="kp-frame{now}" data-said="{html.escape(self.titles[t])}">'
            f'<image x="-0.5" y="-0.5" width="{W}" height="{H}" href="{_png(self.images[t])}"/>'
            f"{marks}</g>"
        )

    def __repr__(self) -> str:
        return f"Flipbook: {self.alt}"


def flipbook(
    images: Any,
    points: Mapping[str, Any] | None = None,
    titles: Sequence[str] | None = None,
    fps: float = 5,
) -> Flipbook:
    """Show camera frames as a film with a slider and a button; it begins still.

    Args:
        images: ``uint8 (T, H, W, 3)``, or floats in [0, 1].
        points: Name -> ``(T, 2)`` in image coordinates, at most six names; NaN draws nothing.
        titles: One for each frame; "frame 1 of T" and so on without it.
        fps: Frames per second when it plays.

    Raises:
        TypeError: If the images are neither bytes nor floats.
        ValueError: If shapes or numbers of frames do not fit, floats are outside [0, 1], or a
            masked array hides a value.
    """
    values = copied(images, name="images")
    T, H, W = check_shape(values, "T H W 3", name="images", hint="Colour last, time first.")
    check_pictures(values)
    if values.dtype != np.uint8:
        values = (values * 255).round().astype(np.uint8)
    check_range(fps, 0.1, 30, name="fps", hint="Frames per second.")
    said = [f"frame {t + 1} of {T}" for t in range(T)] if titles is None else list(titles)
    if len(said) != T:
        raise ValueError(complain("titles", f"{len(said)} titles", f"{T}, one for each frame"))
    pixels = {name: _pixels(z, T, (H, W), name) for name, z in (points or {}).items()}
    if len(pixels) > len(_MARKERS):
        raise ValueError(complain("points", f"{len(pixels)} names", f"at most {len(_MARKERS)}"))
    alt = f"Film of {T} frames of {W} by {H} pixels. " + " ".join(map(_path, pixels.items()))
    return Flipbook(values, pixels, said, round(1000 / fps), alt.strip())


def copied(x: Any, *, name: str) -> np.ndarray:
    """A copy of numbers: a figure is drawn later, and shows what it was given.

    Raises:
        ValueError: If it is a masked array that hides a value.
    """
    check_unmasked(x, name=name)
    return np.array(plain(x))


def check_pictures(images: np.ndarray) -> None:
    """Raise unless ``images`` are bytes, or floats in [0, 1]."""
    if not np.issubdtype(images.dtype, np.floating):
        hint = "Or floats in [0, 1]; 16 bits: x / 65535."
        check_uint8(images, name="images", hint=hint)
        return
    ends = np.array([images.min(), images.max()], dtype=np.float64)  # of a type that torch has
    check_range(ends, 0, 1, name="images", hint="Divide bytes by 255.")


def _pixels(z: Any, T: int, size: tuple[int, int], name: str) -> np.ndarray:
    name = f"points[{name!r}]"
    points = copied(z, name=name).astype(np.float64)
    check_shape(points, f"{T} 2", name=name, hint="One (x, y) for each frame.")
    return np.asarray(to_pixels(points, size))


def _path(item: tuple[str, np.ndarray]) -> str:
    """Where a point begins and ends, in words."""
    name, z = item
    there = z[np.isfinite(z).all(axis=-1)]
    if not len(there):
        return f"{name} is not drawn."
    (x, y), (u, v) = there[0], there[-1]
    return f"{name} goes from pixel ({x:.1f}, {y:.1f}) to ({u:.1f}, {v:.1f})."


def _marker(n: int, x: float, y: float, radius: float, rim: bool = True) -> str:
    """The ``n``-th kind of point: a coloured outline, on a white one to be seen on any picture."""
    path, colour = _MARKERS[n]
    lines = "".join(
        f'<path d="{path}" fill="none" stroke="{c}" stroke-width="{w}" '
        'vector-effect="non-scaling-stroke"/>'
        for c, w in (("#ffffff", 4.5), (colour, 2.2))[not rim :]
    )
    return f'<g transform="translate({x:.2f} {y:.2f}) scale({radius:.2f})">{lines}</g>'


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
