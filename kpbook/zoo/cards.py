"""Model cards, made from manifest and run record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kpbook import runs
from kpbook.grid import as_size
from kpbook.tables import short
from kpbook.zoo import shipped


def card(name: str) -> Card:
    """Return the model card of a shipped extractor, made from its run record.

    Raises:
        FileNotFoundError: If the run record is missing.
        ValueError: If the name is unknown.
    """
    entry = shipped.entry_of(name)
    record = runs.load(shipped.HOME / f"{name}.json")
    extractor = shipped.load(name)
    return Card("\n".join(_card_lines(name, entry, record, extractor)) + "\n")


class Card(str):
    """Markdown that a notebook shows as a page."""

    def _repr_markdown_(self) -> str:
        return str(self)


def _card_lines(
    name: str, entry: Mapping[str, Any], record: runs.RunRecord, extractor: Any
) -> list[str]:
    """Nothing in a card is typed by hand, but the description that `add` was given."""
    settings = record.config.get("settings", {})
    count = sum(p.numel() for p in extractor.parameters())
    H, W = as_size(extractor.image_size)
    V, D = getattr(extractor, "views", 1), getattr(extractor, "dimensions", 2)
    shape = f"(B, {f'{V}, ' if V > 1 else ''}3, {H}, {W})"
    unit = "image coordinates" if D == 2 else "metres in the world"
    data = json.dumps(settings.get("data"), sort_keys=True)
    split = settings.get("split", {})
    return [
        f"# {name}",
        "",
        entry["description"],
        "",
        f"- **What:** `{entry['architecture']}` with `{json.dumps(extractor.config)}`; "
        f"{count:,} parameters, {entry['bytes']:,} bytes.",
        f"- **In, out:** images {H} x {W}, `float {shape}` in [0, 1], to keypoints "
        f"`(B, N, {D})` in {unit}.",
        f"- **Trained on:** `{data}`, {split.get('train')} episodes; scored on "
        f"{split.get('validation')} others, half of them for the fit.",
        f"- **Run again:** `{record.command}`, seed {record.seed}; {record.seconds:.0f} s on "
        f"{record.device}, kpbook {record.versions['kpbook']}, torch {record.versions['torch']}, "
        f"{record.date}.",
        f"- **Run record:** `{entry['record']}`; sha256 of the weights `{entry['sha256']}`.",
        f"- **Limits:** known for frames as above (camera, look, objects, {H} x {W}), nowhere "
        "else. One run of several seeds: another run's keypoints differ.",
        "- **Licence:** MIT, as kpbook.",
        "",
        *_score_lines(record),
    ]


def _score_lines(record: runs.RunRecord) -> list[str]:
    """The objects' scores, or the record's own numbers where it scores none."""
    last = record.results[-1] if record.results else {}
    names = [key.partition("/")[2] for key in last if key.startswith("error/")]
    columns = {"error/": "error", "r2/": "R²", "keypoint/": "keypoint"}
    if not names:
        numbers = {k: v for k, v in last.items() if isinstance(v, int | float)}
        lines = [f"| {key} | {short(value)} |" for key, value in numbers.items()]
        return ["| number | at the end |", "|---|---|", *lines] if lines else []
    rows = [
        f"| {name} | " + " | ".join(short(last.get(f"{key}{name}")) for key in columns) + " |"
        for name in names
    ]
    head = f"| object | {' | '.join(columns.values())} |"
    unit = "Errors are mean squared distances in image coordinates, -1 to +1."
    return [head, "|---" * (1 + len(columns)) + "|", *rows, "", unit]
