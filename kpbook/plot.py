"""Figures in one style, each with a light and a dark version and an alt text from its data.

Every function returns a :class:`Plot`: ``.figure`` (matplotlib), ``.alt`` (computed from what is
drawn), and the HTML that notebooks and the book show. Markers differ in shape as well as colour;
the colours are Okabe and Ito's, which colour-blind readers can tell apart.

A plot keeps copies of its data. A masked array that hides a value is a ``ValueError``; where NaN
may stand for a value that is missing, the function says so.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from PIL import Image
from scipy.spatial import cKDTree

from kpbook._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_shape,
    check_unmasked,
    complain,
)
from kpbook._flipbook import Flipbook, check_pictures, copied, flipbook
from kpbook.grid import to_pixels

__all__ = [
    "PALETTE",
    "Flipbook",
    "Plot",
    "bars",
    "curves",
    "flipbook",
    "frames",
    "heat_maps",
    "scatter",
    "strips",
]

#: Okabe and Ito (2008), in the order in which we use them; black and yellow left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "X", "s", "^", "D", "P")
_INK = {"light": "#1f2328", "dark": "#e6e6e6"}
_LOSS = 0.5  # of 255 levels: mean change of a pixel that a palette may make
_HALO = {"light": "#ffffff", "dark": "#101010"}
_DPI = 120
# Inside the figure, so that it also works in JupyterLab, Colab and a saved page.
_STYLE = (
    "<style>.kp-figure{margin:0.5rem 0}.kp-figure img{max-width:100%;height:auto}"
    ".kp-figure .kp-dark{display:none}"
    'html[data-theme="dark"] .kp-figure .kp-dark,'
    'body[data-jp-theme-light="false"] .kp-figure .kp-dark{display:inline}'
    'html[data-theme="dark"] .kp-figure .kp-light,'
    'body[data-jp-theme-light="false"] .kp-figure .kp-light{display:none}</style>'
)


@dataclass(frozen=True)
class Plot:
    """A figure, drawn on demand in a light and a dark theme.

    Attributes:
        draw: Draws on an empty matplotlib figure; gets the theme's name too.
        alt: What the figure shows, in words, computed from its data.
        size: Width and height in inches.
    """

    draw: Callable[[Figure, str], None]
    alt: str
    size: tuple[float, float]

    @property
    def figure(self) -> Figure:
        """The matplotlib figure, light theme."""
        return self._drawn("light")

    def png(self, theme: str = "light") -> bytes:
        """The figure as PNG bytes on a transparent ground."""
        check_choice(theme, _INK, name="theme")
        buffer = io.BytesIO()
        self._drawn(theme).savefig(buffer, format="png", dpi=_DPI, transparent=True)
        return _smaller(buffer)

    def _drawn(self, theme: str) -> Figure:
        with mpl.rc_context(_style(theme)):
            figure = Figure(figsize=self.size, layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure, theme)
            figure.canvas.draw()  # inside the context: text takes its colour when drawn
        return figure

    def _repr_html_(self) -> str:
        alt, width = html.escape(self.alt), round(self.size[0] * 96)
        images = "".join(
            f'<img class="kp-{theme} dark-light" alt="{alt}" width="{width}" '
            f'src="data:image/png;base64,{base64.b64encode(self.png(theme)).decode()}">'
            for theme in ("light", "dark")
        )
        return f'<figure class="kp-figure">{_STYLE}{images}</figure>'

    def __repr__(self) -> str:
        return f"Plot: {self.alt}"


def _smaller(picture: io.BytesIO) -> bytes:
    """The same PNG with a palette, a third of the bytes, if that keeps it as it looks.

    The 256 commonest colours stay as they are; the rest, on the soft borders of lines, take the
    nearest of them. A photograph has too many: it stays whole.
    """
    rgba = np.asarray(Image.open(picture).convert("RGBA"))
    packed = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]
    colours, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    seen = colours.view(np.uint8).reshape(-1, 4).astype(np.float64)
    seen[:, :3] *= seen[:, 3:] / 255  # what a colour adds to the page
    common = np.sort(np.argsort(-counts, kind="stable")[:256])
    off, nearest = cKDTree(seen[common]).query(seen)
    if off @ counts / counts.sum() > _LOSS:
        return picture.getvalue()
    palette = colours[common].view(np.uint8).reshape(-1, 4)
    small = Image.fromarray(nearest[index].reshape(packed.shape).astype(np.uint8))
    small.putpalette(np.ascontiguousarray(palette[:, :3]).tobytes())
    buffer = io.BytesIO()
    small.save(buffer, format="png", optimize=True, transparency=palette[:, 3].tobytes())
    return buffer.getvalue()


def heat_maps(
    maps: Any,
    points: Mapping[str, Any] | None = None,
    titles: Sequence[str] | None = None,
    label: str = "probability",
    columns: int = 4,
) -> Plot:
    """Show maps as images, with points on them.

    Args:
        maps: ``(M, H, W)``; each has its own colour scale, which its title does not repeat.
        points: Name -> ``(M, 2)`` in map coordinates, or ``(M, N, 2)``; NaN draws nothing.
        titles: One for each map.
        label: What a map's values are, for the alt text.
        columns: Maps in a row.
    """
    values = _numbers(maps, name="maps")
    M, H, W = check_shape(values, "M H W", name="maps", hint="One panel for each map.")
    check_finite(values, name="maps")
    marks = _marks(points, M)
    names = _titles(titles, M)
    said = []
    for m in range(M):
        i, j = np.unravel_index(np.nanargmax(values[m]), (H, W))
        peak = f"highest {label} in row {i}, column {j} of {H} by {W}"
        said.append("; ".join(filter(None, [names[m], peak, _where(marks, m, (H, W), "cell")])))

    def draw(figure: Figure, theme: str) -> None:
        for ax, m in _panels(figure, M, columns):
            ax.imshow(values[m], cmap="viridis")
            _draw_panel(ax, marks, m, (H, W), names[m], theme)
        _legend(figure, marks, theme)

    alt = f"{M} heat map{'s' if M > 1 else ''}. " + ". ".join(said) + "."
    return Plot(draw, alt, _panel_size(M, columns, H / W, bool(marks)))


def frames(
    images: Any,
    points: Mapping[str, Any] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Plot:
    """Show camera frames, with points on them.

    Args:
        images: ``uint8 (M, H, W, 3)``, or floats in [0, 1].
        points: Name -> ``(M, 2)`` in image coordinates, or ``(M, N, 2)`` for N marks that look
            alike; NaN draws nothing, and what lies outside the image is left out of the picture
            but named in the alt text.
        titles: One for each frame.
        columns: Frames in a row.

    Raises:
        TypeError: If the images are neither bytes nor floats.
        ValueError: If shapes or numbers of frames do not fit, floats are outside [0, 1], or a
            masked array hides a value.
    """
    values = _numbers(images, name="images")
    M, H, W = check_shape(values, "M H W 3", name="images", hint="One panel for each frame.")
    check_pictures(values)
    marks = _marks(points, M)
    names = _titles(titles, M)
    said = [
        "; ".join(filter(None, [names[m], _where(marks, m, (H, W), "pixel")])) for m in range(M)
    ]

    def draw(figure: Figure, theme: str) -> None:
        for ax, m in _panels(figure, M, columns):
            ax.imshow(values[m])
            _draw_panel(ax, marks, m, (H, W), names[m], theme)
        _legend(figure, marks, theme)

    alt = f"{M} camera frame{'s' if M > 1 else ''}. " + " ".join(f"{s}." for s in said if s)
    return Plot(draw, alt, _panel_size(M, columns, H / W, bool(marks)))


def curves(
    x: Any,
    ys: Mapping[str, Any],
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
) -> Plot:
    """Draw one line for each entry of ``ys`` over ``x``.

    Args:
        x: ``(T,)``.
        ys: Name -> ``(T,)``, or ``(R, T)`` for R thin lines of one colour, such as seeds.
        xlabel: Quantity and unit of the horizontal axis.
        ylabel: Quantity and unit of the vertical axis.
        logx: Logarithmic horizontal axis.
        logy: Logarithmic vertical axis.
    """
    across = _numbers(x, name="x")
    (T,) = check_shape(across, "T", name="x")
    given = {name: _numbers(y, name=f"ys[{name!r}]") for name, y in ys.items()}
    lines = {name: np.atleast_2d(y) for name, y in given.items()}
    for name, y in lines.items():
        if y.ndim != 2 or y.shape[1] != T:
            check_shape(given[name], f"{T}", name=f"ys[{name!r}]", hint="One for each x.")
        if not np.isfinite(y).any():
            raise ValueError(complain(f"ys[{name!r}]", "no finite value", "at least one"))
    said = [_course(name, y) for name, y in lines.items()]

    def draw(figure: Figure, theme: str) -> None:
        ax = figure.subplots()
        for n, (name, y) in enumerate(lines.items()):
            width = 1.5 if len(y) == 1 else 0.9
            for r, line in enumerate(y):
                ax.plot(
                    across,
                    line,
                    label=name if r == 0 else None,
                    color=PALETTE[n % 6],
                    linewidth=width,
                    marker=_MARKERS[n % 6],
                    markevery=max(1, T // 8),
                    markersize=5 if len(y) == 1 else 3,
                )
        ax.set(xlabel=xlabel, ylabel=ylabel)
        _logarithmic(ax, logx, logy)
        if len(lines) > 1:
            ax.legend(frameon=False)

    alt = (
        f"Line chart of {ylabel} over {xlabel}, from {across[0]:.3g} to {across[-1]:.3g}. "
        + ". ".join(said)
        + "."
    )
    return Plot(draw, alt, (6.4, 3.4))


def _course(name: str, lines: np.ndarray) -> str:
    """How one line, or several of a kind, go, in words."""
    ends = np.array([y[np.isfinite(y)][[0, -1]] for y in lines if np.isfinite(y).any()])
    first, last = np.median(ends, axis=0)
    low, high = np.nanmin(lines), np.nanmax(lines)
    many = f"{len(lines)} lines, the median " if len(lines) > 1 else ""
    start = f"{name}: {many}" if many else f"{name} "
    return f"{start}goes from {first:.3g} to {last:.3g}, lowest {low:.3g}, highest {high:.3g}"


def scatter(
    panels: Mapping[str, Mapping[str, Any]],
    xlabel: str,
    ylabel: str,
    lines: Mapping[str, float] | None = None,
    logx: bool = False,
    logy: bool = False,
) -> Plot:
    """Draw points in panels that share their axes' labels and the meaning of markers.

    Args:
        panels: Title -> series -> ``(M, 2)``, one (x, y) a row.
        xlabel: Quantity and unit of the horizontal axis.
        ylabel: Quantity and unit of the vertical axis.
        lines: Title -> height of a dashed line in that panel.
        logx: Logarithmic horizontal axis.
        logy: Logarithmic vertical axis.
    """
    data = {title: {s: _pairs(v, s) for s, v in kinds.items()} for title, kinds in panels.items()}
    names = list(dict.fromkeys(name for kinds in data.values() for name in kinds))
    if not names:
        raise ValueError(complain("panels", "no series", "at least one"))
    dashed = {title: _number(y, name=f"lines[{title!r}]") for title, y in dict(lines or {}).items()}
    said = [
        f"{title}: " + ", ".join(_cloud(name, xy) for name, xy in kinds.items())
        + (f", dashed line at {dashed[title]:.3g}" if title in dashed else "")
        for title, kinds in data.items()
    ]  # fmt: skip

    def draw(figure: Figure, theme: str) -> None:
        for ax, (title, kinds) in zip(
            figure.subplots(1, len(data), squeeze=False)[0], data.items(), strict=True
        ):
            for name, xy in kinds.items():
                ax.plot(*xy.T, label=name, **_marker(names.index(name)) | {"markersize": 6})
            if title in dashed:
                ax.axhline(dashed[title], linestyle="--", linewidth=1, color=_INK[theme])
            ax.set(title=title, xlabel=xlabel)
            _logarithmic(ax, logx, logy)
        figure.axes[0].set_ylabel(ylabel)
        handles = [
            Line2D([], [], label=name, **_marker(n) | {"markersize": 6})
            for n, name in enumerate(names)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)

    alt = f"Scatter plot of {ylabel} over {xlabel}. " + ". ".join(said) + "."
    return Plot(draw, alt, (7.2, 3.2 + 0.2 * -(-len(names) // 3)))


def strips(panels: Mapping[str, Mapping[str, Any]], xlabel: str) -> Plot:
    """Draw every value of each group as a point on a row of its own, and a tick at their median.

    Args:
        panels: Title -> group -> values; every panel has the same groups.
        xlabel: Quantity and unit of the values.
    """
    data = {
        t: {g: _numbers(v, name=f"{t}, {g}").ravel() for g, v in kinds.items()}
        for t, kinds in panels.items()
    }
    groups = list(next(iter(data.values()), {}))
    if not groups:
        raise ValueError(complain("panels", "no group", "at least one"))
    for title, kinds in data.items():
        if list(kinds) != groups:
            raise ValueError(complain(f"panels[{title!r}]", list(kinds), f"{groups}"))
        for group, values in kinds.items():
            if not len(values) or not np.isfinite(values).all():
                got = f"{values.tolist()}"
                raise ValueError(complain(f"{title}, {group}", got, "at least one finite value"))
    said = [
        f"{title}: " + ", ".join(
            f"{g} median {np.median(v):.3g} of {len(v)}, {v.min():.3g} to {v.max():.3g}"
            for g, v in kinds.items()
        )
        for title, kinds in data.items()
    ]  # fmt: skip

    def draw(figure: Figure, theme: str) -> None:
        axes = figure.subplots(1, len(data), squeeze=False, sharey=True, sharex=True)[0]
        for n, (ax, (title, kinds)) in enumerate(zip(axes, data.items(), strict=True)):
            for row, values in enumerate(kinds.values()):
                ax.plot(values, np.full(len(values), row), **_marker(n) | {"markersize": 5})
                ax.plot(np.median(values), row, "|", color=_INK[theme], markersize=15)
            ax.set(title=title, xlabel=xlabel)
        axes[0].set_yticks(range(len(groups)), groups)
        axes[0].set_ylim(len(groups) - 0.5, -0.5)

    alt = f"Strip plot of {xlabel}. " + ". ".join(said) + "."
    return Plot(draw, alt, (7.2, 1.2 + 0.27 * len(groups)))


def bars(values: Mapping[str, Mapping[str, float]], ylabel: str) -> Plot:
    """Draw grouped bars.

    Args:
        values: Group -> series -> height; every group has the same series.
        ylabel: Quantity and unit of the heights.
    """
    groups = list(values)
    if not groups:
        raise ValueError(complain("values", "no group", "at least one"))
    series = list(values[groups[0]])
    if not series:
        raise ValueError(complain(f"values[{groups[0]!r}]", "no series", "at least one"))
    for group in groups:
        if list(values[group]) != series:
            raise ValueError(complain(f"values[{group!r}]", list(values[group]), f"{series}"))
    heights = {
        g: {s: _number(y, name=f"values[{g!r}][{s!r}]") for s, y in values[g].items()}
        for g in groups
    }
    said = [f"{g}: " + ", ".join(f"{s} {heights[g][s]:.3g}" for s in series) for g in groups]

    def draw(figure: Figure, theme: str) -> None:
        ax = figure.subplots()
        width = 0.8 / len(series)
        for n, name in enumerate(series):
            at = np.arange(len(groups)) + (n - (len(series) - 1) / 2) * width
            drawn = ax.bar(
                at,
                [heights[g][name] for g in groups],
                width * 0.92,
                label=name,
                color=PALETTE[n % 6],
                hatch=("", "//", "..")[n % 3],
                edgecolor=_HALO[theme],
            )
            ax.bar_label(drawn, fmt="%.3g", padding=2, fontsize=8)
        ax.set_xticks(range(len(groups)), groups)
        ax.set_ylabel(ylabel)
        ax.margins(y=0.12)
        if len(series) > 1:
            ax.legend(frameon=False)

    return Plot(draw, f"Bar chart of {ylabel}. " + ". ".join(said) + ".", (6.4, 3.4))


def _style(theme: str) -> Any:  # matplotlib lists its 300 keys in the type
    ink = _INK[theme]
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(keys, ink),
        "axes.titlesize": 9,
        "axes.titlecolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "font.size": 9,
        "legend.fontsize": 9,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "image.interpolation": "nearest",
    }


def _numbers(x: Any, *, name: str) -> np.ndarray:
    """A copy of an array, or of a tensor in float32."""
    floating = hasattr(x, "detach") and x.is_floating_point()
    return copied(x.float() if floating else x, name=name)


def _number(x: Any, *, name: str) -> Any:
    """One number; arrays without axes, which may change later, as what they hold."""
    check_unmasked(x, name=name)
    return x.item() if getattr(x, "shape", None) == () else x


def _logarithmic(ax: Any, x: bool, y: bool) -> None:
    """Logarithmic axes; a short one gets plain numbers, 0.01, 0.02, 0.05, a long one powers."""
    for asked, name in ((x, "x"), (y, "y")):
        if asked:
            getattr(ax, f"set_{name}scale")("log")
            low, high = getattr(ax, f"get_{name}lim")()
            if high < 100 * low:
                axis = getattr(ax, f"{name}axis")
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(FormatStrFormatter("%g"))
                axis.set_minor_formatter(NullFormatter())


def _pairs(values: Any, name: str) -> np.ndarray:
    """Points ``(M, 2)`` of a series; none is allowed."""
    name = f"series {name!r}"
    xy = _numbers(values, name=name).astype(np.float64).reshape(-1, 2)
    if len(xy):
        check_finite(xy, name=name)
    return xy


def _cloud(name: str, xy: np.ndarray) -> str:
    """Where the points of a series lie, in words."""
    if not len(xy):
        return f"{name} has none"
    (x, y), (u, v) = xy.min(axis=0), xy.max(axis=0)
    points = f"{len(xy)} point{'s' if len(xy) > 1 else ''}"
    return f"{name} {points}, x {x:.3g} to {u:.3g}, y {y:.3g} to {v:.3g}"


def _marks(points: Mapping[str, Any] | None, M: int) -> dict[str, np.ndarray]:
    """Points by name, ``(M, N, 2)``."""
    marks = {name: _numbers(z, name=f"points[{name!r}]") for name, z in (points or {}).items()}
    for name, z in marks.items():
        expected, hint = ("{} 2", "One (x, y) for each panel.")
        if z.ndim == 3:
            expected, hint = ("{} N 2", "N points (x, y) for each panel.")
        check_shape(z, expected.format(M), name=f"points[{name!r}]", hint=hint)
    return {name: z.reshape(M, -1, 2).astype(np.float64) for name, z in marks.items()}


def _titles(titles: Sequence[str] | None, M: int) -> list[str]:
    names = list(titles) if titles is not None else [""] * M
    if len(names) != M:
        raise ValueError(complain("titles", f"{len(names)} titles", f"{M}, one for each panel"))
    return names


def _where(marks: Mapping[str, np.ndarray], m: int, size: tuple[int, int], unit: str) -> str:
    """Say where the points of panel ``m`` are, in columns and rows."""
    H, W = size
    said = []
    for name, z in marks.items():
        places = []
        for column, row in to_pixels(z[m], size):
            if np.isfinite([column, row]).all():
                inside = -0.5 <= column <= W - 0.5 and -0.5 <= row <= H - 0.5
                places.append(f"({column:.1f}, {row:.1f}){'' if inside else ', outside'}")
        if places:
            said.append(f"{name} at {unit} {', '.join(places)}")
    return ", ".join(said)


def _panels(figure: Figure, M: int, columns: int) -> list[tuple[Any, int]]:
    rows = -(-M // columns)
    axes = figure.subplots(rows, min(M, columns), squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    return [(axes[m], m) for m in range(M)]


def _panel_size(M: int, columns: int, ratio: float, legend: bool) -> tuple[float, float]:
    check_integer(columns, name="columns", minimum=1, hint="Panels in a row.")
    across, rows = min(M, columns), -(-M // columns)
    width = 7.2 / max(across, 2)
    return across * width, rows * (width * ratio + 0.25) + (0.35 if legend else 0.0)


def _draw_panel(
    ax: Any, marks: Mapping[str, np.ndarray], m: int, size: tuple[int, int], title: str, theme: str
) -> None:
    H, W = size
    ax.set(xlim=(-0.5, W - 0.5), ylim=(H - 0.5, -0.5), title=title)
    for n, z in enumerate(marks.values()):
        # Hollow, with a white rim: what lies under the marker stays visible.
        ax.plot(
            *to_pixels(z[m], size).T,
            path_effects=[withStroke(linewidth=3.5, foreground="white")],
            **_marker(n),
        )


def _legend(figure: Figure, marks: Mapping[str, np.ndarray], theme: str) -> None:
    if not marks:
        return
    rim = [withStroke(linewidth=3.5, foreground="white")] if theme == "dark" else []
    handles = [
        Line2D([], [], label=name, path_effects=rim, **_marker(n)) for n, name in enumerate(marks)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _marker(n: int) -> dict[str, Any]:
    """How the ``n``-th kind of point looks: shape and colour both tell it apart."""
    return {
        "linestyle": "",
        "marker": ("o", "x", "s", "+", "D", "^")[n % 6],
        "markersize": 8,
        "markerfacecolor": "none",
        "markeredgecolor": PALETTE[(n + 1) % 6],
        "markeredgewidth": 1.8,
    }
