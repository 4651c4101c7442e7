"""Which tests ``make test CHANGED=1`` chooses for a change."""

from __future__ import annotations

import pytest
from changed import ALWAYS, chosen


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("tests/test_zoo.py", {"tests/test_zoo.py"}),
        ("tests/js/camera.test.mjs", {"tests/test_widgets.py"}),
        ("book/03_spatial_autoencoders.ipynb", {"tests/test_chapter_03.py"}),
        ("book/exercises/world/checks.py", {"tests/test_chapter_02.py"}),
        ("kpbook/metric/tracking.py", {"tests/test_tracking.py", "tests/test_judge.py"}),
        ("kpbook/widgets/find_cube_state.mjs", {"tests/test_find_cube.py"}),
        ("README.md", set()),
    ],
)
def test_a_change_chooses_the_tests_that_name_it(changed, tests):
    found = set(chosen({changed}))
    assert found >= tests | {ALWAYS}
    assert "tests/test_grid.py" not in found


@pytest.mark.parametrize(
    "changed", ["pyproject.toml", "_config.yml", "book/_ext/house.py", "tests/conftest.py", "a.css"]
)
def test_what_any_test_may_depend_on_chooses_all(changed):
    assert chosen({changed, "README.md"}) is None
