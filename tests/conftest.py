"""What every test may use: a seeded generator, the simulator, the built site and a browser on it.

Optional things are missing on some machines: pybullet has no wheel for Python >= 3.12, and not
everybody has a browser. There a test that needs one skips and says what was left out. In CI, where
everything is installed on purpose, the same test fails: a green run never hides a hole.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import hypothesis
import pytest
import torch

# Two busy cores make a deadline flaky; derandomised runs make a failure repeatable.
hypothesis.settings.register_profile("kpbook", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kpbook")

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"

# Chromium must not call home: the tests count every request that leaves this machine.
BROWSER_ARGS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


def in_ci() -> bool:
    """Is this a run that has to have everything?"""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def left_out(what: str) -> NoReturn:
    """Skip on a reader's machine, fail in CI."""
    if in_ci():
        pytest.fail(f"CI must not leave this out: {what}", pytrace=False)
    pytest.skip(what, allow_module_level=True)


def need_world() -> None:
    """Leave a test out where there is no simulator (Python >= 3.12 from pip)."""
    missing = [m for m in ("pybullet", "panda_gym") if importlib.util.find_spec(m) is None]
    if not missing:
        return
    what = f"{' and '.join(missing)} not installed (no pybullet wheel for Python >= 3.12)"
    if sys.version_info >= (3, 12):  # there is nothing that CI could install; on 3.11 it has to
        pytest.skip(what, allow_module_level=True)
    left_out(what)


def need_agents() -> None:
    """Leave tests out where there is no simulator or no stable-baselines3."""
    need_world()
    if importlib.util.find_spec("stable_baselines3") is None:
        left_out("stable-baselines3 is not installed: pip install 'kpbook[control]'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked ``world`` needs the simulator, one marked ``site`` the built site."""
    for item in items:
        if item.get_closest_marker("world"):
            item.fixturenames.insert(0, "simulator")  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def simulator() -> None:
    """Ask for this (or mark the test ``world``) if the test steps or draws the simulation."""
    need_world()


@pytest.fixture
def rng() -> torch.Generator:
    """A torch generator with a fixed seed; nothing global is touched."""
    return torch.Generator().manual_seed(0)


# -- the built site ----------------------------------------------------------------------------


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    """What ``python -m http.server`` does, without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a browser that closes a page early breaks the pipe; the page's own checks decide


@pytest.fixture(scope="session")
def site() -> Path:
    """Folder of the built site."""
    if not (SITE / "index.html").is_file():
        left_out("no built site under _build/html: run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """Address of the built site on this machine, without a slash at the end."""
    handler = functools.partial(_QuietHandler, directory=str(site))
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


# -- a browser ---------------------------------------------------------------------------------


@functools.cache
def find_browser() -> str | None:
    """``KPBOOK_BROWSER``, else a Chromium on the PATH, else Playwright's own download."""
    named = os.environ.get("KPBOOK_BROWSER")
    if named:
        return named
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    if importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Playwright, of which a process can start one only."""
    if importlib.util.find_spec("playwright") is None:
        left_out("playwright is not installed: pip install 'kpbook[dev]'")
    if find_browser() is None:
        left_out("no browser: install chromium, or set KPBOOK_BROWSER, or `playwright install`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Any) -> Iterator[Any]:
    """One headless Chromium for the whole run, with every host but this machine blocked."""
    chromium = playwright.chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
    yield chromium
    chromium.close()


@dataclass
class Visit:
    """A page in the browser, and what went wrong on it.

    Attributes:
        page: Playwright's page.
        url: Address of the site, without a slash at the end.
        foreign: Requests that would have left this machine.
        errors: Errors on the console, uncaught exceptions and files that were not found.
    """

    page: Any
    url: str
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, name: str = "book/index.html") -> Any:
        """Load one page of the site and wait until it is at rest."""
        self.page.goto(f"{self.url}/{name}", wait_until="load")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def check(self) -> None:
        """Raise if the page asked for another host or complained."""
        assert not self.foreign, f"requests to other hosts: {self.foreign}"
        assert not self.errors, f"errors on the page: {self.errors}"

    def _on_request(self, request: Any) -> None:
        where = urlsplit(request.url)
        if where.scheme not in {"data", "blob"} and where.hostname != "127.0.0.1":
            self.foreign.append(request.url)

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)


@pytest.fixture
def visit(browser: Any, site_url: str) -> Iterator[Visit]:
    """A fresh page (1280 x 900) that records foreign requests and errors; see :class:`Visit`."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        reduced_motion="reduce",  # axe must not see colours half-way
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    record = Visit(page, site_url)
    page.on("request", record._on_request)
    page.on("response", record._on_response)
    page.on("console", record._on_console)
    page.on("pageerror", lambda error: record.errors.append(str(error)))
    yield record
    context.close()


@pytest.fixture
def browser_page(visit: Visit) -> Any:
    """The bare Playwright page of ``visit``."""
    return visit.page
