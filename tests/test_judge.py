"""One detector, every metric: the protocol, the three ways in, and what is said when it fails."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from toy_extractor import discs

from kpbook import metric, soft_argmax
from kpbook.episodes import Episodes
from kpbook.grid import to_pixels
from kpbook.judge import R2_TRACKED, THRESHOLDS, judge, keypoints, read_points

EPISODES = discs(episodes=6, frames=7, seed=3)
TRUTH = EPISODES.flat().truth  # (42, 3, 2)
M = len(TRUTH)
FIRST, SECOND = slice(0, 21), slice(21, 42)


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


def test_a_perfect_detector_is_perfect_in_every_column():
    row = judge(TRUTH, EPISODES, lengths=(1, 7)).row()
    assert row["tracked"] == "3 of 3"
    numbers = {k: v for k, v in row.items() if k not in ("detector", "tracked")}
    assert list(numbers) == [
        "R²", "R² within episodes", "R², all keypoints", "PCK", "PCK after the map",
        "precision over 1", "recall over 1", "precision over 7", "recall over 7",
    ]  # fmt: skip
    assert all(value == pytest.approx(1) for value in numbers.values())


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
    assert error[0] > THRESHOLDS["cube"]
    assert not judge(z, cubes).tracked[0]
    assert judge(z, cubes, thresholds={}).tracked[0] == (r2[0] >= R2_TRACKED)


def test_windows_longer_than_an_episode_are_left_out():
    assert judge(TRUTH, EPISODES, lengths=(1, 7, 20)).matching.lengths.tolist() == [1, 7]


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
    network = Bright()
    points = keypoints(network, EPISODES, batch=16)
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
    np.testing.assert_array_equal(read_points(write(tmp_path / "a.csv", points), M), points)


# -- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: ["frame,x,y", *lines[1:]], r"a\.csv: got header 'frame,x,y'.*x0,y0,x1,y1"),
        (lambda lines: [lines[0].replace("x0,y0", "y0,x0"), *lines[1:]], "header 'y0,x0"),
        (lambda lines: lines[:-1], r"a\.csv: got 41 rows, expected 42.*flat"),
        (lambda lines: [*lines[:3], "1,2,three,4,5,6", *lines[4:]], r"row 3: .*three.* 6 numbers"),
        (lambda lines: [*lines[:3], "1,2", *lines[4:]], "row 3: got '1,2', expected 6 numbers"),
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
        keypoints(more, EPISODES, batch=16)


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
        ({"lengths": (0,)}, "lengths"),
        ({"view": 1}, "view"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        judge(TRUTH, EPISODES, **options)


def test_points_in_pixels_are_noticed():
    with pytest.warns(UserWarning, match="from_pixels") as caught:
        judge(to_pixels(TRUTH, EPISODES.image_size), EPISODES)
    said = [str(warning.message) for warning in caught]
    assert any(line.startswith("points: ") for line in said)
    assert all("from_pixels" in line for line in said)


def test_keypoints_in_the_order_y_x_are_noticed_once():
    with pytest.warns(UserWarning, match="exchange the axes") as caught:
        judge(TRUTH[..., ::-1], EPISODES)
    assert len(caught) == 1
