"""One text from a figure's module and all that it imports: a live figure has no neighbours.

Every front end imports an anywidget from a ``blob:`` address, where ``./core.mjs`` means nothing.
Each module keeps a scope of its own: a function of what it imports, called once, that returns what
it exports.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from kpbook._checks import check_choice, complain

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.mjs";', re.MULTILINE)
_EXPORT = re.compile(
    r"^export ((?:async )?function\*?|const|class) ([\w$]+)(?=\s*[=({]| extends\b)", re.MULTILINE
)
_DEFAULT = re.compile(r"^export default (?!(?:async|function|class)\b)", re.MULTILINE)
_LEFT_OVER = re.compile(r"^\s*(?:import\b(?!\()|export\b).*", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*\*(?:.|\n)*?\*/[ \t]*)\n", re.MULTILINE)
_REMARK = re.compile(r"(?<=[;{},)\]]) // .*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


class _Module(NamedTuple):
    parts: list[tuple[str, dict[str, str]]]  # neighbour, and its name -> our name
    exports: dict[str, str]  # their name -> our name
    body: str


def front_end(figure: str, folder: Path = HERE) -> str:
    """Return the module of one figure, by the name of its ``.mjs`` file, with all its parts.

    Imports are ``import { a, b as c } from "./part.mjs";`` and are followed from part to part.
    Every figure's text is stored in its page: comments and indents stay out. So no template literal
    may hold a line that begins with ``//`` or ``/**``, or has ``; // ``.

    Args:
        figure: Name of the file that has the one ``export default``.
        folder: Where it and its parts are.

    Raises:
        FileNotFoundError: If a part is not there.
        ValueError: If parts import each other in a circle, a name is not exported, an import or
            export is of another kind, or the figure has no ``export default``.
    """
    name = figure.removesuffix(".mjs")
    modules: dict[str, _Module] = {}
    _collect(name, folder, modules, ())
    if "default" not in modules[name].exports:
        got, hint = "0 default exports", "export default { render };"
        raise ValueError(complain(f"{name}.mjs", got, "1", hint))
    scopes = "".join(_scope(one, module) for one, module in modules.items())
    return f'const $ = {{}};\n{scopes}export default $["{name}"].default;\n'


def _collect(name: str, folder: Path, modules: dict[str, _Module], above: tuple[str, ...]) -> None:
    """Add a module after all that it imports; ``above`` are those that asked for it."""
    if name in above:
        circle = " -> ".join(f"{one}.mjs" for one in (*above[above.index(name) :], name))
        hint = "Move what both need into a part of its own."
        raise ValueError(complain("imports", circle, "no circle", hint))
    if name in modules:
        return
    file = folder / f"{name}.mjs"
    if not file.exists():
        asked = f", which {above[-1]}.mjs imports" if above else ""
        got = f"no file {file.name}{asked}"
        raise FileNotFoundError(complain("module", got, f"it in {folder}"))
    module = _read(file)
    for part, names in module.parts:
        _collect(part, folder, modules, (*above, name))
        for theirs in names:
            where = f"{file.name}, import from {part}.mjs"
            check_choice(theirs, modules[part].exports, name=where)
    modules[name] = module


def _read(file: Path) -> _Module:
    text = _COMMENT.sub("", file.read_text(encoding="utf-8"))
    text = _INDENT.sub("", _REMARK.sub("", text))
    parts = [(part, _pairs(names)) for names, part in _IMPORT.findall(text)]
    exports = {name: name for _, name in _EXPORT.findall(text)}
    text = _EXPORT.sub(r"\1 \2", _IMPORT.sub("", text))
    text, defaults = _DEFAULT.subn("const $default = ", text)
    left = _LEFT_OVER.search(text)
    if left or defaults > 1:
        got = repr(left.group().strip()) if left else f"{defaults} default exports"
        expected = 'imports only as import { ... } from "./part.mjs"; and one default export'
        hint = "Exports stand before one function, const or class; a default is an expression."
        raise ValueError(complain(file.name, got, expected, hint))
    return _Module(parts, exports | ({"default": "$default"} if defaults else {}), text.strip())


def _pairs(names: str) -> dict[str, str]:
    """``a, b as c`` -> what they call it: what we call it."""
    words = [name.split(" as ") for name in names.split(",") if name.strip()]
    return {pair[0].strip(): pair[-1].strip() for pair in words}


def _scope(name: str, module: _Module) -> str:
    given = ",".join(_braces(names) for _, names in module.parts)
    parts = ",".join(f'$["{part}"]' for part, _ in module.parts)
    return (
        f'$["{name}"] = (({given}) => {{\n{module.body}\n'
        f"return {_braces(module.exports)};\n}})({parts});\n"
    )


def _braces(names: dict[str, str]) -> str:
    return "{" + ",".join(a if a == b else f"{a}:{b}" for a, b in names.items()) + "}"
