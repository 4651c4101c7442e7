"""Files of other programs, written here by hand as those write them, and broken ones."""

import json
import zipfile

import numpy as np
import pytest

from kpbook import judge
from kpbook.grid import from_pixels
from kpbook.points import FORMATS, Points
from kpbook.points import read as module

SIZE = (48, 64)  # H, W
M, N = 6, 2
RNG = np.random.default_rng(0)
PIXELS = RNG.uniform(5, 40, (M, N, 2)).round(3)
FRACTIONS = (PIXELS + 0.5) / [64, 48]  # 0 and 1 are the picture's edges
IMAGE = from_pixels(PIXELS, SIZE)
LOST = np.zeros((M, N), dtype=bool)
LOST[2, 1] = LOST[4, 0] = LOST[5, 1] = True
NAMES = ("nose", "tail")


def read(*given, **options):
    """Looked up at each call: the mutants replace it."""
    return module.read_points(*given, **options)


def put(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def joined(*cells):
    return ",".join(str(cell) for cell in cells)


def likelihood(t, n):
    return 0.03 if LOST[t, n] else 0.9 + 0.01 * n


def cell(value, t, n):
    return "" if LOST[t, n] else value


# -- one file of each kind ---------------------------------------------------------------------


def ours(folder):
    rows = [joined(*(cell(v, t, n) for n in range(N) for v in IMAGE[t, n])) for t in range(M)]
    return put(folder / "a.csv", "x0,y0,x1,y1", *rows)


def pandas_index(folder):
    rows = [joined(t, *(cell(v, t, n) for n in range(N) for v in IMAGE[t, n])) for t in range(M)]
    return put(folder / "a.csv", ",x0,y0,x1,y1", *rows)


def pandas_names(folder):
    names = [f"{name}_{kind}" for name in NAMES for kind in ("x", "y", "likelihood")]
    return put(folder / "a.csv", "," + ",".join(names), *triples())


def triples(index=True):
    rows = [[*PIXELS[t, n], likelihood(t, n)] for t in range(M) for n in range(N)]
    rows = np.reshape(rows, (M, -1)).tolist()
    return [joined(*([t] if index else []), *row) for t, row in enumerate(rows)]


def deeplabcut(folder):
    """analyze_videos(..., save_as_csv=True)."""
    return put(
        folder / "a.csv",
        "scorer" + ",DLC_resnet50_reachJun4shuffle1_50000" * 6,
        "bodyparts,nose,nose,nose,tail,tail,tail",
        "coords,x,y,likelihood,x,y,likelihood",
        *triples(),
    )


def deeplabcut_of_animals(folder):
    """Four header rows: two animals of one body part each."""
    return put(
        folder / "a.csv",
        "scorer" + ",DLC_dlcrnetms5_pupsJun4shuffle1_50000_el" * 6,
        "individuals,nose,nose,nose,tail,tail,tail",
        "bodyparts" + ",back" * 6,
        "coords,x,y,likelihood,x,y,likelihood",
        *triples(),
    )


def deeplabcut_labels(folder):
    """CollectedData_<scorer>.csv: a picture's path in three cells, no likelihood."""
    rows = [
        joined(
            "labeled-data", "reach", f"img{40 * t:04}.png",
            *(cell(v, t, n) for n in range(N) for v in PIXELS[t, n]),
        )
        for t in range(M)
    ]  # fmt: skip
    heads = "scorer,,,me,me,me,me", "bodyparts,,,nose,nose,tail,tail", "coords,,,x,y,x,y"
    return put(folder / "a.csv", *heads, *rows)


def sleap(folder):
    """One row per instance; frames without one are left out, and so are lost nodes' numbers."""
    header = "track,frame_idx,instance.score,nose.x,nose.y,nose.score,tail.x,tail.y,tail.score"
    rows = []
    for t in range(M):
        nodes = [(*PIXELS[t, n], 0.5) if not LOST[t, n] else ("", "", "") for n in range(N)]
        rows.append(joined("", t, 0.93, *nodes[0], *nodes[1]))
    return put(folder / "a.csv", header, *rows)


def coco(folder):
    annotations = [
        {
            "id": 100 + t,
            "image_id": 9 - t,
            "category_id": 1,
            "keypoints": [
                v
                for n in range(N)
                for v in ((0, 0, 0) if LOST[t, n] else (*PIXELS[t, n].tolist(), 2 - n))
            ],
            "num_keypoints": int((~LOST[t]).sum()),
            "bbox": [0, 0, 5, 5],
        }
        for t in (3, 0, 5, 1, 4, 2)
    ]
    images = [
        {"id": 9 - t, "file_name": f"frame_{t + 7}.png", "height": 48, "width": 64}
        for t in range(M)
    ]
    categories = [{"id": 1, "name": "mouse", "keypoints": list(NAMES), "skeleton": [[1, 2]]}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return put(folder / "a.json", json.dumps(content))


def coco_results(folder):
    results = [
        {
            "image_id": t,
            "category_id": 1,
            "keypoints": np.where(LOST[t, :, None], 0, np.c_[PIXELS[t], [0.9, 0.8]])
            .ravel()
            .tolist(),
            "score": 0.9,
        }
        for t in range(M)
    ]
    return put(folder / "a.json", json.dumps(results))


def people(t):
    numbers = np.where(LOST[t, :, None], 0, np.c_[PIXELS[t], [0.9, 0.8]]).ravel().tolist()
    hands = {"hand_left_keypoints_2d": [], "hand_right_keypoints_2d": []}
    return {
        "version": 1.3,
        "people": [
            {"person_id": [-1], "pose_keypoints_2d": numbers, "face_keypoints_2d": [], **hands}
        ],
    }


def openpose(folder):
    for t in range(M):
        put(folder / f"reach_{t:012}_keypoints.json", json.dumps(people(t)))
    return folder


def openpose_list(folder):
    return put(folder / "a.json", json.dumps([people(t) for t in range(M)]))


def landmarks(t):
    return [
        {"x": x, "y": y, "z": -0.1, "visibility": likelihood(t, n)}
        for n, (x, y) in enumerate(FRACTIONS[t].tolist())
    ]


def mediapipe(folder):
    return put(folder / "a.json", json.dumps([landmarks(t) for t in range(M)]))


def mediapipe_frames(folder):
    frames = [{"frame": t, "pose_landmarks": [landmarks(t)]} for t in range(M)]
    return put(folder / "a.json", json.dumps({"frames": frames}))


def mediapipe_csv(header):
    def write(folder):
        numbers = [[*FRACTIONS[t, n], 0.1, likelihood(t, n)] for t in range(M) for n in range(N)]
        rows = np.reshape(numbers, (M, -1)).tolist()
        return put(folder / "a.csv", "class," + header, *(joined("wave", *row) for row in rows))

    return write


def mediapipe_long(folder):
    rows = [
        joined(t, ["NOSE", "TAIL"][n], *FRACTIONS[t, n], 0.1, likelihood(t, n))
        for t in range(M) for n in range(N)
    ]  # fmt: skip
    return put(folder / "a.csv", "frame,landmark,x,y,z,visibility", *rows)


def tapvid(folder, **arrays):
    arrays = arrays or {"tracks": PIXELS.transpose(1, 0, 2), "visibles": ~LOST.T}
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def tapvid_fractions(folder):
    tracks = FRACTIONS.transpose(1, 0, 2).astype(np.float32)
    return tapvid(folder, points=tracks, occluded=LOST.T)


KINDS = {
    "ours": (ours, "kpbook", None),
    "pandas, with its index": (pandas_index, "pandas", None),
    "pandas, names": (pandas_names, "pandas", NAMES),
    "DeepLabCut": (deeplabcut, "deeplabcut", NAMES),
    "DeepLabCut, animals": (deeplabcut_of_animals, "deeplabcut", ("nose/back", "tail/back")),
    "DeepLabCut, labels": (deeplabcut_labels, "deeplabcut", NAMES),
    "SLEAP": (sleap, "sleap", NAMES),
    "COCO": (coco, "coco", NAMES),
    "COCO, results": (coco_results, "coco", None),
    "OpenPose": (openpose, "openpose", None),
    "OpenPose, a list": (openpose_list, "openpose", None),
    "MediaPipe": (mediapipe, "mediapipe", None),
    "MediaPipe, frames": (mediapipe_frames, "mediapipe", None),
    "MediaPipe, x1": (mediapipe_csv("x1,y1,z1,v1,x2,y2,z2,v2"), "mediapipe", ("1", "2")),
    "MediaPipe, x_0": (mediapipe_csv("x_0,y_0,z_0,vis_0,x_1,y_1,z_1,vis_1"), "mediapipe", None),
    "MediaPipe, names": (
        mediapipe_csv("n_x,n_y,n_z,n_visibility,t_x,t_y,t_z,t_visibility"), "mediapipe", ("n", "t"),
    ),
    "MediaPipe, long": (mediapipe_long, "mediapipe", ("NOSE", "TAIL")),
    "TAP-Vid": (tapvid, "tapvid", None),
    "TAP-Vid, fractions": (tapvid_fractions, "tapvid", None),
}  # fmt: skip


@pytest.mark.parametrize(("write", "kind", "names"), KINDS.values(), ids=KINDS)
def test_every_format_gives_the_same_points(tmp_path, write, kind, names):
    # Catches: pixels for fractions, edges for centres, (y, x), a lost point at the corner.
    path = write(tmp_path)
    for options in ({}, {"frames": M}, {"format": kind}):
        found = read(path, image_size=SIZE, **options)
        np.testing.assert_array_equal(found.found, ~LOST)
        np.testing.assert_allclose(found.points[~LOST], IMAGE[~LOST], atol=1e-6)
        np.testing.assert_array_equal(found.points[LOST], 0)
        assert found.names == (names or ("0", "1"))
    assert found.points.dtype == np.float64


@pytest.mark.parametrize(("write", "kind", "names"), KINDS.values(), ids=KINDS)
def test_a_format_that_was_asked_for_and_is_not_there_is_an_error(tmp_path, write, kind, names):
    path = write(tmp_path)
    tables = {"kpbook", "pandas", "sleap", "mediapipe"}  # ways to read a table with names
    table = path.suffix == ".csv" and kind in tables
    for other in set(FORMATS) - (tables if table else {kind}):
        with pytest.raises(ValueError, match="expected"):
            read(path, image_size=SIZE, format=other)


@pytest.mark.parametrize("write", [deeplabcut, sleap, coco_results, mediapipe, tapvid, openpose])
def test_the_size_of_the_pictures_is_asked_for(tmp_path, write):
    with pytest.raises(ValueError, match=r"image_size: got None, expected \(height, width\)"):
        read(write(tmp_path))


def test_a_file_that_knows_its_pictures_needs_no_size(tmp_path):
    np.testing.assert_allclose(read(coco(tmp_path)).points[~LOST], IMAGE[~LOST])


def test_a_size_that_does_not_fit_is_noticed(tmp_path):
    with pytest.warns(UserWarning, match=r"image_size: got \(16, 16\), and \d+% of the points out"):
        read(deeplabcut(tmp_path), image_size=(16, 16))


# -- options -----------------------------------------------------------------------------------


def test_a_threshold_of_ones_own(tmp_path):
    path = deeplabcut(tmp_path)
    assert read(path, image_size=SIZE, threshold=0.01).found.all()
    np.testing.assert_array_equal(
        read(path, image_size=SIZE, threshold=0.905).found, ~LOST & [False, True]
    )
    seen_only = read(coco(tmp_path), threshold=2).found  # v = 1: labelled, but hidden
    np.testing.assert_array_equal(seen_only, ~LOST & [True, False])


def test_a_likelihood_of_0_is_no_point_whatever_the_threshold(tmp_path):
    path = put(tmp_path / "a.csv", "a_x,a_y,a_likelihood", "9,9,0", "9,9,0.5", "9,9,")
    assert read(path, image_size=SIZE, threshold=0).found.ravel().tolist() == [False, True, True]


def test_one_individual_of_several(tmp_path):
    path = deeplabcut_of_animals(tmp_path)
    tail = read(path, image_size=SIZE, individual="tail")
    assert tail.names == ("back",)
    np.testing.assert_allclose(tail.points[:, 0][~LOST[:, 1]], IMAGE[:, 1][~LOST[:, 1]])
    with pytest.raises(ValueError, match=r"individual of a.csv: got 'tial'.*'nose', 'tail'.*mean"):
        read(path, image_size=SIZE, individual="tial")


def test_an_individual_of_a_file_that_names_none(tmp_path):
    with pytest.raises(ValueError, match=r"individual of a\.csv: got 'a'.*names no individuals"):
        read(deeplabcut(tmp_path), image_size=SIZE, individual="a")


def test_people_without_a_name_are_told_apart_by_their_order(tmp_path):
    second = people(0)
    second["people"].append({"pose_keypoints_2d": [1, 2, 0.5, 3, 4, 0.5]})
    empty = {"version": 1.3, "people": []}
    path = put(tmp_path / "a.json", json.dumps([people(1), empty, second]))
    found = read(path, image_size=SIZE)
    assert found.names == ("0/0", "0/1", "1/0", "1/1")
    assert found.found.tolist() == [[True, True, False, False], [False] * 4, [True] * 4]
    one = read(path, image_size=SIZE, individual=1)
    np.testing.assert_allclose(one.points[2], from_pixels(np.array([[1.0, 2], [3, 4]]), SIZE))


def test_tracks_are_individuals(tmp_path):
    header = "track,frame_idx,instance.score,nose.x,nose.y,nose.score"
    rows = "mouse_1,0,.9,9,9,.9", "mouse_2,0,.9,8,8,.9", "mouse_2,2,.9,7,7,.9", "mouse_1,2,.9,6,6,"
    found = read(put(tmp_path / "a.csv", header, *rows), 4, image_size=SIZE)
    assert found.names == ("mouse_1/nose", "mouse_2/nose")
    assert found.found.tolist() == [[True, True], [False, False], [True, True], [False, False]]


def test_categories_are_individuals_if_there_are_several(tmp_path):
    annotations = [
        {"image_id": 1, "category_id": c, "keypoints": [9.0 + c, 9.0, 2]} for c in (1, 2)
    ]
    categories = [{"id": c, "name": n, "keypoints": ["top"]} for c, n in ((1, "cube"), (2, "hand"))]
    content = {"annotations": annotations, "categories": categories}
    found = read(put(tmp_path / "a.json", json.dumps(content)), 3, image_size=SIZE)
    assert found.names == ("cube/top", "hand/top")
    assert found.found.tolist() == [[False, False], [True, True], [False, False]]


@pytest.mark.parametrize("write", [sleap, coco_results, openpose, mediapipe_frames])
def test_frames_that_a_file_leaves_out_have_no_points(tmp_path, write):  # catches: later ones slip
    path = write(tmp_path)
    if path.is_dir():
        (path / "reach_000000000003_keypoints.json").unlink()
    elif path.suffix == ".csv":
        put(path, *[x for x in path.read_text().splitlines() if not x.startswith(",3,")])
    else:
        content = json.loads(path.read_text())
        listed = content["frames"] if isinstance(content, dict) else content
        del listed[3]
        put(path, json.dumps(content))
    for frames in (None, M, M + 2):
        found = read(path, frames, image_size=SIZE)
        assert len(found) == (frames or M)
        assert not found.found[3].any()
        assert not found.found[M:].any()
        left = [0, 1, 2, 4, 5]
        np.testing.assert_array_equal(found.found[left], ~LOST[left])
        np.testing.assert_allclose(found.points[4, 1], IMAGE[4, 1])


def test_frames_that_are_counted_from_1(tmp_path):
    lines = sleap(tmp_path).read_text().splitlines()
    late = [lines[0], *(x.replace(f",{t},", f",{t + 1},", 1) for t, x in enumerate(lines[1:]))]
    path = put(tmp_path / "b.csv", *late)
    np.testing.assert_array_equal(read(path, M, image_size=SIZE, first_frame=1).found, ~LOST)
    with pytest.raises(
        ValueError, match=r"b.csv, line 7: got frame 6, expected .* 0 to 5.*first_f"
    ):
        read(path, M, image_size=SIZE)
    with pytest.raises(ValueError, match=r"a\.csv, line 2: got frame 0, expected .* 1 to 6\."):
        read(tmp_path / "a.csv", M, image_size=SIZE, first_frame=1)


def test_where_the_first_pixel_is(tmp_path):
    path = tapvid(tmp_path, tracks=PIXELS.transpose(1, 0, 2) + 0.5)
    found = read(path, image_size=SIZE, first_pixel=0.5)
    np.testing.assert_allclose(found.points, IMAGE)


def test_tracks_with_time_first_are_told_by_the_number_of_frames(tmp_path):
    path = tapvid(tmp_path, tracks=PIXELS, visibility=~LOST)
    np.testing.assert_allclose(read(path, M, image_size=SIZE).points[~LOST], IMAGE[~LOST])


def test_units_that_are_said(tmp_path):
    path = put(tmp_path / "a.csv", "a_x,a_y", "0.5,0.25")
    np.testing.assert_allclose(read(path).points, [[[0.5, 0.25]]])
    edges = read(path, image_size=SIZE, units="fraction").points
    np.testing.assert_allclose(edges, from_pixels(np.array([[[31.5, 11.5]]]), SIZE))
    pixels = read(path, image_size=SIZE, units="pixels").points
    np.testing.assert_allclose(pixels, from_pixels(np.array([[[0.5, 0.25]]]), SIZE))
    wide = put(tmp_path / "b.csv", "a_x,a_y,a_z,a_visibility", "30,20,0,1")
    with pytest.raises(ValueError, match=r"numbers beyond 4, expected fractions.*units='pixels'"):
        read(wide, image_size=SIZE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frames": 0}, ValueError, "frames: got 0, expected at least 1"),
        ({"frames": 6.0}, TypeError, "frames: got 6.0"),
        ({"format": "dlc"}, ValueError, "format: got 'dlc', expected one of 'kpbook', 'pandas'"),
        ({"units": "px"}, ValueError, "units: got 'px', expected one of 'image', 'pixels'"),
        ({"threshold": "0.6"}, TypeError, "threshold: got '0.6', expected a number"),
        ({"threshold": -0.1}, ValueError, "threshold: got -0.1, expected a finite number, at l"),
        ({"threshold": np.nan}, ValueError, "threshold: got nan"),
        ({"image_size": "48x64"}, TypeError, "image_size: got '48x64'"),
        ({"image_size": (48, 64, 3)}, ValueError, "image_size: got"),
        ({"individual": 0.5}, TypeError, "individual: got 0.5, expected a name or a number"),
        ({"first_frame": -1}, ValueError, "first_frame: got -1"),
    ],
)
def test_options_out_of_range(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        read(deeplabcut(tmp_path), **{"image_size": SIZE, **options})


def test_numpy_integers_are_integers(tmp_path):
    size = (np.int64(48), np.int32(64))
    found = read(deeplabcut(tmp_path), np.int64(M), image_size=size, first_frame=np.uint8(0))
    np.testing.assert_array_equal(found.found, ~LOST)


# -- what is said of files ---------------------------------------------------------------------

HEAD = "scorer,s,s,s\nbodyparts,a,a,a\ncoords,x,y,likelihood\n"
SLEAP = "track,frame_idx,instance.score,a.x,a.y,a.score\n"
TEXT = {
    "nothing": ("a.csv", "", r"a\.csv: got header '', expected one of: CSV .* DeepLabCut.*TAP-Vid"),
    "words": ("a.txt", "hello\nworld\n", "a.txt: got header 'hello', expected one of"),
    "a stray quote": ("a.csv", 'x0,y0\n1,2\n"1,2\n1,2\n', r"csv, line 3: got '\"1,2'.*stray"),
    "a quote within": ("a.csv", 'x0,y0\n1,2\n1,"2"x\n', "a.csv, line 3: got"),
    "a quote in the header": ("a.csv", '"x0,y0\n1,2\n', "a.csv, line 1: got"),
    "semicolons": ("a.csv", "a_x;a_y\n0,5;0,5\n", "commas, not by semicolons, and write 0.5"),
    "tabs": ("a.csv", "a_x\ta_y\n1\t2\n", "commas, not by tabs"),
    "decimal commas": ("a.csv", "x0,y0\n0,5,0,5\n", "line 2: got '0,5,0,5', expected 2 finite num"),
    "a short row of a name": ("a.csv", HEAD + "frame\n0,1,2,1\n", "line 4: got 'frame', expec"),
    "a short row": ("a.csv", ",a_x,a_y\n0,1,2\n1,1\n", "line 3: got '1,1', expected 3 cells"),
    "a word": ("a.csv", HEAD + "0,1,b,1\n", "a.csv, line 4: got '0,1,b,1'"),
    "1_000": ("a.csv", "x0,y0\n1_0,2\n", "line 2: got '1_0,2'"),
    "infinite": (
        "a.csv", HEAD + "0,1,2,1\n1,inf,2,1\n",
        "a.csv, line 5: got '1,inf,2,1', expected finite numbers. inf is no place",
    ),
    "minus infinite": ("a.csv", "a_x,a_y\n-inf,1e999\n", "line 2: got '-inf,.* inf is no place"),
    "half a point": ("a.csv", HEAD + "0,1,,1\n", "a.csv, line 4: got '0,1,,1'.*or both of its"),
    "a name twice": ("a.csv", "x0,y0,x0,y0\n1,2,3,4\n", "a.csv: got a header with 'x0' 2 times"),
    "a name twice, as pandas reads it": (
        "a.csv", "nose_x,nose_y,nose_x.1,nose_y.1\n1,2,3,4\n", "a header with 'nose_x' 2 times",
    ),
    "a number twice, as pandas reads it": (
        "a.csv", "x0,y0,x0.1,y0.1\n1,2,3,4\n", "a header with 'x0' 2 times",
    ),
    "x twice, as pandas reads it": ("a.csv", "x,y,x.1,y.1\n1,2,3,4\n", "header with 'x' 2 times"),
    "a part twice, as pandas reads it": (
        "a.csv", "scorer,s,s,s,s\nbodyparts,a,a,a,a\ncoords,x,y,x.1,y.1\n0,1,2,3,4\n",
        "got 'a' x twice in the header",
    ),
    "a part twice": (
        "a.csv", "scorer,s,s,s,s\nbodyparts,a,a,a,a\ncoords,x,y,x,y\n0,1,2,3,4\n",
        "got 'a' x twice in the header",
    ),
    "y first": ("a.csv", "a_y,a_x\n1,2\n", "got header 'a_y,a_x' with no x before the y of"),
    "no y": ("a.csv", "a_x,b_x,b_y\n1,2,3\n", "no x before the y of 'a'"),
    "no rows": ("a.csv", "x0,y0\n", "a.csv: got 0 rows"),
    "no rows of DeepLabCut's": ("a.csv", HEAD, "a.csv: got 0 rows"),
    "header rows of two lengths": (
        "a.csv", "scorer,s,s\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,1\n", "of one length",
    ),
    "no coords": ("a.csv", "scorer,s,s\nbodyparts,a,a\n0,1,2\n", "got header rows scorer, body"),
    "a frame twice": (
        "a.csv", ",x0,y0\n0,1,2\n1,1,2\n0,2,2\n",
        r"line 4: got frame 0 again, after a\.csv, line 2, .*reset_index",
    ),
    "a track twice": (
        "a.csv", SLEAP + "m,0,1,1,2,1\nm,0,1,3,4,1\n", "line 3: got frame 0 of 'm' again",
    ),
    "a frame that is none": ("a.csv", SLEAP + "m,one,1,1,2,1\n", "line 2: got frame 'one'"),
    "a frame before the first": (
        "a.csv", SLEAP + "m,-1,1,1,2,1\n", "line 2: got frame -1, expected a frame from 0 on",
    ),
    "a huge frame": ("a.csv", SLEAP + "m,99999999999,1,1,2,1\n", "numbers up to 99999999999 for 1"),
    "a landmark twice": (
        "a.csv", "frame,landmark,x,y,z\n0,a,0,0,0\n0,a,1,1,1\n", "line 3: got landmark 'a' of",
    ),
    "JSON cut short": ("a.json", '[{"image_id": 1,\n"keypoints": [1', "json, line 2: got broken"),
    "JSON of nothing": ("a.json", "[]", "a.json: got a list of 0 without landmarks, exp"),
    "JSON of something": ("a.json", '{"a": 1}', "a.json: got JSON with keys a, expected one of"),
    "JSON of numbers": ("a.json", "[1, 2]", "a list of 2 without landmarks"),
    "JSON without end": ("a.json", "[" * 100_000, "a.json.*got .*JSON"),
    "nobody": ("a.json", '[{"people": []}]', "a.json: got nobody in any frame"),
    "no people": ("a.json", '[{"people": null}]', "a.json, frame 0: got JSON without people"),
    "pairs": (
        "a.json", '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
        "frame 0, person 0: got pose_keypoints_2d of 2 numbers, expected three",
    ),
    "no list": ("a.json", '{"people": [{"pose_keypoints_2d": "1"}]}', "person 0: got pose_keypoi"),
    "words in JSON": (
        "a.json", '[{"image_id": 1, "keypoints": [1, "2", 2]}]', "annotation 0: got '2', expe",
    ),
    "infinity in JSON": (
        "a.json", '[{"image_id": 1, "keypoints": [1, Infinity, 2]}]', "annotation 0: got 'inf'",
    ),
    "a huge number in JSON": (
        "a.json", '[{"image_id": 1, "keypoints": [1, 1%s, 2]}]' % ("0" * 400), "annotation 0: got",
    ),
    "half a point in JSON": (
        "a.json", '[{"image_id": 1, "keypoints": [1, NaN, 2]}]', r"annotation 0: got \(1, nan\)",
    ),
    "an image that is not there": (
        "a.json",
        '{"images": [{"id": 1}], "annotations": [{"image_id": 2, "keypoints": [1, 1, 2]}]}',
        "annotation 0: got image_id 2, expected the id of one of the images",
    ),
    "an image without a number": (
        "a.json", '[{"image_id": "a.png", "keypoints": [1, 1, 2]}]', "annotation 0: got image",
    ),
    "a landmark without y": ("a.json", '[[{"x": 1}]]', "frame 0: got .* for a landmark"),
    "a landmark of words": ("a.json", '[[{"x": "1", "y": 1}]]', "frame 0: got '1', expected"),
    "HDF5": ("a.h5", b"\x89HDF\r\n\x1a\n00", "got HDF5, expected CSV.*save_as_csv.*Analysis CSV"),
    "a pickle": ("a.pkl", b"\x80\x04\x95\x00", "a.pkl: got a pickle, expected an npz"),
    "UTF-16": ("a.csv", "x0,y0\n1,2\n".encode("utf-16"), r"a\.csv: got bytes that are no UTF-8"),
    "Latin-1": ("a.csv", "ä_x,ä_y\n1,2\n".encode("latin-1"), "got bytes that are no UTF-8"),
    "no zip": ("a.npz", b"PK\x03\x04 and then nothing", r"a\.npz: got a broken npz"),
}  # fmt: skip


NAMED = {  # columns of several header rows, and an index with a name: pandas gives that a row
    "three rows": (HEAD, ["frame,,,", "0,10,10,1", "1,20,20,1"], 2),
    "four rows": (
        HEAD.replace("bodyparts", "individuals,i,i,i\nbodyparts"),
        ["frame,,,", "0,10,10,1", "1,20,20,1"], 2,
    ),
    "a name with a number": (HEAD, ["level_0,,,", "0,10,10,1", "1,20,20,1"], 2),
    "lost in the first frame": (HEAD, ["frame,,,", "0,,,", "1,20,20,1"], 2),
    "no name, lost in the first frame": (HEAD, ["0,,,", "1,20,20,1"], 2),
    "no name, lost in two": (HEAD, ["img0.png,,,", "img1.png,,,", "img2.png,20,20,1"], 3),
    "a path, lost in the first": (HEAD, ["labeled-data/v/img.png,,,", "v/b.png,20,20,1"], 2),
    "frames' names, lost in the first": (HEAD, ["img0,,,", "img1,20,20,1"], 2),
    "seconds, lost in the first frame": (HEAD, ["0.5,,,", "1.0,20,20,1"], 2),
    "a name above seconds": (HEAD, ["t,,,", "0.0,10,10,1", "0.5,20,20,1"], 2),
    "a path of three cells, lost in the first": (
        "scorer,,,me,me\nbodyparts,,,a,a\ncoords,,,x,y\n",
        ["labeled-data,v,img0.png,,", "labeled-data,v,img1.png,20,20"], 2,
    ),
    "a name for each of three cells": (
        "scorer,,,me,me\nbodyparts,,,a,a\ncoords,,,x,y\n",
        ["set,video,image,,", "labeled-data,v,img0.png,,", "labeled-data,v,img1.png,20,20"], 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("head", "rows", "frames"), NAMED.values(), ids=NAMED)
def test_the_name_of_an_index_is_no_frame(tmp_path, head, rows, frames):  # catches: later ones slip
    found = read(put(tmp_path / "a.csv", head + "\n".join(rows)), image_size=SIZE)
    assert len(found) == frames
    last = from_pixels(np.array([20.0, 20.0]), SIZE)
    np.testing.assert_allclose(found.points[-1, 0], last)
    assert found.found[0, 0] == rows[-frames].endswith("1")


@pytest.mark.parametrize(
    "word",
    [
        "", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "null", "None", "n/a",
        "nan", "NaN", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
    ],
)  # fmt: skip
def test_what_pandas_takes_for_missing_is_no_point(tmp_path, word):
    path = put(tmp_path / "a.csv", HEAD + f"0,{word},{word},{word}", "1,20,20,1")
    assert read(path, image_size=SIZE).found.ravel().tolist() == [False, True]


def test_names_with_dots_and_an_index_twice_are_no_doubles(tmp_path):
    header = "Unnamed: 0.1,Unnamed: 0,nose.x,nose.y,nose.1.x,nose.1.y,x.1,y.1"
    path = put(tmp_path / "a.csv", header, "0,0,.1,.2,.3,.4,.5,.6")
    found = read(path, format="pandas")
    assert found.names == ("nose", "nose.1", "1")
    np.testing.assert_allclose(found.points.ravel(), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


HAND = [{"x": 0.5, "y": 0.25, "z": 0.0, "visibility": 0.0}]
UNSEEN = {
    "JSON": ("a.json", json.dumps([[], HAND, HAND])),
    "CSV": ("a.csv", "x0,y0,z0,visibility0\n,,,\n0.5,0.25,0,0\n0.5,0.25,0,0.0\n"),
    "CSV, long": (
        "a.csv",
        "frame,landmark,x,y,z,visibility\n0,a,,,,0\n1,a,0.5,0.25,0,0\n"
        "1,b,0.5,0.25,0,0\n2,a,0.5,0.25,0,0\n",
    ),
}


@pytest.mark.parametrize(("name", "content"), UNSEEN.values(), ids=UNSEEN)
def test_a_visibility_that_nobody_filled_is_ignored_with_a_warning(tmp_path, name, content):
    path = put(tmp_path / name, content)
    with pytest.warns(UserWarning, match=rf"{name}: got visibility 0 everywhere") as warned:
        found = read(path, image_size=SIZE)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert found.found[:, 0].tolist() == [False, True, True]
    place = from_pixels(np.array([31.5, 11.5]), SIZE)
    np.testing.assert_allclose(found.points[1:, 0], [place, place], atol=1e-9)


def test_a_visibility_of_0_counts_where_others_do_not(tmp_path):  # and no warning
    content = [HAND, [HAND[0] | {"visibility": 0.9}]]
    found = read(put(tmp_path / "a.json", json.dumps(content)), image_size=SIZE)
    assert found.found.ravel().tolist() == [False, True]


def test_zeros_for_lost_points_are_kept_with_a_warning(tmp_path):
    rows = "0,0,40,9", "0,0,0,0", "0,0,0,0", "20,9,30,9"  # pixels, though most are 0
    path = put(tmp_path / "a.csv", "a_x,a_y,b_x,b_y", *rows)
    message = r"a\.csv: got \(0, 0\) 5 times for 'a', 'b', .* empty their cells"
    with pytest.warns(UserWarning, match=message) as warned:
        found = read(path, image_size=SIZE)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert found.found.all()
    pixels = np.array([[0.0, 0], [40, 9]])
    np.testing.assert_allclose(found.points[0], from_pixels(pixels, SIZE))


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("a_x,a_y", ["0,0", "3,2", "9,8"]),  # it comes from the corner
        ("a_x,a_y", ["0,0", "0,0"]),  # it never leaves it
        ("a_x,a_y,a_likelihood", ["0,0,0.9", "9,8,0.9"]),  # somebody is sure of it
        ("a_x,a_y", ["0,9", "9,0"]),  # at the edge
    ],
)
def test_zeros_that_may_be_places_give_no_warning(tmp_path, header, rows):
    path = put(tmp_path / "a.csv", header, *rows)
    assert read(path, image_size=SIZE, units="pixels").found.all()


@pytest.mark.parametrize(("name", "content", "message"), TEXT.values(), ids=TEXT)
def test_a_file_that_does_not_fit_names_the_place(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        read(path, image_size=SIZE)


ARRAYS = {
    "objects": ({"tracks": np.array([[1, "a"]], dtype=object)}, "arrays of Python objects"),
    "other names": ({"a": np.zeros(3)}, "got arrays a, expected 'tracks'"),
    "flat": (
        {"tracks": np.zeros((3, 4))},
        r"tracks of shape \(3, 4\), dtype float64, expected numb",
    ),
    "3-D": ({"tracks": np.zeros((3, 4, 3))}, r"tracks of shape \(3, 4, 3\)"),
    "words": ({"tracks": np.full((3, 4, 2), "a")}, "dtype <U1"),
    "other flags": (
        {"tracks": np.zeros((3, 4, 2)), "visibles": np.ones((4, 3), dtype=bool)},
        r"visibles of shape \(4, 3\), dtype bool, expected flags \(3, 4\)",
    ),
    "logits": (
        {"tracks": np.zeros((3, 4, 2)), "occluded": np.full((3, 4), -3.0)},
        "occluded from -3 to -3, expected flags.*sigmoid",
    ),
    "infinite": ({"tracks": np.full((3, 4, 2), np.inf)}, r"frame 0: got \(inf, inf\) for '0'"),
}


@pytest.mark.parametrize(("arrays", "message"), ARRAYS.values(), ids=ARRAYS)
def test_tracks_that_do_not_fit(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        read(tapvid(tmp_path, **arrays), image_size=SIZE)


def test_an_npz_that_was_cut_short_anywhere(tmp_path):
    whole = tapvid(tmp_path).read_bytes()
    for end in range(4, len(whole) - 1, 37):
        (tmp_path / "b.npz").write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"b\.npz: got"):
            read(tmp_path / "b.npz", image_size=SIZE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tracks.npy", b"no npy", r"tracks of shape \(\)"),
        ("visibles.npy", b"no npy", r"visibles of shape \(\)"),
        ("tracks.npy", b"\x93NUMPY\x01\x00\x02\x00{\n", "a broken npz"),
    ],
)
def test_an_npz_of_other_bytes(tmp_path, name, content, message):
    with zipfile.ZipFile(tapvid(tmp_path)) as whole:
        parts = {part: whole.read(part) for part in whole.namelist()} | {name: content}
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        for part, part_content in parts.items():
            file.writestr(part, part_content)
    with pytest.raises(ValueError, match=rf"b\.npz: got {message}"):
        read(tmp_path / "b.npz", image_size=SIZE)


def test_a_folder_among_the_files_of_a_folder(tmp_path):
    (tmp_path / "reach_000000000009_keypoints.json").mkdir()
    with pytest.raises(ValueError, match="a folder without JSON files"):
        read(tmp_path)
    np.testing.assert_array_equal(read(openpose(tmp_path), image_size=SIZE).found, ~LOST)


def test_rows_of_another_recording(tmp_path):
    for write in (ours, pandas_index, deeplabcut, tapvid, mediapipe, openpose_list):
        with pytest.raises(ValueError, match=r"got 6 rows, expected 7.*episodes\.flat"):
            read(write(tmp_path), M + 1, image_size=SIZE)


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file, expected a file of keypoints"):
        read(tmp_path / "b.csv")
    for name in ("b" * 5000, "b\0.csv"):
        with pytest.raises(FileNotFoundError, match="no such file, expected a file of keypoints"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=r"a folder without JSON files.*_keypoints\.json"):
        read(tmp_path)
    with pytest.raises(TypeError, match="path: got 7, expected a file's name"):
        read(7)


def trees(x, path=()):
    """Paths to all values of a JSON document."""
    yield path
    inner = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ()
    for key, value in inner:
        yield from trees(value, (*path, key))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", [coco, coco_results, openpose_list, mediapipe, mediapipe_frames])
@pytest.mark.parametrize("odd", [None, True, -1, 10**30, 1e308, "a", [], {}, [[]], [{}], {"a": 1}])
def test_an_odd_value_anywhere_is_an_error_or_no_harm(tmp_path, write, odd):  # catches: KeyError
    path = write(tmp_path)
    whole = path.read_text()
    for place in [p for p in trees(json.loads(whole)) if p][::3]:
        content = json.loads(whole)
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = odd
        put(path, json.dumps(content))
        said = ": got "
        try:
            assert np.isfinite(read(path, image_size=SIZE).points).all()
        except ValueError as error:
            said = str(error)
        assert ": got " in said


# -- Points ------------------------------------------------------------------------------------


def test_points_of_ones_own_are_copied_and_filled():
    z, found = np.where(LOST[..., None], np.nan, IMAGE), ~LOST
    points = Points(z, found, NAMES)
    z[:], found[:] = 0, True
    np.testing.assert_array_equal(points.found, ~LOST)
    np.testing.assert_array_equal(points.points, np.where(LOST[..., None], 0, IMAGE))
    assert "nose, tail; 75.0% found" in repr(points)
    assert Points(IMAGE).found.all()
    assert Points(IMAGE).names == ("0", "1")


def test_points_are_an_array_only_if_none_is_missing():
    np.testing.assert_array_equal(np.asarray(Points(IMAGE)), IMAGE)
    with pytest.raises(
        ValueError, match=r"Points: got 25\.0% of the points missing.*found=\.found"
    ):
        np.asarray(Points(IMAGE, ~LOST))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((IMAGE[0],), ValueError, r"points: got shape \(2, 2\), expected \(M, N, 2\)"),
        ((None,), TypeError, r"points: got None, expected \(M, N, 2\) numbers"),
        ((IMAGE, LOST[0]), ValueError, r"found: got shape \(2,\), expected \(6, 2\)"),
        ((IMAGE, LOST * 0.5), TypeError, "found: got dtype float64, expected True and False"),
        ((IMAGE, ~LOST, ("a",)), ValueError, r"names: got \('a',\), expected 2 names"),
        (
            (np.where(LOST[..., None], np.nan, IMAGE),),
            ValueError,
            "points: .*NaN.*with found, not w",
        ),
        ((np.ma.masked_greater(IMAGE, 0),), ValueError, "points: got a masked array"),
    ],
)
def test_points_that_do_not_fit(given, error, message):
    with pytest.raises(error, match=message):
        Points(*given)


def test_the_judge_has_the_same_door():
    assert judge.read_points.__module__ == "kpbook.points.read"
    assert judge.Points is Points
