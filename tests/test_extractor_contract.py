"""check_extractor passes a sound extractor and names the usual cause of each fault."""

import pytest
import torch
from torch import nn

from kpbook import cores, grid
from kpbook import heatmaps as hm
from kpbook.extractors import ExtractorError, check_extractor

H, W = 40, 64


def discs(B=4, seed=0):
    """Images of a red and a green disc on grey, well inside; H != W catches swapped sizes."""
    g = torch.Generator().manual_seed(seed)
    images = torch.full((B, 3, H, W), 0.5)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    for b in range(B):
        for channel in (0, 1):
            cy, cx = (torch.rand(2, generator=g) * torch.tensor([12, 30]) + 10).tolist()
            inside = (x - cx) ** 2 + (y - cy) ** 2 < 9
            images[b, :, inside] = 0.1
            images[b, channel, inside] = 0.9
    return images


class Colours(nn.Module):
    """Two keypoints: where red, and where green, exceed the other colours."""

    image_size = (H, W)
    gain = 60.0

    def scores(self, images):
        red, green, blue = images.unbind(1)
        scores = torch.stack([red - green - blue, green - red - blue], 1)
        return self.gain * nn.functional.avg_pool2d(scores, 3, stride=1, padding=1)

    def heatmaps(self, images):
        return cores.softmax(self.scores(images), None)

    def forward(self, images):
        return cores.expectation(self.heatmaps(images))


def test_a_sound_extractor_passes_every_check():
    passed = check_extractor(Colours(), discs())
    assert passed[-1] == "shift"
    assert len(passed) == 8


class Strided(Colours):
    """Half-size maps without padding; map coordinates made image coordinates, or not."""

    layers = ((5, 2, 0),)
    convert = True

    def heatmaps(self, images):
        scores = super().scores(images)
        return cores.softmax(nn.functional.avg_pool2d(scores, 5, stride=2), None)

    def forward(self, images):
        maps = self.heatmaps(images)
        z = cores.expectation(maps)
        stride, offset = grid.map_geometry(self.layers)
        size = tuple(maps.shape[-2:])
        return grid.map_to_image(z, size, (H, W), stride, offset) if self.convert else z


def test_a_strided_map_passes_when_converted():
    assert "shift" in check_extractor(Strided(), discs())


class MapCoordinates(Strided):
    layers, convert = ((9, 2, 0),), False

    def heatmaps(self, images):
        scores = Colours.scores(self, images)
        return cores.softmax(nn.functional.avg_pool2d(scores, 9, stride=2), None)


class Swapped(Colours):
    def forward(self, images):
        return super().forward(images).flip(-1)


class UpsideDown(Colours):
    def forward(self, images):
        return super().forward(images) * torch.tensor([1.0, -1.0])


class Pixels(Colours):
    def forward(self, images):
        return grid.to_pixels(super().forward(images), (H, W))


class Flat(Colours):
    def forward(self, images):
        return super().forward(images).flatten(1)


class Detached(Colours):
    def forward(self, images):
        return super().forward(images).detach()


class ArgMax(Colours):
    def forward(self, images):
        return hm.mode(self.scores(images)) + 0 * images.sum()


class Scores(Colours):
    def heatmaps(self, images):
        return self.scores(images)

    def forward(self, images):
        return cores.soft_argmax(self.scores(images))


class NaN(Colours):
    def forward(self, images):
        return super().forward(images) / 0 * 0


class OneMap(Colours):
    def heatmaps(self, images):
        return super().heatmaps(images)[:, :1]

    def forward(self, images):
        return cores.expectation(super().heatmaps(images))


class Noise(Colours):
    def forward(self, images):
        z = super().forward(images)
        return z + 0.01 * torch.rand(z.shape, generator=self.noise)

    noise = torch.Generator().manual_seed(0)


class BatchStatistics(Colours):
    def forward(self, images):
        z = super().forward(images)
        return z - 0.1 * z.mean(0)


class NotThere(Colours):
    def forward(self, images):
        still = torch.tensor([[-0.1, 0.0], [0.1, 0.0]]).expand(len(images), 2, 2)
        return still + 1e-6 * super().forward(images)


class NoMaps(nn.Module):
    image_size = (H, W)


class ListOfMaps(Colours):
    def heatmaps(self, images):
        return list(super().heatmaps(images))

    def forward(self, images):
        return cores.expectation(super().heatmaps(images))


class TenPercentOff(Colours):
    def forward(self, images):
        return 0.9 * super().forward(images)


class NoSize(Colours):
    image_size = property()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Flat, r"got shape \(4, 4\), expected \(4, N, 2\).*one flat vector"),
        (NaN, "NaN or infinite values.*softmax over a map of NaN"),
        (Pixels, r"pixels instead of \[-1, 1\]"),
        (OneMap, "disagree on the number of keypoints"),
        (Scores, "scores before the softmax"),
        (Noise, "second call on the same images.*dropout"),
        (BatchStatistics, "batch normalisation in training mode"),
        (Detached, r"gradient at the pixels: got none.*\.detach"),
        (ArgMax, "gradient at the pixels: got 0 everywhere.*arg-max"),
        (Swapped, "image moved by 16 px along x.*x and y swapped"),
        (UpsideDown, "along y.*y points down"),
        (MapCoordinates, "map coordinates returned as image coordinates"),
        (NotThere, "do not depend on where things are"),
        (NoSize, "image_size: got no such attribute"),
        (NoMaps, "heatmaps: got no such attribute"),
        (ListOfMaps, "heat maps: got list"),
        (TenPercentOff, "image moved by .* px along x.*map coordinates"),
    ],
)
def test_each_fault_is_named(broken, message):
    with pytest.raises(ExtractorError, match=message):
        check_extractor(broken(), discs())


def test_it_may_be_called_under_no_grad():
    with torch.no_grad():
        assert "gradient" in check_extractor(Colours(), discs())


def test_objects_at_the_right_and_at_the_bottom_are_moved_the_other_way():
    assert "shift" in check_extractor(Colours(), discs().flip(-1).roll((6, 9), (-2, -1)))


def test_a_network_with_flat_maps_is_told_that_the_shift_was_not_checked():
    class Untrained(Colours):
        gain = 0.1

    with pytest.warns(UserWarning, match="no keypoint has a sharp heat map"):
        passed = check_extractor(Untrained(), discs())
    assert "shift" not in passed


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (discs(1), ValueError, "frames: got one image, expected at least two"),
        (discs(1).expand(4, 3, H, W), ValueError, "frames: got one image"),
        (discs().numpy(), TypeError, "frames: got ndarray"),
        (discs() * 255, ValueError, "Divide bytes by 255"),
        (discs()[..., :32], ValueError, r"expected \(B, 3, 40, 64\)"),
        ((discs() * 255).byte(), TypeError, "dtype torch.uint8"),
    ],
)
def test_bad_frames_get_one_message(frames, error, message):
    with pytest.raises(error, match=message):
        check_extractor(Colours(), frames)
