"""Sphinx extension of this book: no third-party host, and a cache that knows what it depends on.

- Execution cache. jupyter-cache compares code cells only, so a change in ``kpbook`` would go
  unnoticed. The cache's folder therefore carries a digest of everything else a chapter reads:
  the package, its data, the stored results, the tier and the versions of Python and torch.
- Third-party bundles. MathJax is copied from ``book/node_modules`` into the built site, so pages
  load it from their own host.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parent.parent.parent
NODE_MODULES = ROOT / "book" / "node_modules"

# What to copy from npm: package, path inside it, path under the site's _static.
BUNDLES = [
    ("mathjax", "es5/tex-chtml.js", "mathjax/tex-chtml.js"),
    ("mathjax", "es5/input/tex/extensions", "mathjax/input/tex/extensions"),
    ("mathjax", "es5/output/chtml/fonts/woff-v2", "mathjax/output/chtml/fonts/woff-v2"),
]


def digest_of_inputs() -> str:
    """Digest of all that a chapter's outputs depend on, beside its own code cells."""
    digest = hashlib.sha256()
    versions = [platform.python_version()]
    for package in ("torch", "numpy", "matplotlib"):
        versions.append(metadata.version(package))
    digest.update(repr([os.environ.get("KPBOOK_TIER", "smoke"), *versions]).encode())
    for folder in (ROOT / "kpbook", ROOT / "book" / "results"):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(path.relative_to(ROOT).as_posix().encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def choose_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb at the cache of this digest; throw the caches of older ones away."""
    folder = ROOT / "_build" / ".jupyter_cache"
    current = folder / digest_of_inputs()
    for old in folder.iterdir() if folder.is_dir() else []:
        if old != current:
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(current)


def copy_bundles(app: Sphinx, exception: Exception | None) -> None:
    """Copy the third-party bundles into the site."""
    if exception is not None or app.builder.format != "html":
        return
    for package, source, target in BUNDLES:
        here = NODE_MODULES / package / source
        there = Path(app.outdir) / "_static" / target
        if not here.exists():
            raise ExtensionError(
                f"{package}: {source} is not under book/node_modules; `make book` installs it"
            )
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, dirs_exist_ok=True)
        else:
            shutil.copy2(here, there)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; myst-nb reads its configuration at builder-inited, after ours."""
    app.connect("config-inited", choose_cache, priority=1)
    app.connect("build-finished", copy_bundles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
