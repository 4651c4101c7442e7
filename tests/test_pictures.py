"""A reader's own picture files: depth of colour, pages, orientation, order, broken ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kpbook.episodes import Episodes

H, W = 6, 8


def read(source) -> np.ndarray:
    """(T, H, W, 3)"""
    return Episodes.from_frames(source).images[0, :, 0]


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)


def plain(level: int, size=(W, H), mode="RGB") -> Image.Image:
    return Image.new(mode, size, (level, 0, 0) if mode == "RGB" else level)


def png_16(path: Path, pixels: np.ndarray) -> Path:
    """A PNG of 16 bits a colour, (H, W) or (H, W, C), written by hand."""
    h, w = pixels.shape[:2]
    kind = {2: 0, 3: {2: 4, 3: 2, 4: 6}.get(pixels.shape[-1])}[pixels.ndim]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def tiff_16(path: Path, *planes: np.ndarray, ink: int) -> Path:
    """A TIFF of 16 bits, one plane (H, W) a colour, written by hand; ink 0: white is 0."""
    data = [plane.astype("<u2").tobytes() for plane in planes]
    n, size = len(planes), len(data[0])
    starts = [8 + k * size for k in range(n)]
    end = 8 + n * size
    lists = [[16] * n, starts, [size] * n]  # 6 + 12 + 12 bytes where there are three planes
    at = [end, end + 8, end + 20] if n > 1 else [v[0] for v in lists]
    packed = b"".join(np.array(v, "<u4").tobytes() for v in lists[1:])
    tail = np.array(lists[0] + [0], "<u2").tobytes() + packed if n > 1 else b""
    h, w = planes[0].shape
    tags = [(256, 4, 1, w), (257, 4, 1, h), (258, 3, n, at[0]), (259, 3, 1, 1), (262, 3, 1, ink),
            (273, 4, n, at[1]), (277, 3, 1, n), (278, 4, 1, h), (279, 4, n, at[2]),
            (284, 3, 1, 1 + (n > 1))]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", end + len(tail))
    path.write_bytes(head + b"".join(data) + tail + struct.pack("<H", len(tags)) + body + b"\0" * 4)
    return path


# -- depth of colour ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_is_divided_by_257_and_rounded(tmp_path, suffix):
    """catches: Pillow's clip at 255; a shift by 8 bits, which never rounds up"""
    grey = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    grey[0, :4] = [0, 128, 129, 65535]
    Image.fromarray(grey).save(path := tmp_path / f"a.{suffix}")
    expected = np.repeat(np.round(grey / 257)[..., None], 3, axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(read(path)[0], expected)


def test_grey_of_16_bits_the_other_way_round(tmp_path):  # catches: bytes swapped
    grey = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    big = Image.frombytes("I;16B", (W, H), grey.astype(">u2").tobytes())
    big.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0, ..., 1], np.round(grey / 257))
    np.testing.assert_array_equal(
        read(png_16(tmp_path / "b.png", grey))[0, ..., 2], np.round(grey / 257)
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_of_16_bits_is_refused_by_the_files_name(tmp_path, channels):
    """catches: Pillow's silent drop of the low byte"""
    pixels = np.full((H, W, channels), 0x80FF, np.uint16)
    with pytest.raises(TypeError, match=r"frames: got more than 8 bits .*a\.png.*imageio"):
        read(png_16(tmp_path / "a.png", pixels))


def test_colours_of_16_bits_that_lie_apart_are_refused(tmp_path):  # catches: read as 8 bits
    path = tiff_16(tmp_path / "apart.tif", *np.arange(3 * H * W).reshape(3, H, W), ink=2)
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (W, H))
    with pytest.raises(TypeError, match=r"more than 8 bits a colour in .*apart\.tif"):
        read(path)


@pytest.mark.parametrize("ink", [0, 1])
def test_grey_of_16_bits_may_say_that_0_is_white(tmp_path, ink):
    grey = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    path = tiff_16(tmp_path / "a.tif", grey, ink=ink)
    expected = np.round((grey if ink else 65535 - grey.astype(int)) / 257)
    np.testing.assert_array_equal(read(path)[0, ..., 0], expected)


def test_grey_of_16_bits_is_white_where_it_is_transparent(tmp_path):
    grey = np.array([[0, 257, 514]], dtype=np.uint16)
    Image.fromarray(grey).save(path := tmp_path / "a.png", transparency=257)
    assert read(path)[0, 0, :, 0].tolist() == [0, 255, 2]


