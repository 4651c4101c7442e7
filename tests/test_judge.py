"""One detector, every metric: the protocol, the three ways in, and what is said when it fails."""

import csv
import dataclasses
import functools

import numpy as np
import pytest
import torch
from toy_extractor import discs

from kpbook import judge as module
from kpbook import metric, soft_argmax
from kpbook.episodes import Episodes
from kpbook.grid import to_pixels

EPISODES = discs(episodes=6, frames=7, seed=3)
TRUTH = EPISODES.flat().truth  # (42, 3, 2)
M = len(TRUTH)
FIRST, SECOND = slice(0, 21), slice(21, 42)
R2_TRACKED = module.R2_TRACKED


def judge(*given, **options):
    """Looked up at each call: the mutants replace it."""
    return module.judge(*given, **options)


def noisy(scale=0.1, extra=2, seed=0):
    rng = np.random.default_rng(seed)
    near = TRUTH[:, ::-1] + scale * rng.normal(size=TRUTH.shape)  # not in the objects' order
    return np.concatenate([near, rng.uniform(-1, 1, (M, extra, 2))], axis=1)


def write(path, points, header=None):
    N = points.shape[1]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header or [f"{axis}{n}" for n in range(N) for axis in "xy"])
        writer.writerows(points.reshape(len(points), -1).tolist())
    return path


# -- the protocol ------------------------------------------------------------------------------


def test_maps_are_fitted_on_the_first_half_and_scored_on_the_second():  # catches: the other way
    z = noisy()
    verdict = judge(z, EPISODES)
    expected = metric.tracking_error(z[SECOND], TRUTH[SECOND], z[FIRST], TRUTH[FIRST])
    np.testing.assert_array_equal(verdict.tracking.error, expected.error)
    assert verdict.tracking.keypoint.tolist() == [2, 1, 0]
    same = metric.tracking_error(z[SECOND], TRUTH[SECOND])
    np.testing.assert_array_equal(verdict.same_frames.error, same.error)
    assert (same.error < expected.error).all()
    regression = metric.regression_error(z[SECOND], TRUTH[SECOND], z[FIRST], TRUTH[FIRST])
    np.testing.assert_array_equal(verdict.regression.r2, regression.r2)


def test_an_object_may_count_only_where_it_is_seen():
    """Catches: a mask of the scored half alone, of the fitted half alone, or of neither."""
    episodes, z = hidden_and_outside(), noisy(0.08)
    flat = episodes.flat(1)
    lost = np.random.default_rng(6).normal(0, 0.5, TRUTH.shape)
    z[:, [2, 1, 0]] += np.where(flat.visible[..., None], 0.0, lost)
    fit = z[FIRST], flat.truth[FIRST]
    masks = {"visible": flat.visible[SECOND], "fit_visible": flat.visible[FIRST]}
    label = {"episode": flat.episode[SECOND]}
    scored = z[SECOND], flat.truth[SECOND]
    found = np.random.default_rng(7).random((M, z.shape[1])) < 0.9
    both = {"found": found[SECOND], "fit_found": found[FIRST]}
    everywhere = metric.tracking_error(*scored, *fit, **label)
    for given, masked in (((), {}), ((found,), both)):
        seen = module.by_halves(z, flat, *given, seen_only=True)
        expected = metric.tracking_error(*scored, *fit, **label, **masks, **masked)
        for part in ("error", "r2", "keypoint", "within"):
            np.testing.assert_array_equal(getattr(seen, part), getattr(expected, part))
        assert (seen.error < everywhere.error).all()
    np.testing.assert_array_equal(module.by_halves(z, flat).error, everywhere.error)


def test_a_perfect_detector_is_perfect_in_every_column():
    row = judge(TRUTH, EPISODES, lengths=(1, 7)).row()
    assert row["tracked"] == "3 of 3"
    numbers = {k: v for k, v in row.items() if k not in ("detector", "tracked")}
    assert list(numbers) == [
        "R²", "R² within episodes", "R², all keypoints", "PCK", "PCK after the map",
        "precision over 1", "recall over 1", "precision over 7", "recall over 7",
    ]  # fmt: skip
    assert all(value == pytest.approx(1) for value in numbers.values())


