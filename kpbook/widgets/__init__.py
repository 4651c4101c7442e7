"""Live figures: one class and one ``.mjs`` file a figure, over shared modules.

A figure computes in the reader's browser, so it works on the book's pages without a kernel; in
JupyterLab and Colab its traits follow every gesture.
"""

from kpbook._checks import require

require("anywidget", extra="widgets", purpose="a live figure")

from kpbook.widgets.camera import CameraFigure  # noqa: E402 - after the check above
from kpbook.widgets.find_cube import FindTheCube  # noqa: E402 - after the check above
from kpbook.widgets.judge_it import JudgeIt  # noqa: E402 - after the check above
from kpbook.widgets.soft_argmax import SoftArgmaxPlayground  # noqa: E402 - after the check above
from kpbook.widgets.training_film import TrainingFilm  # noqa: E402 - after the check above
from kpbook.widgets.transport import Transport  # noqa: E402 - after the check above
from kpbook.widgets.what_would_it_do import WhatWouldItDo  # noqa: E402 - after the check above

__all__ = [
    "CameraFigure",
    "FindTheCube",
    "JudgeIt",
    "SoftArgmaxPlayground",
    "TrainingFilm",
    "Transport",
    "WhatWouldItDo",
]
