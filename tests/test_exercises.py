"""What the exercises share: the reader's own functions in later cells, and the quest's detector."""

from __future__ import annotations

from typing import Any

import notebooks  # noqa: F401  (puts the book's folder on the path)
import pytest
import torch
from exercises import keep, quest


def double(x: float) -> float:
    return 2 * x


def triple(x: float) -> float:
    return 3 * x


def check_double(answer: Any) -> str:
    got = answer(2.0)
    return "not written yet" if got is ... else "correct" if got == 4.0 else f"got {got}"


def test_the_reader_s_function_is_used_if_its_check_says_correct(capsys):
    def mine(x):
        return x + x

    assert keep(mine, double, check_double) is mine
    assert capsys.readouterr().out == "The cells below use your double.\n"


@pytest.mark.parametrize("mine", [triple, lambda x: ..., lambda x: 1 / 0, lambda: 1])
def test_else_the_book_s_is_used_and_the_page_goes_on(mine, capsys):
    assert keep(mine, double, check_double) is double
    assert capsys.readouterr().out == "The cells below use the book's double.\n"


def test_a_cell_that_runs_twice_does_not_take_the_book_s_for_the_reader_s(capsys):
    kept = keep(triple, double, check_double)
    assert keep(kept, double, check_double) is double
    assert "your" not in capsys.readouterr().out


# -- the quest -------------------------------------------------------------------------------------


def find_cube(images: torch.Tensor) -> torch.Tensor:
    return kpbook.mode(images[:, 1])  # noqa: F821  (the file that is saved imports it)


def middle(images: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(images), 2)


def needs_another(images: torch.Tensor) -> torch.Tensor:
    return find_cube(images)


def check_find_cube(answer: Any) -> str:
    images = torch.zeros(2, 3, 8, 8)
    images[:, 1, 0, 7] = 1
    right = torch.tensor([[1.0, -1.0]] * 2)
    return "correct" if torch.equal(answer(images), right) else "it misses"


def test_a_detector_is_saved_and_found_again(tmp_path, monkeypatch):
    import kpbook

    monkeypatch.setitem(globals(), "kpbook", kpbook)
    place = tmp_path / "my_find_cube.py"
    assert quest.load(place) is None
    assert "chapter 4 judges it" in quest.save(find_cube, check_find_cube, place)
    assert check_find_cube(quest.load(place)) == "correct"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".py"] == [place.name]


def test_a_detector_that_fails_its_check_is_not_saved_and_the_older_one_stays(
    tmp_path, monkeypatch
):
    import kpbook

    monkeypatch.setitem(globals(), "kpbook", kpbook)
    place = tmp_path / "my_find_cube.py"
    quest.save(find_cube, check_find_cube, place)
    before = place.read_text()
    assert quest.save(middle, check_find_cube, place) == "not saved: it misses"
    said = quest.save(needs_another, check_find_cube, place)
    assert "put all that it uses into the function" in said
    assert place.read_text() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".py"] == [place.name]