def hidden_and_outside():
    """Two views; random frames in which an object is hidden, others in which it is outside."""
    rng = np.random.default_rng(5)
    truth, seen = EPISODES.truth.copy(), rng.random(EPISODES.visible.shape) < 0.7
    away = rng.random(seen.shape) < 0.15
    truth[away] += [1.6, 0.0]
    seen &= (np.abs(truth) <= 1).all(axis=-1)
    other = truth[::-1, ::-1] * [0.8, -0.5], seen[::-1, ::-1]
    return dataclasses.replace(
        EPISODES,
        images=np.concatenate([EPISODES.images[::-1, ::-1], EPISODES.images], axis=2),
        truth=np.concatenate([other[0], truth], axis=2),
        visible=np.concatenate([other[1], seen], axis=2),
        views=("left", "right"),
        objects=("cube", "green", "end_effector"),
    )


def test_every_column_is_a_call_of_its_own_of_the_metric():
    # Catches: a mask, a radius, labels or a fit left out; a column that shows another's numbers.
    episodes = hidden_and_outside()
    _, y, seen, label = episodes.flat(1)
    z, wrong = noisy(0.08), np.random.default_rng(6).normal(0, 0.5, TRUTH.shape)
    z[:, [2, 1, 0]] += np.where(seen[..., None], 0.1 * y, wrong)  # lost where nobody sees it
    fit = z[FIRST], y[FIRST]
    z, y, seen, label = (x[SECOND] for x in (z, y, seen, label))
    masks = {"visible": seen, "fit_visible": episodes.flat(1).visible[FIRST]}
    tracking = metric.tracking_error(z, y, *fit, episode=label)
    in_view = metric.tracking_error(z, y, *fit, **masks, episode=label)
    same_frames, together = metric.tracking_error(z, y), metric.regression_error(z, y, *fit)
    inside = (np.abs(y) < [28 / 27, 20 / 19]).all(axis=-1)
    columns = {
        "keypoint": tracking.keypoint,
        "error": tracking.error,
        "R²": tracking.r2,
        "px": tracking.rms_px((20, 28)),
        "R², same frames": same_frames.r2,
        "R², in view": in_view.r2,
        "R² within episodes": tracking.within_r2,
        "R² within, in view": in_view.within_r2,
        "R², all keypoints": together.r2,
        "PCK": metric.pck(z[:, tracking.keypoint], y, 0.25, visible=seen),
        "PCK after the map": metric.pck(tracking.predict(z), y, 0.25, visible=seen),
        "outside": (~inside).mean(axis=0),
        "hidden": (inside & ~seen).mean(axis=0),
    }
    pairs = metric.precision_recall(z, y, 0.25, (2, 3, 5), visible=seen, episode=label)
    points = np.concatenate([fit[0], z])
    mu = {"cube": tracking.error[0], "green": tracking.error[1] * 0.99}
    verdict = judge(
        points, episodes, name="d", radius=0.25, lengths=[2, 3, 5, 8], view=1, thresholds=mu
    )
    rows = verdict.rows()
    assert list(rows[0]) == ["object", "keypoint", "tracked", *list(columns)[1:]]
    for name, column in columns.items():
        np.testing.assert_allclose([r[name] for r in rows], column, rtol=1e-12, err_msg=name)
    assert [row["object"] for row in rows] == ["cube", "green", "end_effector"]
    last = "yes" if tracking.r2[2] >= R2_TRACKED else "no"
    assert [row["tracked"] for row in rows] == ["yes", "no", last]
    shown = ("R²", "R² within episodes", "R², all keypoints", "PCK", "PCK after the map")
    assert verdict.row() == {
        "detector": "d",
        "tracked": f"{1 + (last == 'yes')} of 3",
        **{name: pytest.approx(np.mean(columns[name])) for name in shown},
        "precision over 2": pairs.precision[0],
        "recall over 2": pairs.recall[0],
        "precision over 5": pairs.precision[2],
        "recall over 5": pairs.recall[2],
    }
    for field in dataclasses.fields(pairs):
        expected = getattr(pairs, field.name)
        np.testing.assert_array_equal(getattr(verdict.matching, field.name), expected)
    # No two columns agree by chance, so none can stand for another.
    assert len({tuple(column) for column in columns.values()}) == len(columns)
    assert len({*pairs.precision, *pairs.recall}) == 6


