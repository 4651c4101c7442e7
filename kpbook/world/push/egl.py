"""pybullet's EGL renderer: loaded if it can be, one world of a process at a time."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import weakref
from typing import Any

from kpbook._checks import complain
from kpbook.world.quiet import quiet

_live: weakref.finalize[Any, Any] | None = None  # of the live EGL world, if there is one


def load(world: Any, sim: Any) -> weakref.finalize[Any, Any]:
    """Load pybullet's EGL renderer, or say why not; what is returned ends the simulation.

    The plug-in ends the whole process where there is no EGL, so a child process tries first. It
    has one context for all simulations of a process: with two, both draw wrong pictures.
    """
    global _live
    spec = importlib.util.find_spec("eglRenderer")
    hint = "It needs Linux, OpenGL drivers with EGL and a pybullet with eglRenderer; or use 'tiny'."
    if spec is None or spec.origin is None:
        raise RuntimeError(complain("renderer", "'egl' but no eglRenderer", "the plug-in", hint))
    if _live is not None and _live.alive:
        fix = "Call close() on the other one first, or use 'tiny'."
        got = "'egl' while another world of this process draws with it"
        raise RuntimeError(complain("renderer", got, "one such world at a time", fix))
    probe = (
        "import pybullet, sys; pybullet.connect(pybullet.DIRECT); "
        "sys.exit(pybullet.loadPlugin(sys.argv[1], '_eglRendererPlugin') < 0)"
    )
    tried = subprocess.run(
        [sys.executable, "-c", probe, spec.origin], capture_output=True, check=False
    )
    if tried.returncode != 0:
        got = f"'egl' but the plug-in failed with exit status {tried.returncode}"
        raise RuntimeError(complain("renderer", got, "a plug-in that loads", hint))
    with quiet():  # it lists the driver's names
        sim.physics_client.loadPlugin(spec.origin, "_eglRendererPlugin")
    _live = weakref.finalize(world, _close_quietly, sim)
    return _live


def _close_quietly(sim: Any) -> None:
    with quiet():  # the plug-in says farewell
        sim.close()
