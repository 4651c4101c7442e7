"""Join the parts of a live figure's front end into the one text that a front end imports."""

from __future__ import annotations

import re
from pathlib import Path

from kpbook._checks import complain

HERE = Path(__file__).parent
_IMPORT_CORE = re.compile(r'^import \{[^}]*\} from "\./core\.mjs";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)
_LEFT_OVER = re.compile(r"^\s*(?:import\b(?!\()|export\b(?! default\b)).*", re.MULTILINE)


def join_modules(core: str, figure: str) -> str:
    """Join ``core.mjs`` and a figure's module into one module without relative imports.

    Every front end imports an anywidget from a ``blob:`` address, where ``./core.mjs`` means
    nothing. So the figure's import of the core goes, and so does the word ``export`` before a
    declaration; ``export default`` stays. Both files share one scope: names must differ.

    Args:
        core: Text of the shared module.
        figure: Text of the figure's module, with one ``export default``.

    Raises:
        ValueError: If an import or export of another kind is left, or there is not exactly one
            ``export default``.
    """
    text = _EXPORT.sub("", core + "\n" + _IMPORT_CORE.sub("", figure))
    left = _LEFT_OVER.search(text)
    if left:
        raise ValueError(
            complain(
                "figure",
                repr(left.group().strip()),
                'imports only as import { ... } from "./core.mjs"',
                "Exports stand before function, const or class; the blob: address of a live "
                "figure has no neighbours to import.",
            )
        )
    defaults = len(re.findall(r"^export default\b", text, re.MULTILINE))
    if defaults != 1:
        raise ValueError(
            complain("figure", f"{defaults} default exports", "1", "export default { render };")
        )
    return text


def front_end(figure: str) -> str:
    """Return the joined module of one figure, by the name of its ``.mjs`` file."""
    core = (HERE / "core.mjs").read_text(encoding="utf-8")
    return join_modules(core, (HERE / figure).read_text(encoding="utf-8"))
