"""Name -> extractor: what the zoo, the sweep and a reader's notebook build from."""

from __future__ import annotations

from typing import Any

from torch import nn

from kpbook.extractors import autoencoder


def names() -> list[str]:
    """Architectures; switches such as ``-quarter`` or ``-vel`` follow: :func:`build`."""
    return list(autoencoder.ARCHITECTURES)


def build(name: str, **options: Any) -> nn.Module:
    """Build an untrained extractor: :func:`kpbook.extractors.autoencoder.build`.

    ``build(e.name, **e.config)`` gives the architecture of an extractor ``e`` again.

    Raises:
        ValueError: If the name or an option is unknown; the message lists those that exist.
    """
    return autoencoder.build(name, **options)
