"""Shipped weights: ``kpbook.load(name)`` gives a trained extractor.

Weights are safetensors, never pickle: reading a file runs nothing in it. A file's metadata holds
the architecture's name and options (:mod:`kpbook.extractors.registry`), so that it says by itself
which network it fits, and a checksum of its numbers. ``kpbook/data/weights/manifest.json`` lists
what ships, with the sha256 of each file; the run record beside each file says where it comes from.

``python -m kpbook.zoo`` lists the names, ``python -m kpbook.zoo card NAME`` prints a model card,
``python -m kpbook.zoo add FOLDER/RUN --as NAME --description "..."`` ships a recorded run.
"""

from kpbook.zoo.cards import Card, card
from kpbook.zoo.files import load_file, save
from kpbook.zoo.shipped import LARGEST, add, load, names

__all__ = ["LARGEST", "Card", "add", "card", "load", "load_file", "names", "save"]
