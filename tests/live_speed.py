"""How heavy the pages are and how fast the live figures answer, measured in a real browser.

``python tests/live_speed.py`` measures the built site and writes the record that the performance
page shows; ``test_live_speed.py`` holds them to their limits. With ``--soak 30`` it drags
for 30 minutes instead and says whether memory stays where it was.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psutil
from conftest import BROWSER_ARGS, ROOT, SITE, _QuietHandler, _Server, find_browser

FIGURE = "find-the-cube"
PAGE = "book/index.html"
MOVES = 200
SLOW = 8  # ms: a network that needs more moves to a worker
Row = dict[str, Any]


@contextmanager
def on_one_core(playwright: Any) -> Iterator[Any]:
    """A headless Chromium all of whose threads share one core, where the system can say so."""
    chromium = playwright.chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
    if hasattr(os, "sched_setaffinity"):
        core = {max(os.sched_getaffinity(0))}
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # whatever ends meanwhile needs no core
                threads = process.threads() if "chrom" in process.name().lower() else []
                for thread in threads:  # those to come inherit it
                    with suppress(ProcessLookupError):
                        os.sched_setaffinity(thread.id, core)
    yield chromium
    chromium.close()


class Requests:
    """What a page requests, each address once."""

    def __init__(self, page: Any) -> None:
        self.answers: dict[str, Any] = {}
        page.on("response", lambda response: self.answers.setdefault(response.url, response))

    def weight(self) -> int:
        """Sum of the gzip sizes since this was last asked, bytes."""
        answers, self.answers = list(self.answers.items()), {}
        bodies = [r.body() for url, r in answers if not url.startswith(("data:", "blob:"))]
        return sum(len(gzip.compress(body)) for body in bodies)


class Size(NamedTuple):
    """What a page asks of a reader before it is touched."""

    bytes: int  #: sum of the gzip sizes of all that it requests
    height_px: int  #: in a window 1280 pixels wide, everything folded that comes folded
    revealed_px: int  #: the same, after every prediction is revealed
    code_lines: int  #: lines of code that are seen
    taught_lines: int  #: of these, taught, or to run, to change or to write


# Lines of code by what their cell is for; book/_ext/clean_notebooks.py has the tags.
CODE = """() => [...document.querySelectorAll(".cell .cell_input pre")]
    .filter((pre) => pre.checkVisibility())
    .map((pre) => [pre.closest(".cell").className, pre.innerText.trim().split("\\n").length])"""
TAUGHT = ("tag_taught", "tag_run", "tag_exercise")


def size(browser: Any, address: str) -> Size:
    """Open a page that nobody has touched yet and measure it."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    requests = Requests(page)
    page.goto(address, wait_until="load")
    page.wait_for_load_state("networkidle")
    weight, code = requests.weight(), page.evaluate(CODE)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.locator(".kp-reveal").evaluate_all("all => all.forEach((button) => button.click())")
    revealed = page.evaluate("document.documentElement.scrollHeight")
    page.context.close()
    taught = sum(lines for tags, lines in code if set(tags.split()) & set(TAUGHT))
    return Size(weight, height, revealed, sum(lines for _, lines in code), taught)


BARE = """async ([address, model]) => {
    const begun = performance.now();
    const ort = await import(address);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", address).href };
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "extended" };
    const session = await ort.InferenceSession.create(model, options);
    const images = new ort.Tensor("float32", new Float32Array(3 * 64 * 64), [1, 3, 64, 64]);
    await session.run({ images });
    const start = performance.now() - begun;
    const times = [];
    for (let k = 0; k < 100; k++) {
        const asked = performance.now();
        await session.run({ images });
        times.push(performance.now() - asked);
        await new Promise((later) => setTimeout(later, 20)); }
    return [start, times]; }"""


def bare(browser: Any, url: str, name: str = "rarity") -> tuple[float, list[float]]:
    """The same network on the same core without a figure: milliseconds.

    Returns:
        From nothing loaded to its first answer, and for each of the next 100 answers.
    """
    page = browser.new_context().new_page()
    page.goto(f"{url}/{PAGE}", wait_until="networkidle")
    files = [
        f"{url}/_static/{f}" for f in ("onnxruntime/ort.wasm.bundle.min.mjs", f"live/{name}.onnx")
    ]
    start, times = page.evaluate(BARE, files)
    page.context.close()
    return start, times