def test_a_view_is_that_of_the_images_and_of_the_truth():
    episodes, network = hidden_and_outside(), Bright().eval()
    left, right = (module.keypoints(network, episodes, view=v) for v in (0, 1))
    np.testing.assert_allclose(right, left[::-1], atol=1e-6)
    assert np.abs(right - left).max() > 0.5
    for view, points in enumerate((left, right)):
        found = judge(network, episodes, view=view).tracking.error
        np.testing.assert_allclose(found, judge(points, episodes, view=view).tracking.error)
    np.testing.assert_array_equal(
        module.keypoints(network, episodes), module.keypoints(network, episodes, view=0)
    )


def test_hidden_frames_leave_place_and_pairs_but_not_the_error():
    visible = EPISODES.visible.copy()
    visible[4, 2:5, 0, 1] = False  # three of 21 scored frames of the second object
    wrong = TRUTH.copy()
    wrong[4 * 7 + 2 : 4 * 7 + 5, 1] += [0.9, -0.7]
    verdict = judge(wrong, dataclasses.replace(EPISODES, visible=visible))
    assert verdict.tracking.error[1] > 0.1 > 1e-6 > verdict.in_view.error[1]
    assert verdict.on_object[1] == 1
    assert verdict.matching.recall[0] == 1
    np.testing.assert_allclose(verdict.hidden, [0, 3 / 21, 0])
    np.testing.assert_allclose(verdict.outside, 0)
    assert verdict.rows()[1]["hidden"] == pytest.approx(3 / 21)


def test_outside_begins_at_the_images_edge_not_at_its_last_pixel():
    truth = EPISODES.truth.copy()
    H, W = EPISODES.image_size
    truth[5, 0, 0, 0] = [W / (W - 1) - 1e-6, 0]  # in the outer half of the last column
    truth[5, 1, 0, 0] = [W / (W - 1) + 1e-6, 0]
    truth[5, 2, 0, 0] = [0, -H / (H - 1) - 1e-6]
    verdict = judge(TRUTH, dataclasses.replace(EPISODES, truth=truth))
    np.testing.assert_allclose(verdict.outside, [2 / 21, 0, 0])


def test_place_is_judged_as_it_is_and_after_the_map():  # catches: both after the map
    verdict = judge(TRUTH + np.array([0.3, -0.4]), EPISODES)
    assert (verdict.on_object == 0).all()
    assert (verdict.after_map == 1).all()


def test_a_threshold_by_name_and_r2_without_one():
    z = noisy(scale=0.2)
    r2, error = judge(z, EPISODES).tracking.r2, judge(z, EPISODES).tracking.error
    assert judge(z, EPISODES).tracked.tolist() == (r2 >= R2_TRACKED).tolist()
    named = judge(z, EPISODES, thresholds={"red": error[0], "green": error[1] / 2})
    assert named.tracked.tolist() == [True, False, r2[2] >= R2_TRACKED]
    cubes = discs(episodes=6, seed=3, objects=("cube", "green", "blue"))
    assert error[0] > metric.THRESHOLD_OF["cube"]
    assert not judge(z, cubes).tracked[0]
    assert judge(z, cubes, thresholds={}).tracked[0] == (r2[0] >= R2_TRACKED)


def test_windows_longer_than_an_episode_are_left_out():
    assert judge(TRUTH, EPISODES, lengths=(1, 7, 20)).matching.lengths.tolist() == [1, 7]


def test_no_window_spans_two_games_of_an_episode():
    start = np.zeros(EPISODES.images.shape[:2], dtype=bool)
    start[:, 3] = True
    games = dataclasses.replace(EPISODES, extras={"start": start})
    renamed = TRUTH.copy().reshape(*start.shape, *TRUTH.shape[1:])
    renamed[:, 3:] = renamed[:, 3:, ::-1]  # a keypoint has another object in each game
    z = renamed.reshape(TRUTH.shape)
    assert judge(z, EPISODES, radius=0.05, lengths=(7,)).matching.recall[0] < 0.7
    found = judge(z, games, radius=0.05, lengths=(3, 4, 5)).matching
    assert found.lengths.tolist() == [3, 4]
    assert found.recall.tolist() == [1, 1]