def test_a_tiff_of_an_unknown_kind_is_told_what_to_do(tmp_path):
    path = tiff_16(tmp_path / "odd.tif", np.zeros((H, W)), ink=99)
    with pytest.raises(ValueError, match=r"odd\.tif.*A TIFF of floats.*imageio"):
        read(path)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_floats_and_long_integers_have_no_scale(tmp_path, dtype):
    Image.fromarray(np.full((H, W), 300, dtype)).save(tmp_path / "a.tif")
    with pytest.raises(TypeError, match=r"frames: got more than 8 bits a colour in .*a\.tif"):
        read([tmp_path / "a.tif"])


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, bool])
def test_arrays_of_other_types_are_refused_alone_and_in_a_list(dtype):
    frames = np.zeros((3, H, W, 3), dtype)
    for source in (frames, list(frames), [noise(H, W), frames[0]]):
        with pytest.raises(TypeError, match=r"frames: got dtype .*expected uint8.*257"):
            Episodes.from_frames(source)


def test_pictures_of_few_colours_are_what_a_viewer_shows(tmp_path):
    rgb = noise(H, W)
    rgb[..., 1:] = 0
    Image.fromarray(rgb).quantize(256).save(tmp_path / "palette.png")
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(rgb[..., 0] > 127).save(tmp_path / "bits.png")
    Image.new("CMYK", (W, H), (0, 255, 255, 0)).save(tmp_path / "ink.tif")
    np.testing.assert_array_equal(read(tmp_path / "palette.png")[0], rgb)
    np.testing.assert_array_equal(read(tmp_path / "grey.png")[0, ..., 2], rgb[..., 0])
    np.testing.assert_array_equal(read(tmp_path / "bits.png")[0, ..., 1], 255 * (rgb[..., 0] > 127))
    np.testing.assert_array_equal(read(tmp_path / "ink.tif")[0, 0, 0], [255, 0, 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_laid_over_white(tmp_path, mode):
    """catches: the colour that hides under a pixel that nobody sees"""
    picture = Image.new("RGBA", (W, H), (10, 10, 10, 255))
    picture.putpixel((0, 0), (10, 10, 10, 0))
    if mode == "P":
        picture = Image.new("P", (W, H), 1)
        picture.putpalette([200, 0, 0, 10, 10, 10])
        picture.putpixel((0, 0), 0)
        picture.info["transparency"] = 0
    picture.convert(mode).save(tmp_path / "a.png")
    seen = read(tmp_path / "a.png")[0]
    np.testing.assert_array_equal(seen[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(seen[1, 1], [10, 10, 10])


# -- pages and orientation ---------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_picture_is_turned_as_its_camera_was_held(tmp_path, orientation, suffix):
    rows, columns = np.mgrid[:16, :24]
    upright = np.stack([rows * 12, columns * 8, 0 * rows], axis=-1).astype(np.uint8)
    turns = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: lambda x: np.rot90(x, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    options |= {"lossless": True} if suffix == "webp" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    seen = read(tmp_path / f"a.{suffix}")
    assert seen.shape == (1, 16, 24, 3)
    assert np.abs(seen[0].astype(int) - upright).max() < 8


def film(path: Path, levels=(0, 60, 120), size=(W, H)) -> Path:
    first, *rest = (plain(level, size) for level in levels)
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_a_film_alone_is_all_its_pictures_and_one_among_others(tmp_path, suffix):
    path = film(tmp_path / f"1.{suffix}")
    np.testing.assert_array_equal(read(path)[:, 0, 0, 0], [0, 60, 120])
    plain(30).save(tmp_path / "0.png")
    plain(90).save(tmp_path / "2.png")
    np.testing.assert_array_equal(read(tmp_path)[:, 0, 0, 0], [30, 0, 90])
    np.testing.assert_array_equal(read([path, tmp_path / "2.png"])[:, 0, 0, 0], [0, 90])


def test_a_jpeg_with_a_preview_is_one_picture(tmp_path):  # catches: MPO read as a film
    plain(200).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[plain(20, (4, 4))], quality=95
    )
    assert read(tmp_path / "a.jpg").shape == read([tmp_path / "a.jpg"]).shape == (1, H, W, 3)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_file_of_another_size_is_named_behind_a_film(tmp_path, suffix):
    """catches: names counted by files where pictures are counted"""
    files = [film(tmp_path / f"0.{suffix}"), tmp_path / "1.png", tmp_path / "2.png"]
    plain(1).save(files[1])
    plain(1, (4, 4)).save(files[2])
    for source in (files, tmp_path):
        with pytest.raises(ValueError, match=r"frames: got \(4, 4\) in .*2\.png, expected .*6, 8"):
            read(source)


def test_pages_of_other_sizes_are_named(tmp_path):
    pages = [plain(1), plain(2), plain(3, (4, 4))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"\(4, 4\) in .*a\.tif, picture 2, expected"):
        read(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"\(4, 5\) in picture 1 of the list, expected .*\(6, 8\)"):
        read([noise(H, W), noise(4, 5)])


# -- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        [f"{i}.png" for i in range(120)],
        ["frame_2.png", "frame_10.png", "frame_11.PNG", "frame_101.png"],
        ["take 2 pic 9.png", "take 2 pic 10.png", "take 10 pic 1.png"],
        ["001.png", "2.png", "03.png", "0010.png"],
        ["a.png", "a1.png", "B2.png", "b10.png"],
    ],
    ids=lambda names: names[-1],
)
def test_files_come_in_the_order_of_their_numbers(tmp_path, names):
    for i, name in enumerate(names):
        plain(i).save(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path)[:, 0, 0, 0], range(len(names)))


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    plain(7).save(tmp_path / "0.png")
    (tmp_path / "._0.png").write_bytes(b"another program's note")
    (tmp_path / "1.png").mkdir()
    assert read(tmp_path).shape == (1, H, W, 3)


# -- broken ones -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_named(tmp_path, suffix, share):
    Image.fromarray(noise(64, 64)).save(path := tmp_path / f"a.{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    Image.fromarray(noise(64, 64)).save(tmp_path / "0.png")
    for source in (path, tmp_path, [tmp_path / "0.png", path]):
        with pytest.raises(ValueError, match=rf"frames: got .*a\.{suffix}.*expected"):
            Episodes.from_frames(source)


def test_a_folder_without_pictures_and_a_folder_in_a_list_are_named(tmp_path):
    with pytest.raises(ValueError, match=rf"frames: got no pictures in .*{tmp_path.name}, expec"):
        read(tmp_path)
    with pytest.raises(ValueError, match=rf"frames: got .*{tmp_path.name}, which cannot be read"):
        read([tmp_path])


def test_a_missing_file_is_a_file_not_found(tmp_path):
    for source in (tmp_path / "none.png", [str(tmp_path / "none.png")]):
        with pytest.raises(FileNotFoundError, match=r"frames: got no file .*none\.png, expected"):
            read(source)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    plain(1).save(tmp_path / "a.png")
    for most in (30, 10):  # where Pillow warns, and where it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(ValueError, match=r"frames: got .*a\.png, which is too large"):
            read(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    plain(1).save(tmp_path / "a.png")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ValueError, match=r"frames: got .*a\.png, which cannot be read.*Permission"):
        read(tmp_path)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ValueError, match=r"which cannot be read \(Permission denied\)"):
        read(tmp_path)


# -- what is the caller's ----------------------------------------------------------------------


def test_frames_truth_and_flags_are_copied():
    frames, truth, seen = noise(5, H, W), np.zeros((5, 2, 2)), np.ones((5, 2), bool)
    for source in (frames, list(frames)):
        e = Episodes.from_frames(source, truth, seen)
        before = [x.copy() for x in (e.images, e.truth, e.visible)]
        frames[:], truth[:], seen[:] = 255 - frames, truth + 0.5, ~seen
        for now, then in zip((e.images, e.truth, e.visible), before, strict=True):
            np.testing.assert_array_equal(now, then)


def test_episodes_copy_every_array_and_list_that_they_are_made_of():
    e = Episodes.from_frames(noise(2, 5, H, W), np.zeros((2, 5, 3, 2)))
    fields = {n: getattr(e, n) for n in Episodes.__dataclass_fields__}
    fields |= {"objects": ["a", "b", "c"], "policies": ["x", "y"], "origin": {"a": [1]}}
    fields |= {"extras": {"depth": np.zeros((2, 5, 4))}}
    copy = Episodes(**fields)
    kept = {n: np.array(v) for n, v in vars(copy).items() if isinstance(v, np.ndarray)}
    for value in (*fields.values(), fields["extras"]["depth"]):
        if isinstance(value, np.ndarray):
            value[...] = True
    fields["objects"][0], fields["origin"]["a"][0] = "z", 2
    fields["extras"]["more"] = fields["extras"]["depth"]
    for name, array in kept.items():
        np.testing.assert_array_equal(getattr(copy, name), array)
    assert (copy.objects, copy.policies, copy.origin) == (("a", "b", "c"), ("x", "y"), {"a": [1]})
    assert set(copy.extras) == {"depth"}
    assert not copy.extras["depth"].any()


@pytest.mark.parametrize("objects", ["ab", 2])
def test_names_of_objects_are_a_list(objects):  # catches: a word taken letter by letter
    with pytest.raises(TypeError, match=r"objects: got .*expected a list of names"):
        Episodes.from_frames(noise(5, H, W), np.zeros((5, 2, 2)), objects=objects)


@pytest.mark.parametrize("part", ["frames", "truth", "visible", "picture"])
def test_masked_arrays_are_refused(part):
    frames, truth, seen = noise(5, H, W), np.zeros((5, 2, 2)), np.ones((5, 2), bool)
    given = {"frames": frames, "truth": truth, "visible": seen}
    key = "frames" if part == "picture" else part
    masked = np.ma.array(given[key], mask=np.zeros(given[key].shape, bool))
    np.testing.assert_array_equal(  # a mask that hides nothing changes nothing
        Episodes.from_frames(**{**given, key: masked}).images,
        Episodes.from_frames(**given).images,
    )
    masked[0, 0] = np.ma.masked
    given[key] = list(masked) if part == "picture" else masked
    with pytest.raises(ValueError, match=rf"{key}.*got a masked array"):
        Episodes.from_frames(**given)


@pytest.mark.parametrize(
    "flags",
    [
        np.full((5, 2), 0.9), np.ones((5, 2), int), np.full((5, 2), 2), np.full((5, 2), np.nan),
        np.full((5, 2), "False"), [[1, 0]] * 5, [["False", "True"]] * 5,
    ],
    ids=str,
)  # fmt: skip
def test_flags_that_are_no_bools_are_refused(flags):
    """catches: a likelihood of 0.1 that counts as seen"""
    with pytest.raises(TypeError, match=r"visible: got .*expected True and False"):
        Episodes.from_frames(noise(5, H, W), np.zeros((5, 2, 2)), flags)
    e = Episodes.from_frames(noise(1, 5, H, W), np.zeros((1, 5, 2, 2)))
    fields = {n: getattr(e, n) for n in Episodes.__dataclass_fields__}
    for name in ("visible", "terminated"):
        with pytest.raises(TypeError, match=rf"{name}: got .*expected True and False"):
            Episodes(**{**fields, name: flags})


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("seeds", np.ma.array([1, 2], mask=[False, True]), ValueError),
        ("seeds", [[1], [1, 2]], TypeError),
        ("seeds", torch.ones(2, dtype=torch.bfloat16), TypeError),
        ("seeds", np.array([1, 2**63], dtype=np.uint64), ValueError),
        ("actions", np.float64(1), ValueError),
        ("rewards", [[1.0], [1.0, 2.0]], TypeError),
    ],
)
def test_fields_that_hold_something_else_are_named(field, value, error):
    e = Episodes.from_frames(noise(2, 5, H, W))
    fields = {n: getattr(e, n) for n in Episodes.__dataclass_fields__}
    with pytest.raises(error, match=f"{field}: got"):
        Episodes(**fields | {field: value})


def test_a_choice_of_episodes_with_a_masked_value_is_refused():
    e = Episodes.from_frames(noise(2, 5, H, W))
    with pytest.raises(ValueError, match=r"episodes\[\.\.\.\]: got a masked array"):
        e[np.ma.array([True, True], mask=[False, True])]


def test_frames_of_bfloat16_are_told_to_be_bytes():
    frames = torch.zeros(2, H, W, 3, dtype=torch.bfloat16)
    for source in (frames, [*frames]):
        with pytest.raises(TypeError, match=r"frames: got dtype .*expected uint8"):
            read(source)


def test_a_picture_as_nested_lists_is_not_printed_whole():
    with pytest.raises(TypeError, match=r"frames: got a list that holds \[\[\[") as caught:
        read([noise(H, W).tolist()])
    assert len(str(caught.value)) < 300


def test_a_name_that_is_too_long_is_named():
    with pytest.raises(ValueError, match="which cannot be read"):
        read("a" * 5000)
