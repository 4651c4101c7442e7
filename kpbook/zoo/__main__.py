"""``python -m kpbook.zoo``: list what ships, print a model card, ship a recorded run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kpbook.zoo.cards import card
from kpbook.zoo.shipped import add, manifest, median_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """List the shipped weights, print a card, or ship a run; return 2 if that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m kpbook.zoo", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    shown = commands.add_parser("card", help="print a model card")
    shown.add_argument("name")
    added = commands.add_parser("add", help="ship a recorded run")
    added.add_argument("run", help="folder/run, without a suffix")
    added.add_argument("--median", action="store_true", help="of the run's seeds, the median one")
    added.add_argument("--by", help="with --median: column to order by; R² without it")
    added.add_argument("--as", dest="name", required=True, help="what kpbook.load calls it")
    added.add_argument("--description", required=True, help="one line")
    added.add_argument("--replace", action="store_true", help="overwrite weights of that name")
    options = parser.parse_args(arguments)
    try:
        if options.command == "add":
            run = median_seed(options.run, options.by) if options.median else options.run
            add(run, options.name, options.description, replace=options.replace)
        if options.command == "card":
            print(card(options.name))
        else:
            for name, entry in sorted(manifest().items()):
                print(f"{name:<32} {entry['bytes']:>9} bytes  {entry['description']}")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