def test_numbers_that_do_not_exist_are_none_and_leave_the_mean():
    truth = EPISODES.truth.copy()
    truth[:, :, :, 2] = [0.1, 0.2]  # the third object never moves
    still = dataclasses.replace(EPISODES, truth=truth)
    verdict = judge(noisy(), still)
    assert verdict.rows()[2]["R²"] is None
    first_two = [row["R²"] for row in verdict.rows()[:2]]
    assert verdict.row()["R²"] == pytest.approx(np.mean(first_two))
    assert "R²" in repr(verdict)
    assert "<table" in verdict._repr_html_()


# -- the ways in -------------------------------------------------------------------------------


class Bright(torch.nn.Module):
    """Where the reds, greens and blues lie; counts its calls."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.sizes = []

    def forward(self, images):
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
        self.sizes.append(len(images))
        return soft_argmax(40 * self.weight * (2 * images - images.sum(1, keepdim=True)))


def test_a_network_an_array_a_tensor_and_a_file_get_the_same_verdict(tmp_path):
    network = Bright().eval()
    points = module.keypoints(network, EPISODES, batch=16)
    assert network.sizes == [16, 16, 10]
    assert points.shape == (M, 3, 2)
    verdicts = [
        judge(network, EPISODES),
        judge(points, EPISODES),
        judge(torch.from_numpy(points).requires_grad_(), EPISODES),
        judge(write(tmp_path / "colours.csv", points), EPISODES),
    ]
    for verdict in verdicts:
        np.testing.assert_allclose(verdict.tracking.error, verdicts[0].tracking.error, rtol=1e-5)
        assert verdict.tracking.r2.min() > 0.9
    assert verdicts[3].name == "colours"
    assert judge(points, EPISODES, name="mine").row()["detector"] == "mine"


def test_a_file_reads_back_as_it_was_written(tmp_path):
    points = noisy()
    np.testing.assert_array_equal(module.read_points(write(tmp_path / "a.csv", points), M), points)


def test_a_file_of_a_spreadsheet_is_read(tmp_path):
    """A mark in front, blanks around commas, other ends of lines, and blank lines."""
    points = noisy().round(3)
    path = write(tmp_path / "a.csv", points)
    text = "\ufeff" + path.read_text().replace(",", " , ").replace("\n", "\r\n") + "\r\n \r\n"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(module.read_points(path, M), points)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_points_of_half_precision_and_nested_lists_are_judged(dtype):
    points = torch.from_numpy(noisy()).to(dtype)
    expected = judge(points.double().numpy(), EPISODES).tracking.error
    for given in (points, points.tolist(), list(points), lambda images: points[: len(images)]):
        found = judge(given, EPISODES).tracking.error
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rounding_is_that_of_the_numbers_as_they_came():  # catches: all of them made float64
    dead = 0.7 + 1e-4 * np.random.default_rng(0).standard_normal((M, 1, 2))
    for given in (dead.astype(np.float16), lambda images: dead[: len(images)].astype(np.float16)):
        np.testing.assert_array_equal(judge(given, EPISODES).tracking.linear, 0)
    assert (judge(dead, EPISODES).tracking.linear != 0).any()


# -- points that were not found ----------------------------------------------------------------


def gaps(seed=0, share=0.8):
    found = np.random.default_rng(seed).random((M, 5)) < share
    return module.Points(np.where(found[..., None], noisy(), np.nan), found)


def test_frames_without_a_point_are_left_out_of_every_column():
    # Catches: a mask that one of the calls does not get, the fit's mask for the score's.
    points, (_, y, seen, label) = gaps(), hidden_and_outside().flat(1)
    verdict = judge(points, hidden_and_outside(), view=1, radius=0.25, lengths=(1, 3))
    z, found = points.points, points.found
    fit, both = (z[FIRST], y[FIRST]), {"found": found[SECOND], "fit_found": found[FIRST]}
    masks = {"visible": seen[SECOND], "fit_visible": seen[FIRST], **both}
    z, y, seen, label = (x[SECOND] for x in (z, y, seen, label))
    tracking = metric.tracking_error(z, y, *fit, episode=label, **both)
    in_view = metric.tracking_error(z, y, *fit, episode=label, **masks)
    chosen = {"visible": seen, "found": found[SECOND][:, tracking.keypoint]}
    columns = {
        "error": tracking.error,
        "R²": tracking.r2,
        "R², same frames": metric.tracking_error(z, y, found=found[SECOND]).r2,
        "R², in view": in_view.r2,
        "R² within, in view": in_view.within_r2,
        "R², all keypoints": metric.regression_error(z, y, *fit, **both).r2,
        "PCK": metric.pck(z[:, tracking.keypoint], y, 0.25, **chosen),
        "PCK after the map": metric.pck(tracking.predict(z), y, 0.25, **chosen),
        "found": found[SECOND][:, tracking.keypoint].mean(axis=0),
    }
    for name, column in columns.items():
        shown = np.array([row[name] for row in verdict.rows()], dtype=float)
        np.testing.assert_allclose(shown, column, rtol=1e-12, err_msg=name)
    pairs = metric.precision_recall(
        z, y, 0.25, (1, 3), visible=seen, episode=label, found=found[SECOND]
    )
    np.testing.assert_array_equal(verdict.matching.precision, pairs.precision)
    np.testing.assert_array_equal(verdict.matching.found, pairs.found)
    assert verdict.row()["found"] == pytest.approx(found[SECOND].mean())


def test_a_detector_that_always_answers_has_no_column_for_it():
    full = module.Points(noisy())
    for given in (noisy(), full):
        assert "found" not in judge(given, EPISODES).rows()[0]
        assert "found" not in judge(given, EPISODES).row()
    np.testing.assert_array_equal(
        judge(full, EPISODES).tracking.error, judge(noisy(), EPISODES).tracking.error
    )


def test_a_detector_that_hardly_ever_answers_tracks_nothing():
    found = np.zeros((M, 3), dtype=bool)
    found[::3] = True
    verdict = judge(module.Points(TRUTH, found), EPISODES)
    assert not verdict.tracked.any()
    assert [row["keypoint"] for row in verdict.rows()] == [-1] * 3
    assert [row["R²"] for row in verdict.rows()] == [None] * 3
    assert [row["found"] for row in verdict.rows()] == [0] * 3
    assert verdict.row()["R²"] is None


def test_a_file_of_another_program_is_judged_in_its_pixels(tmp_path):
    names = [f"{name}_{kind}" for name in "abc" for kind in ("x", "y", "likelihood")]
    pixels = to_pixels(TRUTH, EPISODES.image_size)
    sure = np.where(np.random.default_rng(0).random((M, 3, 1)) < 0.8, 0.99, 0.1)
    rows = np.concatenate([pixels, sure], axis=2).reshape(M, -1)
    path = tmp_path / "other.csv"
    np.savetxt(path, rows, fmt="%.17g", delimiter=",", header=",".join(names), comments="")
    verdict = judge(path, EPISODES)
    assert verdict.tracked.all()
    assert verdict.tracking.r2.min() > 1 - 1e-12
    share = (sure[SECOND, :, 0] > 0.6).mean(axis=0)
    assert [row["found"] for row in verdict.rows()] == pytest.approx(share.tolist())


def test_points_of_other_frames():
    with pytest.raises(ValueError, match=r"detector: got shape \(41, 3, 2\), expected \(42, N, 2"):
        judge(module.Points(TRUTH[1:]), EPISODES)


def test_a_file_of_larger_pictures_is_noticed_at_the_callers_line(tmp_path):
    path = tmp_path / "a.csv"
    pixels = to_pixels(TRUTH[:, :1], (60, 84)).reshape(M, 2)
    np.savetxt(path, pixels, delimiter=",", header="a_x,a_y", comments="")
    with pytest.warns(UserWarning, match="image_size: got") as caught:
        module.judge(path, EPISODES)
    assert {warning.filename for warning in caught} == {__file__}


def test_a_verdict_keeps_nothing_of_the_callers():
    z, found = noisy(), np.ones((M, 5), dtype=bool)
    found[::4] = False
    points = module.Points(z, found)
    verdict = judge(points, EPISODES)
    before = verdict.rows(), verdict.row()
    points.points[:], points.found[:], z[:] = 0, False, 0  # as a reused buffer would be
    assert (verdict.rows(), verdict.row()) == before


# -- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: ["frame,x,y", *lines[1:]], r"a\.csv: got header 'frame,x,y'.*x0,y0,x1,y1"),
        (lambda lines: [lines[0].replace("x0,y0", "y0,x0"), *lines[1:]], "header 'y0,x0"),
        (lambda lines: lines[:-1], r"a\.csv: got 41 rows, expected 42.*flat"),
        (
            lambda lines: [*lines[:3], "1,2,three,4,5,6", *lines[4:]],
            r"a\.csv, line 4: got '1,2,three,4,5,6', expected 6 finite numbers",
        ),
        (lambda lines: [*lines[:3], "1,2", *lines[4:]], "line 4: got '1,2', expected 6 finite"),
        (lambda lines: [*lines[:3], "1", *lines[4:]], "line 4: got '1', expected 6 finite"),
        (lambda lines: ["", *lines[:9], "", "1,2,,4,5,6", *lines[10:]], "line 12: got '1,2,,4,5"),
        (lambda lines: [*lines[:-1], "1,2,NaN,4,5,6"], "line 43: got '1,2,NaN,4.*in every frame"),
        (lambda lines: [*lines[:-1], "1,2,3,4,5,-inf"], "line 43: got .*-inf.* 6 finite numbers"),
        (lambda lines: [line.replace(",", ";") for line in lines], "'x0;y0;.*commas.*semicolons"),
        (lambda lines: [], "header ''"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, spoil, message):
    path = write(tmp_path / "a.csv", TRUTH)
    path.write_text("".join(line + "\n" for line in spoil(path.read_text().splitlines())))
    with pytest.raises(ValueError, match=message):
        judge(path, EPISODES)


@pytest.mark.parametrize(
    ("detector", "error", "message"),
    [
        (TRUTH[:-1], ValueError, r"detector: got shape \(41, 3, 2\), expected \(42, N, 2\)"),
        (np.where(TRUTH > 0.5, np.nan, TRUTH), ValueError, "detector: .*NaN"),
        (lambda images: images, ValueError, r"detector\(images\): .*expected \(42, N, 2\)"),
        (7, TypeError, "detector: got int, expected a function"),
        ([[1, 2], [3]], TypeError, r"detector: got a list that .* expected \(42, N, 2\) numbers"),
        (lambda images: None, TypeError, r"detector\(images\): got None, expected \(42, N, 2\)"),
        (Bright(), ValueError, r"detector: got a torch module in training mode.*Call \.eval\(\)"),
        (
            torch.nn.Sequential(Bright().eval(), torch.nn.Dropout()).requires_grad_(False),
            ValueError,
            "training mode",
        ),
    ],
)
def test_a_detector_that_does_not_fit(detector, error, message):
    with pytest.raises(error, match=message):
        judge(detector, EPISODES)


def test_a_detector_whose_number_of_points_changes():
    calls = []

    def more(images):
        calls.append(0)
        return np.zeros((len(images), len(calls), 2))

    with pytest.raises(
        ValueError, match=r"detector\(images\): got shape \(16, 2, 2\).*\(16, 1, 2\)"
    ):
        module.keypoints(more, EPISODES, batch=16)


def test_episodes_without_truth_or_too_few():
    with pytest.raises(ValueError, match="episodes: got 3 episodes with 3 objects, expected at l"):
        judge(TRUTH[:21], EPISODES[:3])
    blank = Episodes.from_frames(EPISODES.images[:, :, 0])
    with pytest.raises(ValueError, match="6 episodes with 0 objects"):
        judge(TRUTH, blank)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0}, "radius: got 0"),
        ({"thresholds": {"red": -1.0}}, r"thresholds\['red'\]: got -1.0, expected > 0"),
        ({"thresholds": {"rde": 0.1}}, "thresholds: got 'rde', expected one of 'red'.*'red'?"),
        ({"lengths": (0,)}, r"lengths\[0\]: got 0, expected at least 1"),
        ({"lengths": ()}, "lengths: got none, expected at least one"),
        (
            {"lengths": (20, 8)},
            r"lengths: got \(20, 8\), expected at least one of at most 7, the fr",
        ),
        ({"view": 1}, "view"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        judge(TRUTH, EPISODES, **options)


@pytest.mark.parametrize("lengths", [5, 5.0, "5", (1, 2.5)])
def test_lengths_of_another_kind(lengths):
    with pytest.raises(
        TypeError, match=r"lengths.*: got .*expected a .*whole number.*\(1, 10, 100"
    ):
        judge(TRUTH, EPISODES, lengths=lengths)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x0,y0\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"a\.csv: got bytes that are no UTF-8"):
        judge(path, EPISODES)


def test_points_in_pixels_are_noticed():
    with pytest.warns(UserWarning, match="from_pixels") as caught:
        judge(to_pixels(TRUTH, EPISODES.image_size), EPISODES)
    said = [str(warning.message) for warning in caught]
    assert any(line.startswith("points: ") for line in said)
    assert all("from_pixels" in line for line in said)


def test_keypoints_in_the_order_y_x_are_noticed_once():
    with pytest.warns(UserWarning, match="exchange the axes") as caught:
        module.judge(TRUTH[..., ::-1], EPISODES)
    assert [warning.filename for warning in caught] == [__file__]


# -- what depends on the batch, and other odd answers --------------------------------------------


def normalised(**options):
    return torch.nn.Sequential(torch.nn.BatchNorm2d(3, **options), Bright().eval()).eval()


def test_a_batch_norm_without_statistics_is_refused():
    with pytest.raises(ValueError, match=r"got a batch norm without statistics .*its part '0'"):
        judge(normalised(track_running_stats=False), EPISODES)
    bare, own = (judge(n, EPISODES).tracking.error for n in (Bright().eval(), normalised()))
    np.testing.assert_allclose(own, bare, rtol=0.01)  # of mean 0 and variance 1


@pytest.mark.parametrize("wrap", [lambda n: n.forward, functools.partial])
def test_training_mode_is_seen_behind_a_method_and_a_partial(wrap):
    network = Bright().eval()
    expected = judge(network, EPISODES).tracking.error
    np.testing.assert_array_equal(judge(wrap(network), EPISODES).tracking.error, expected)
    with pytest.raises(ValueError, match="training mode"):
        judge(wrap(network.train()), EPISODES)


def test_a_network_s_own_attributes_are_not_taken_for_it():  # catches: .func followed into relu
    network = Bright()
    network.func = torch.relu
    with pytest.raises(ValueError, match="training mode"):
        judge(network, EPISODES)


@pytest.mark.parametrize(
    "change",
    [lambda z: z.to_sparse(), lambda z: z.to(torch.float8_e4m3fn), lambda z: z.bfloat16()],
    ids=["sparse", "float8", "bfloat16"],
)
def test_tensors_of_every_kind_are_read(change):
    exact = (torch.from_numpy(TRUTH) * 8).round() / 8  # few digits
    found = module.keypoints(change(exact.float()), EPISODES)
    np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("episodes", [None, TRUTH, [EPISODES]], ids=["None", "array", "list"])
def test_what_is_no_recording_is_named(episodes):
    with pytest.raises(TypeError, match=r"episodes: got \w+, expected Episodes\. Episodes\.sample"):
        judge(TRUTH, episodes)


def test_a_threshold_is_one_number():
    first = EPISODES.objects[0]
    with pytest.raises(TypeError, match=r"thresholds\[.*\]: got array.*expected one number"):
        judge(TRUTH, EPISODES, thresholds={first: np.array([0.1, 0.2])})


def test_an_object_that_never_moves_is_not_tracked():  # catches: an error of 0 for standing still
    still = np.array(EPISODES.truth[:, :, 0])
    still[:, :, 0] = 0.25
    episodes = Episodes.from_frames(EPISODES.images[:, :, 0], still, objects=("cube", "b", "c"))
    verdict = judge(still.reshape(M, 3, 2), episodes, thresholds={"cube": 0.1, "b": 0.1})
    assert verdict.tracked.tolist() == [False, True, True]
    assert verdict.tracking.error[0] == 0
