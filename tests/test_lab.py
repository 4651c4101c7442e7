"""Live figures in a real JupyterLab: a gesture reaches the kernel, its answer reaches the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import ROOT, _QuietHandler, _Server
from jupyter_client import BlockingKernelClient

pytestmark = [pytest.mark.site, pytest.mark.slow]

WAIT = 120_000  # ms: a kernel that imports torch on a busy machine
CHAPTER = "01_soft_argmax.ipynb"
FIND = "find.ipynb"
FIGURES = (
    "[w for w in __import__('ipywidgets').Widget.widgets.values() if type(w).__name__ == {!r}][0]"
)


class Lab:
    """A running ``jupyter lab`` on a folder of its own, and the kernels that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.root_dir": folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": "",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.news_url": "None",
            "LabApp.collaborative": False,
        }
        places = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR")
        env = os.environ | {name: str(folder / name.lower()) for name in places}
        # Cells outside the window stay in the page, wherever Lab scrolls after running them all.
        settings = folder / "jupyterlab_settings_dir" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
        env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
        self.log = (folder / "lab.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())],
            env=env,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + WAIT / 1000
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(URLError), urlopen(f"{self.url}/api", timeout=5):
                return
            time.sleep(0.2)
        pytest.fail(f"jupyter lab did not start:\n{(self.folder / 'lab.log').read_text()[-3000:]}")

    def evaluate(self, expression: str) -> Any:
        """Value of a Python expression in the kernel that was started last, through JSON."""
        folder = self.folder / "jupyter_runtime_dir"
        connection = max(folder.glob("kernel-*.json"), key=lambda path: path.stat().st_mtime)
        client = BlockingKernelClient(connection_file=str(connection))
        client.load_connection_file()
        # No heartbeat: its thread may still be starting when so short a visit is over.
        client.start_channels(iopub=False, stdin=False, hb=False)
        try:
            text = f"__import__('json').dumps({expression})"
            reply = client.execute(
                "", user_expressions={"value": text}, store_history=False, reply=True, timeout=60
            )
            assert reply["content"]["status"] == "ok", reply["content"]
            answer = reply["content"]["user_expressions"]["value"]
            assert answer["status"] == "ok", answer
            return json.loads(eval(answer["data"]["text/plain"]))
        finally:
            client.stop_channels()

    def run(self, page: Any, notebook: str) -> None:
        """Open a notebook and run all its cells, as the menu does."""
        page.goto(f"{self.url}/lab/tree/{notebook}?reset", wait_until="load")
        page.locator(".jp-Notebook-cell").first.wait_for(timeout=WAIT)
        idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first
        runs = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]:")).first
        asks = page.locator(".jp-Dialog .jp-mod-accept", has_text="Select").first
        page.locator(".jp-Toolbar-kernelName", has_text="Python 3").first.wait_for(timeout=WAIT)
        idle.wait_for(timeout=WAIT)
        self._run_all(page)
        runs.or_(asks).first.wait_for(timeout=WAIT)
        if asks.is_visible():  # it was not sure of its kernel yet
            asks.click()
            idle.wait_for(timeout=WAIT)
            self._run_all(page)

    def _run_all(self, page: Any) -> None:
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def notebook(path: Path, *lines: str) -> None:
    """Write a notebook that shows one figure a cell."""
    from nbformat import v4, write

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    cells = [v4.new_code_cell(line) for line in ("from kpbook.widgets import *", *lines)]
    write(v4.new_notebook(cells=cells, metadata=kernel), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "book" / CHAPTER, folder)  # Lab may save it
    for needed in ("results", "exercises"):
        (folder / needed).symlink_to(ROOT / "book" / needed)
    notebook(folder / FIND, "FindTheCube('rarity')")
    running = Lab(folder)
    yield running
    running.stop()


