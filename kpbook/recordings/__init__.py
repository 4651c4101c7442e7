"""What ships with the package, as data: each file has a ``sample()`` and needs no simulator.

``kpbook.episodes.Episodes.sample()`` is the largest. What made them stands beside their worlds and
in ``kpbook.sweep.film``.
"""
