"""ONNX files say what torch says, for every shipped network and for one that nobody has seen."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from toy_extractor import SIZE, Toy, discs

import kpbook
from kpbook import export, zoo
from kpbook.episodes import Episodes
from kpbook.extractors.base import Draws, offers
from kpbook.images import to_float

TOLERANCE = 1e-4  # image coordinates; what the live figures promise


def images_of(extractor, count=3):
    return to_float(Episodes.sample().flat().images[:: 6000 // count][:count])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    episodes = discs(4)
    network = Toy(keypoints=3)
    with torch.no_grad():
        network.train()(to_float(episodes.flat().images))  # statistics that are not 0 and 1
    network.eval()
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    assert export.to_onnx(network, path) == path
    return network, path, to_float(episodes.flat().images)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_a_shipped_network_is_the_same_in_onnxruntime(name, tmp_path):
    extractor = kpbook.load(name)
    path = export.to_onnx(extractor, tmp_path / f"{name}.onnx")
    off = export.difference(extractor, path, images_of(extractor))
    drawn = offers(extractor, Draws)  # what needs two frames draws nothing from one
    assert list(off) == list(export.OUTPUTS if drawn else export.OUTPUTS[:2])
    assert max(off.values()) < TOLERANCE, off


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
def test_a_network_of_the_contract_is_the_same_for_any_number_of_images(toy, count):
    network, path, images = toy
    assert max(export.difference(network, path, images[:count]).values()) < TOLERANCE


@pytest.mark.slow
def test_another_network_is_noticed(toy):  # the comparison can fail
    _, path, images = toy
    other = Toy(keypoints=3).eval()
    for w in other.parameters():
        nn.init.normal_(w, generator=torch.Generator().manual_seed(5))
    assert export.difference(other, path, images[:2])["keypoints"] > 10 * TOLERANCE


@pytest.mark.slow
def test_what_is_shared_is_computed_once(toy):  # catches: the encoder three times in the graph
    import onnx

    network, path, _ = toy
    graph = onnx.load(path).graph
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    assert sum(node.op_type == "Conv" for node in graph.node) <= convolutions
    assert [value.name for value in graph.output] == list(export.OUTPUTS)
    assert [value.name for value in graph.input] == ["images"]


@pytest.mark.slow
def test_a_file_is_simplified_within_onnx_s_own_operations(tmp_path):
    import onnx

    model = onnx.load(export.to_onnx(kpbook.load("rarity"), tmp_path / "rarity.onnx"))
    known = {"", *(weight.name for weight in model.graph.initializer)}
    constant = [node.op_type for node in model.graph.node if set(node.input) <= known]
    assert constant == []
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert {node.domain for node in model.graph.node} == {""}
    assert b"kpbook/" not in model.SerializeToString()  # traces of this machine's folders


@pytest.mark.slow
def test_the_file_says_what_it_is_and_holds_its_weights(toy):
    import onnx

    _, path, _ = toy
    model = onnx.load(path, load_external_data=False)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["kpbook"] == kpbook.__version__
    assert json.loads(about["image_size"]) == list(SIZE)
    assert [p.name for p in path.parent.iterdir()] == ["toy.onnx"]


@pytest.mark.slow
def test_the_extractor_is_left_as_it_was(tmp_path):
    network = Toy(keypoints=2).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    export.to_onnx(network, tmp_path / "a.onnx")
    assert not network.training
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


class Branching(Toy):
    def forward(self, images):
        return super().forward(images) if images.mean().item() > 0.5 else super().forward(-images)


@pytest.mark.slow
def test_a_branch_on_values_is_refused_in_words_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"extractor: got one that cannot be traced.*branch"):
        export.to_onnx(Branching().eval(), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def part_in_training():
    """Batch normalisation that a step of fine-tuning has left in training mode."""
    network = Toy().eval()
    network.encoder[1].train()
    return network


@pytest.mark.parametrize(
    ("extractor", "error", "message"),
    [
        (lambda images: images, TypeError, "extractor: got function, expected a torch module"),
        (nn.Conv2d(3, 1, 1), TypeError, r"none of \['image_size', 'heatmaps'\]"),
        (Toy().train(), ValueError, r"training mode, expected one in evaluation mode.*\.eval\(\)"),
        (part_in_training(), ValueError, r"training mode \(its part 'encoder\.1'\)"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, extractor, error, message):
    with pytest.raises(error, match=message):
        export.to_onnx(extractor, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class Stacks(Toy):
    """Images one after the other, as a list: two of them, in the export."""

    def heatmaps(self, images):
        return torch.stack([super(Stacks, self).heatmaps(one[None])[0] for one in images])


class Counts(Toy):
    """The number of images, once read as a number."""

    def forward(self, images):
        B = len([one for one in images])  # noqa: C416 - as people write it
        return super().forward(images) / B


class Few(Toy):
    """Another rule for many images than for few."""

    def forward(self, images):
        z = super().forward(images)
        return z if images.shape[0] <= 6 else -z


class Pairs(Toy):
    """Two images, and no other number."""

    def forward(self, images):
        return super().forward(images.reshape(2, 3, *SIZE))


class Row(Toy):
    """Keypoints in one row of numbers."""

    def forward(self, images):
        return super().forward(images).flatten(1)


class Squeezed(Toy):
    """Without the axis of one image alone."""

    def forward(self, images):
        return super().forward(images).squeeze(0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Row, Squeezed])
def test_other_shapes_than_the_contract_s_are_refused(tmp_path, kind):
    with pytest.raises(ValueError, match=r"keypoints: got shape \(.*expected \(1, any, 2\)"):
        export.to_onnx(kind(keypoints=3).eval(), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="a folder, expected a file"):
        export.to_onnx(Toy(keypoints=3).eval(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 3, *SIZE), np.float32), TypeError, "images: got .*expected a torch.Tensor"),
        (torch.zeros(2, 3, 5, 5), ValueError, r"images: got shape \(2, 3, 5, 5\)"),
        (torch.zeros(2, 3, *SIZE, dtype=torch.uint8), TypeError, "images: got dtype torch.uint8"),
    ],
)
def test_pictures_that_do_not_fit_the_file_are_said(toy, images, error, message):
    network, path, _ = toy
    with pytest.raises(error, match=message):
        export.difference(network, path, images)


def test_a_file_that_is_no_onnx_is_said(tmp_path):
    (path := tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"a\.onnx: got a file that cannot be run"):
        export.difference(Toy(keypoints=3).eval(), path, torch.zeros(1, 3, *SIZE))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Stacks, Counts, Few, Pairs])
def test_a_batch_size_baked_into_the_file_is_refused(tmp_path, kind):
    with pytest.raises(ValueError, match=r"extractor: got a file that goes wrong on 11? image"):
        export.to_onnx(kind().eval(), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class Blind(nn.Module):
    """Keypoints and heat maps, and nothing drawn again."""

    image_size = SIZE

    def __init__(self):
        super().__init__()
        self.toy = Toy(keypoints=3)

    def forward(self, images):
        return self.toy(images)

    def heatmaps(self, images):
        return self.toy.heatmaps(images)


@pytest.mark.slow
def test_an_extractor_that_does_not_draw_is_written_without_a_drawing(tmp_path):
    network = Blind().eval()
    path = export.to_onnx(network, tmp_path / "blind.onnx")
    off = export.difference(network, path, torch.rand(2, 3, *SIZE))
    assert list(off) == ["keypoints", "heatmaps"]
    assert max(off.values()) < TOLERANCE


class Keeps(Blind):
    def forward(self, images):
        self.last = super().forward(images)
        return self.last


def test_an_extractor_that_torch_cannot_copy_is_said(tmp_path):
    network = Keeps().eval()
    network(torch.rand(1, 3, *SIZE))
    with pytest.raises(ValueError, match=r"extractor: got one that cannot be copied.*detach\(\)"):
        export.to_onnx(network, tmp_path / "a.onnx")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: got no such file.*to_onnx"):
        export.difference(Toy().eval(), tmp_path / "none.onnx", torch.zeros(1, 3, *SIZE))


def test_a_missing_package_is_said(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx.*writing ONNX files.*kpbook\[export\]"):
        export.to_onnx(Toy().eval(), tmp_path / "a.onnx")


class Both(nn.Module):
    """Names its inputs and outputs itself."""

    image_size = SIZE
    inputs = {"a": (3, *SIZE), "weight": (1,)}  # noqa: RUF012 - as a class would have it
    outputs = {"weighted": (3, *SIZE), "mean": None}  # noqa: RUF012

    def forward(self, a, weight):
        weighted = a * weight[..., None, None]
        return weighted, weighted.mean((1, 2, 3))


@pytest.mark.slow
def test_a_module_that_names_its_inputs_and_outputs_is_written_with_those(tmp_path):
    import onnx

    path = export.to_onnx(Both().eval(), tmp_path / "both.onnx")
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["a", "weight"]
    assert [value.name for value in graph.output] == ["weighted", "mean"]
    images, weights = torch.rand(3, 3, *SIZE), torch.rand(3, 1)
    off = export.difference(Both().eval(), path, images, weights)
    assert list(off) == ["weighted", "mean"]
    assert max(off.values()) < TOLERANCE
    with pytest.raises(ValueError, match=r"inputs: got 1, expected 2: a, weight"):
        export.difference(Both().eval(), path, images)
    with pytest.raises(ValueError, match=r"weight: got shape \(3, 2\)"):
        export.difference(Both().eval(), path, images, torch.rand(3, 2))


class Promises(Both):
    outputs = {"weighted": (3, *SIZE), "mean": (1,)}  # noqa: RUF012


@pytest.mark.slow
def test_a_module_that_promises_other_shapes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"mean: got shape \(1,\), expected \(1, 1\)"):
        export.to_onnx(Promises().eval(), tmp_path / "a.onnx")