class Hand:
    """A reader's hand on Find the cube, on a page that nobody has touched yet."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.requests = Requests(self.page)
        self.page.goto(f"{url}/{PAGE}", wait_until="load")
        self.at = self.page.locator(f"#{FIGURE}")
        self.at.and_(self.page.locator("[data-ready]")).wait_for()
        self.at.scroll_into_view_if_needed()
        self.page.wait_for_load_state("networkidle")
        self.requests.weight()

    def times(self) -> list[float]:
        """Milliseconds from each gesture to its last draw call, since this was last asked."""
        return list(self.at.evaluate("e => e.kpbook.times()"))

    def answered(self, name: str) -> None:
        """Wait until this network has answered."""
        ready = f"e.dataset.engine === 'ready' && e.kpbook.places()['{name}'] && e.kpbook.current()"
        self.page.wait_for_function(f"(e => {ready})(document.querySelector('#{FIGURE}'))")

    def first_touch(self) -> float:
        """Milliseconds from the first key to the first answer drawn; loads the runtime."""
        self.at.locator("[data-handle=cube]").press("ArrowRight")
        self.answered("rarity")
        return self.times()[0]

    def drag(self, moves: int = MOVES) -> list[float]:
        """Drag the cube to and fro; the time of each answer, milliseconds."""
        box = self.at.locator("[data-handle=cube]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.times()
        found: list[float] = []
        for k in range(2 * moves):  # a slow network skips some
            self.page.mouse.move(x - 40 + k % 80, y + k % 7)
            self.page.wait_for_timeout(25)
            if k >= moves - 1 and len(found := found + self.times()) >= moves:
                break
        self.page.mouse.up()
        return found[:moves]

    def drags(self, count: int) -> int:
        """Take the cube, move it and let it go, ``count`` times; how often did it move?"""
        before = self.at.evaluate("e => e.kpbook.changes()")
        box = self.at.locator("[data-handle=cube]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        # The handle follows when the network has answered; a reader sees that and then takes it.
        follow = """async (handle, x) => {
            const away = () => {
                const { left, width } = handle.getBoundingClientRect();
                return Math.abs(left + width / 2 - x) > 5; };
            const end = performance.now() + 2000;
            while (away() && performance.now() < end) await new Promise(requestAnimationFrame); }"""
        grip = self.at.locator("[data-handle=cube]").element_handle()
        self.page.mouse.move(x, y)
        for k in range(count):
            to = x + (40 if k % 2 == 0 else 0)
            self.page.mouse.down()
            self.page.mouse.move(to, y)
            self.page.mouse.up()
            grip.evaluate(follow, to)
        return int(self.at.evaluate("e => e.kpbook.changes()")) - int(before)

    def heap(self) -> int:
        """Bytes that scripts hold after a forced collection."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")["usedSize"]
        session.detach()
        return int(used)

    def choose(self, name: str) -> None:
        """Let another network look."""
        self.at.get_by_label("Network", exact=True).select_option(name)
        self.answered(name)

    def networks(self) -> list[str]:
        """Names that the figure offers."""
        options = self.at.get_by_label("Network", exact=True).locator("option")
        return [str(value) for value in options.evaluate_all("all => all.map(o => o.value)")]

    def place(self, name: str) -> str:
        """Where a network runs: ``page`` or ``worker``."""
        return str(self.at.evaluate("(e, name) => e.kpbook.places()[name]", name))


def measure(url: str, pages: list[str]) -> dict[str, list[Row]]:
    """Rows of the three tables: ``pages``, ``touch`` and ``drag``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, on_one_core(playwright) as browser:
        sizes = {page: size(browser, f"{url}/{page}.html") for page in pages}
        heavy = [
            {
                "page": page,
                "kB": found.bytes / 1e3,
                "height, px": found.height_px,
                "all revealed, px": found.revealed_px,
                "lines of code seen": found.code_lines,
                "of these taught or to run": found.taught_lines,
            }
            for page, found in sizes.items()
        ]
        hand = Hand(browser, url)
        touch = {
            "first touch, ms": hand.first_touch(),
            "its network alone, ms": bare(browser, url)[0],
            "loads, MB": hand.requests.weight() / 1e6,
        }
        drag: list[Row] = []
        for name in hand.networks():
            hand.choose(name)
            times = sorted(hand.drag())
            drag.append(
                {
                    "network": name,
                    "runs in the": hand.place(name),
                    "median, ms": statistics.median(times),
                    "95 % within, ms": times[int(0.95 * len(times))],
                    "answers": len(times),
                }
            )
    return {"pages": heavy, "touch": [touch], "drag": drag}


def soak(url: str, minutes: float) -> bool:
    """Drag for some minutes; print the heap of each; did it stay within 10 % of the first?"""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, on_one_core(playwright) as browser:
        hand = Hand(browser, url)
        hand.first_touch()
        hand.drags(200)
        first = hand.heap()
        worst = 0.0
        end = time.monotonic() + 60 * minutes
        done = 0
        while time.monotonic() < end:
            done += hand.drags(500)
            now = hand.heap()
            worst = max(worst, abs(now / first - 1))
            print(f"{done:7d} drags: {now / 1e6:.2f} MB, {now / first - 1:+.1%} of the first")
    return worst <= 0.1


def record(url: str) -> None:
    """Measure the built site and write ``book/results/bench-live.json``."""
    from test_site import PAGES

    from kpbook import runs, tables

    start = time.perf_counter()
    found = measure(url, PAGES)
    measured = runs.RunRecord(
        name="bench-live",
        command="python tests/live_speed.py",
        results=[{"table": name, **row} for name, rows in found.items() for row in rows],
        seconds=time.perf_counter() - start,
        device="headless Chromium on one core; " + runs.describe_device("cpu", threads=1),
    )
    for rows in found.values():
        print(tables.show(rows))
    print(f"recorded in {measured.save(ROOT / 'book' / 'results')}")


def main() -> int:
    """Serve the built site and do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="drag for so long instead")
    options = parser.parse_args()
    server = _Server(("127.0.0.1", 0), functools.partial(_QuietHandler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    good = True
    if options.soak:
        good = soak(url, options.soak)
    else:
        record(url)
    server.shutdown()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
