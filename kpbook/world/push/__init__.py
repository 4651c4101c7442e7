"""PandaPush: a robot arm, a cube to push and a target to push it to.

``world`` is the environment over ``simulation`` and ``drawing``; ``orbits``, ``objects`` and
``policies`` say what can be chosen; ``sample``, ``moment``, ``poses`` and ``arm`` make the
recordings that ship. Only ``world`` and what makes recordings need the simulator.
"""
