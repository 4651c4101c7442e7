"""Messages of kpbook._checks: what was given, what was expected, what to do."""

import math

import numpy as np
import pytest
import torch

from kpbook import _checks as checks
from kpbook._arrays import as_flags, as_float64


def test_check_shape_returns_the_named_sizes_in_order():
    x = torch.zeros(2, 3, 5, 7)
    assert checks.check_shape(x, "B 3 H W", name="x") == (2, 5, 7)
    assert checks.check_shape(x.numpy(), "... H W", name="x") == (5, 7)


@pytest.mark.parametrize("pattern", ["H W", "B 4 H W", "... 3", "A B C D E"])
def test_a_wrong_shape_names_argument_shape_and_pattern(pattern):
    expected = ", ".join(pattern.split()).replace("...", r"\.\.\.")
    with pytest.raises(
        ValueError, match=rf"^frames: got shape \(2, 3, 5, 7\), expected \({expected}\)"
    ):
        checks.check_shape(torch.zeros(2, 3, 5, 7), pattern, name="frames")


def test_an_empty_axis_is_named_as_such():
    with pytest.raises(ValueError, match=r"got shape \(0, 2\).*no empty axis. Record first."):
        checks.check_shape(torch.zeros(0, 2), "T 2", name="z", hint="Record first.")


def test_a_list_is_not_an_array():
    with pytest.raises(TypeError, match=r"z: got list, expected a torch.Tensor or a numpy.ndarray"):
        checks.check_shape([[1, 2]], "T 2", name="z")


@pytest.mark.parametrize("x", [torch.arange(3), np.arange(3)])
def test_integers_are_not_floating(x):
    with pytest.raises(TypeError, match=r"z: got dtype .*int64, expected a floating-point dtype"):
        checks.check_floating(x, name="z")


@pytest.mark.parametrize("x", [torch.zeros(3), np.zeros(3)])
def test_floats_are_not_bytes(x):
    with pytest.raises(TypeError, match=r"frames: got dtype .*float.*, expected uint8"):
        checks.check_uint8(x, name="frames")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_finite_says_how_many_and_where(bad):
    x = torch.zeros(2, 3)
    x[1, 2] = bad
    with pytest.raises(ValueError, match=r"z: got 1 of 6 values NaN or infinite, the first at \(1"):
        checks.check_finite(x, name="z")


def test_finite_is_not_fooled_by_infinities_that_cancel_or_sums_that_overflow():
    with pytest.raises(ValueError, match=r"2 of 2"):
        checks.check_finite(torch.tensor([math.inf, -math.inf]), name="z")
    checks.check_finite(torch.tensor([3e38, 3e38]), name="z")


def test_a_network_that_is_traced_has_no_values_to_check(monkeypatch):
    bad = torch.tensor([math.nan, -1.0])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    checks.check_finite(bad, name="z")
    checks.check_positive(bad, name="z")
    checks.check_range(bad, 0, 1, name="z")
    with pytest.raises(ValueError, match="NaN"):  # an array is a constant there, and is checked
        checks.check_finite(bad.numpy(), name="z")


def test_an_array_that_runs_backwards_is_looked_at():  # (y, x) turned by [..., ::-1]
    backwards = np.array([[1.0, 2.0], [3.0, np.nan]])[..., ::-1]
    with pytest.raises(ValueError, match=r"z: got 1 of 4 .*first at \(1, 0\)"):
        checks.check_finite(backwards, name="z")
    checks.check_finite(backwards[:1], name="z")


def test_a_read_only_array_is_checked_without_a_warning():  # torch warns, and we fail on warnings
    x = np.zeros(3)
    x.setflags(write=False)
    checks.check_finite(x, name="z")
    checks.check_range(x, 0, 1, name="z")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (0, "0.0"),
        (-1.5, "-1.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (torch.tensor([1, -2]), "-2"),
    ],
)
def test_positive_names_the_worst_value(x, said):
    with pytest.raises(ValueError, match=rf"sigma: got {said}.*expected > 0"):
        checks.check_positive(x, name="sigma")


def test_positive_takes_numbers_too_small_for_float32():
    checks.check_positive(1e-300, name="temperature")
    checks.check_positive(np.float64(1e-300), name="temperature")


def test_positive_rejects_a_word():
    with pytest.raises(TypeError, match=r"sigma: got 'big', expected a number"):
        checks.check_positive("big", name="sigma")


def test_range_names_both_ends():
    with pytest.raises(ValueError, match=r"images: got values from 0 to 255, expected values in"):
        checks.check_range(torch.tensor([0.0, 255.0]), 0, 1, name="images")
    with pytest.raises(ValueError, match=r"got values from nan"):
        checks.check_range(torch.tensor([math.nan, 0.5]), 0, 1, name="images")
    with pytest.raises(ValueError, match=r"top: got 2, expected values in \[0, 1\]"):
        checks.check_range(2, 0, 1, name="top")


@pytest.mark.parametrize("bad", [2.0, True, "2", None])
def test_integer_wants_a_whole_number(bad):
    with pytest.raises(TypeError, match=r"workers: got .*, expected a whole number, at least 1"):
        checks.check_integer(bad, name="workers", minimum=1)


def test_integer_has_a_minimum():
    with pytest.raises(ValueError, match=r"workers: got 0, expected at least 1"):
        checks.check_integer(0, name="workers", minimum=1)


def test_choice_lists_the_options_and_guesses():
    with pytest.raises(ValueError, match=r"one of 'paper', 'front'. Did you mean 'paper'"):
        checks.check_choice("papr", ["paper", "front"], name="camera")


def test_a_missing_package_says_what_for_and_how_to_install():
    with pytest.raises(ImportError, match=r"no_such_thing: .*the world needs it.*kpbook\[world\]"):
        checks.require("no_such_thing", extra="world", purpose="the world")


@pytest.mark.parametrize(
    "check",
    [
        lambda x: checks.check_shape(x, "n 2", name="z"),
        lambda x: checks.check_floating(x, name="z"),
        lambda x: as_float64(x, name="z", expected="numbers"),
        lambda x: as_flags(x > 0, name="z"),
    ],
)
def test_what_a_mask_hides_is_refused_like_nan(check):  # catches: NumPy's view of what lies below
    hidden = np.ma.masked_array(np.zeros((3, 2)), mask=[[0, 0], [1, 0], [0, 0]])
    with pytest.raises(ValueError, match=r"^z: got a masked array with 1 of 6 values masked"):
        check(hidden)
    check(np.ma.masked_array(np.zeros((3, 2))))  # hides nothing


@pytest.mark.parametrize("x", [[0.2, 0.9], [0, 1, 2], np.array([1.0, np.nan]), "False", None])
def test_flags_are_true_or_false_and_nothing_else(x):
    with pytest.raises(TypeError, match=r"^visible: got .*expected True and False"):
        as_flags(x, name="visible")


def test_flags_are_a_copy():
    given = np.array([True, False])
    flags = as_flags(given, name="visible")
    given[:] = True
    assert flags.tolist() == [True, False]
    assert as_flags(torch.tensor([True]), name="visible").tolist() == [True]


@pytest.mark.parametrize("x", ["False", 0, 1.0, None])
def test_one_flag_is_a_bool(x):
    with pytest.raises(TypeError, match=r"^whiten: got .*expected True or False"):
        checks.check_flag(x, name="whiten")