@pytest.fixture
def other_host(site: Path) -> Iterator[str]:
    """The built site's files as another host serves them to every page: Colab's way to them."""

    class Open(_QuietHandler):
        def end_headers(self) -> None:
            self.send_header("Access-Control-Allow-Origin", "*")
            super().end_headers()

    server = _Server(("127.0.0.1", 0), partial(Open, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/_static/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    yield page
    context.close()


def drag(page: Any, handle: Any, dx: int, dy: int) -> None:
    handle.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=6)
    page.mouse.up()


def until(good: Callable[[], bool], what: str) -> None:
    """Wait until messages between page and kernel have brought something about."""
    end = time.monotonic() + 20
    while not good():
        assert time.monotonic() < end, f"20 s, and not yet: {what}"
        time.sleep(0.2)


def test_a_drag_in_a_chapter_changes_the_value_in_the_kernel(lab: Lab, window: Any) -> None:
    lab.run(window, CHAPTER)
    cells = json.loads((lab.folder / CHAPTER).read_text(encoding="utf-8"))["cells"]
    folded = [cell for cell in cells if cell["metadata"].get("jupyter", {}).get("source_hidden")]
    assert window.locator(".jp-InputPlaceholder").count() == len(folded) > 10  # as on the site
    figure = window.locator("#soft-argmax[data-ready]")
    figure.wait_for(state="attached", timeout=WAIT)
    blobs = FIGURES.format("SoftArgmaxPlayground") + ".blobs"
    before = lab.evaluate(blobs)
    drag(window, figure.locator("[data-handle=blob1]"), -60, 40)
    until(
        lambda: (
            lab.evaluate(blobs)[0]["x"] < before[0]["x"] - 0.1
            and lab.evaluate(blobs)[0]["y"] > before[0]["y"] + 0.1
        ),
        "the kernel has the dragged blob",
    )
    shown = figure.evaluate("e => e.kpbook.state().blobs[0]")
    until(lambda: lab.evaluate(blobs)[0] == shown, "the kernel has what the page shows")
    figure.locator("[data-handle=blob1]").press("ArrowRight")
    until(lambda: lab.evaluate(blobs)[0]["x"] > shown["x"], "the kernel has the key's step")


def test_the_kernel_s_network_answers_and_a_value_set_in_python_moves_the_figure(
    lab: Lab, window: Any
) -> None:
    lab.run(window, FIND)
    figure = window.locator("#find-the-cube[data-ready]")
    figure.wait_for(state="attached", timeout=WAIT)
    cube = FIGURES.format("FindTheCube") + ".cube"
    before = lab.evaluate(cube)
    drag(window, figure.locator("[data-handle=cube]"), 60, 25)
    window.locator("#find-the-cube[data-engine=ready]").wait_for(timeout=WAIT)
    moved = lambda: np.linalg.norm(np.subtract(lab.evaluate(cube), before))  # noqa: E731
    until(lambda: moved() > 0.02, "the kernel has the moved cube (metres)")
    until(lambda: figure.evaluate("e => e.kpbook.current()"), "the kernel's answer is drawn")
    said, truth = (figure.evaluate(f"e => e.kpbook.{what}().cube") for what in ("said", "truth"))
    assert np.linalg.norm(np.subtract(said, truth)) < 2.5  # pixels of 64
    lab.evaluate(f"setattr({cube.removesuffix('.cube')}, 'cube', [0.0, 0.1])")
    window.wait_for_function(
        "document.querySelector('#find-the-cube').kpbook.state().cube[1] === 0.1"
    )


def test_the_other_figures_tell_the_kernel_what_a_key_did(lab: Lab, window: Any) -> None:
    others = {
        "CameraFigure": ("camera", "orbit", "yaw"),
        "TrainingFilm": ("training-replayed", "checkpoint", "checkpoint"),
        "JudgeIt": ("judging", "mu", "mu"),
        "Transport": ("transport", "target-ball", "target"),
    }
    notebook(lab.folder / "others.ipynb", *(f"{cls}()" for cls in others))
    lab.run(window, "others.ipynb")
    for cls, (name, grip, trait) in others.items():
        figure = window.locator(f"#{name}[data-ready]")
        figure.wait_for(state="attached", timeout=WAIT)
        value = f"{FIGURES.format(cls)}.{trait}"
        before = lab.evaluate(value)
        handle = figure.locator(f"[data-handle={grip}]")
        handle.scroll_into_view_if_needed()
        handle.press("ArrowRight")
        until(lambda v=value, b=before: lab.evaluate(v) != b, f"the kernel has the key of {cls}")
    window.locator("#transport[data-engine=ready]").wait_for(timeout=WAIT)  # the kernel's answer


def test_by_one_option_the_page_s_own_engine_answers_in_a_notebook(
    lab: Lab, window: Any, other_host: str
) -> None:
    line = f"FindTheCube('rarity', address={other_host!r})"
    notebook(lab.folder / "browser.ipynb", line)
    lab.run(window, "browser.ipynb")
    figure = window.locator("#find-the-cube[data-ready]")
    figure.wait_for(state="attached", timeout=WAIT)
    drag(window, figure.locator("[data-handle=cube]"), 60, 25)
    window.locator("#find-the-cube[data-engine=ready]").wait_for(timeout=WAIT)
    place = "document.querySelector('#find-the-cube').kpbook.places().rarity"
    assert window.wait_for_function(place).json_value() in {"page", "worker"}  # no kernel
    assert figure.evaluate("e => e.kpbook.parities().rarity") < 1e-4
