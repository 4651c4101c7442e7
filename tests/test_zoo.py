"""Weights: what is saved comes back to the bit; anything else is refused and says why."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import conftest
import pytest
import safetensors.torch
import torch

import kpbook
from kpbook import runs, zoo
from kpbook.extractors import registry
from kpbook.sweep import plan
from kpbook.zoo import shipped
from kpbook.zoo.__main__ import main

SMALL = {"keypoints": 3, "image_size": 32}


def network(seed=1, **options):
    """A small one whose batch normalisation and buffers are not as built."""
    extractor = registry.build("basic-quarter-bg", seed=seed, **{**SMALL, **options})
    extractor.train()
    with torch.no_grad():
        extractor(torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(2)))
        extractor.background += 0.25
    return extractor.eval()


def trainable(extractor):
    return [name for name, p in extractor.named_parameters() if p.requires_grad]


def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def record(name="basic-s1", **more):
    row = {"error/cube": 0.0123, "r2/cube": 0.91, "keypoint/cube": 2}
    settings = {"data": "sample", "split": {"train": 40, "validation": 6}}
    return runs.RunRecord(
        name,
        "python -m kpbook.sweep c.yml",
        [{"step": 1}, row],
        7.0,
        {"settings": settings},
        **more,
    )


@pytest.fixture
def file(tmp_path):
    return zoo.save(network(), tmp_path / "a.safetensors", record())


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder of shipped weights, and a recorded run beside it."""
    monkeypatch.setattr(shipped, "HOME", tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "manifest.json").write_text('{"weights": {}}')
    record().save(tmp_path)
    zoo.save(network(), tmp_path / "basic-s1.safetensors", record())
    return tmp_path / "home"


# -- there and back ------------------------------------------------------------------------------


def test_what_is_saved_comes_back_to_the_bit(file):  # catches: buffers left out, other options
    before, after = network(), zoo.load_file(file)
    assert not after.training
    assert (after.name, after.config) == (before.name, before.config)
    with torch.no_grad():
        assert torch.equal(after(images()), before(images()))
        assert torch.equal(after.reconstruct(images()), before.reconstruct(images()))
    assert trainable(after) == trainable(before) != []


@pytest.mark.parametrize("name", ["basic-quarter-bg", "rarity"])
def test_the_encoder_alone_gives_the_same_points_and_refuses_to_draw(name, tmp_path):
    whole = registry.build(name, seed=1).eval()
    path = zoo.save(whole, tmp_path / "a.encoder.safetensors", encoder_only=True)
    assert path.stat().st_size < 0.75 * zoo.save(whole, tmp_path / "b.safetensors").stat().st_size
    alone = zoo.load_file(path)
    frames = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    assert torch.equal(alone(frames), whole(frames))
    with pytest.raises(RuntimeError, match=r"a\.encoder\.safetensors: got weights of the encoder"):
        alone.reconstruct(frames)
    with pytest.raises(ValueError, match=r"without the weights that draw, .*encoder_only=True"):
        zoo.save(alone, tmp_path / "c.safetensors")
    again = zoo.load_file(zoo.save(alone, tmp_path / "c.safetensors", encoder_only=True))
    assert torch.equal(again(frames), whole(frames))


def test_a_whole_file_without_its_decoder_is_refused(tmp_path):  # catches: lenient for all files
    tensors, header = parts(zoo.save(network(), tmp_path / "a.safetensors", encoder_only=True))
    path = tmp_path / "b.safetensors"
    path.write_bytes(safetensors.torch.save(tensors, header | {"part": "all"}))
    with pytest.raises(ValueError, match=r"weights for another architecture: .* is missing"):
        zoo.load_file(path)


def parts(path):
    with safetensors.safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def test_float64_is_stored_as_float32_and_the_original_stays(tmp_path):
    extractor = network().double()
    path = zoo.save(extractor, tmp_path / "a.safetensors")
    stored = safetensors.torch.load(path.read_bytes())
    counts = {torch.int64}  # batches that batch normalisation has seen
    assert {t.dtype for t in stored.values()} - counts == {torch.float32}
    assert {p.dtype for p in extractor.parameters()} == {torch.float64}


def test_loading_leaves_the_global_generator_alone(file):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    zoo.load_file(file)
    assert torch.equal(torch.rand(1), expected)


def test_a_name_of_a_device_moves_it(file):
    assert next(zoo.load_file(file, device="meta").parameters()).device.type == "meta"
    with pytest.raises(ValueError, match="device: got 'gpu', which torch refuses"):
        zoo.load_file(file, device="gpu")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_diverged_are_not_saved(tmp_path, bad):
    extractor = network()
    with torch.no_grad():
        extractor.background[0, 1, 2] = bad
    with pytest.raises(ValueError, match=r"background: got NaN or infinite weights.*learning rate"):
        zoo.save(extractor, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_only_an_extractor_that_can_be_built_again_is_saved(tmp_path):
    with pytest.raises(TypeError, match=r"extractor: got Linear, expected an extractor of kpbook"):
        zoo.save(torch.nn.Linear(2, 3), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"expected a name that ends in \.safetensors"):
        zoo.save(network(), tmp_path / "a.pt")


# -- files that are not as they should be --------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 5, 300, 40_000, -1])  # before, in and after the header
def test_a_file_cut_off_says_so(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.safetensors: got a file that is cut off or damaged"):
        zoo.load_file(file)


@pytest.mark.parametrize("place", [-1, -5000])  # safetensors itself does not look
def test_a_changed_byte_is_noticed(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"differ from the file's own checksum.*save it again"):
        zoo.load_file(file)


def test_a_file_of_another_program_says_so(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(2)}))
    with pytest.raises(ValueError, match=r"metadata without architecture.*kpbook\.zoo\.save wrote"):
        zoo.load_file(path)
    path.write_text("weights?")
    with pytest.raises(ValueError, match="cut off or damaged"):
        zoo.load_file(path)


def test_a_missing_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors: got no such file, .*the path"):
        zoo.load_file(tmp_path / "b.safetensors")
    with pytest.raises(FileNotFoundError, match=r"got a folder, expected a \.safetensors file"):
        zoo.load_file(tmp_path)


def renamed(file, **changes):
    """The same tensors with other metadata; the checksum of the tensors still holds."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"] | changes
    file.write_bytes(safetensors.torch.save(safetensors.torch.load(data), metadata))
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": json.dumps({**SMALL, "keypoints": 4})},
            r"another architecture: .* is \(16, 3,",
        ),
        (
            {"architecture": "basic-quarter", "config": json.dumps(SMALL)},
            r"another architecture: background is \(3, 64, 64\)",
        ),
        ({"architecture": "keynet-quarter-bg"}, r"another architecture: .*tensor\(s\) differ"),
        ({"architecture": "ganymede", "kpbook": "9.1"}, "kpbook 9.1 for an arch.*'ganymede'"),
        ({"config": "{"}, "cannot be built"),
    ],
)
def test_weights_for_another_architecture_say_so(file, changes, message):
    with pytest.raises(ValueError, match=message):
        zoo.load_file(renamed(file, **changes))


# -- what ships ----------------------------------------------------------------------------------


def test_a_run_ships_and_loads_by_name(home, tmp_path):
    path = zoo.add(tmp_path / "basic-s1", "tracker", "Tracks.")
    assert zoo.names() == ["tracker"]
    entry = json.loads((home / "manifest.json").read_text())["weights"]["tracker"]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["bytes"] == path.stat().st_size
    with torch.no_grad():
        assert torch.equal(kpbook.load("tracker")(images()), network()(images()))


def test_the_median_seed_ships_and_not_the_best(home, tmp_path):
    r2 = {0: (0.2, 0.9), 1: (0.9, 0.9), 2: (0.5, None), 10: (0.6, 0.8)}  # means .55 .9 .5 .7
    for seed, (a, b) in r2.items():
        results = [{"r2/cube": 1.0, "r2/target": 1.0}, {"r2/cube": a, "r2/target": b}]
        replace(record(), name=f"run-s{seed}", results=results).save(tmp_path)
    replace(record(), name="run-std-s0", results=[{"r2/cube": 0.56}]).save(tmp_path)  # another run
    assert shipped.median_seed(tmp_path / "run") == tmp_path / "run-s0"
    (tmp_path / "run-s2.json").unlink()
    assert shipped.median_seed(tmp_path / "run") == tmp_path / "run-s10"
    with pytest.raises(FileNotFoundError, match="other: got no recorded seed"):
        shipped.median_seed(tmp_path / "other")
    replace(record(), name="bare-s0", results=[{"loss": 0.1}]).save(tmp_path)
    with pytest.raises(ValueError, match="a record without R²"):
        shipped.median_seed(tmp_path / "bare")


def test_a_wrong_name_lists_the_names(home, tmp_path):
    zoo.add(tmp_path / "basic-s1", "tracker", "Tracks.")
    with pytest.raises(ValueError, match=r"got 'traker', expected one of 'tracker'\. Did you mean"):
        kpbook.load("traker")


def test_the_manifests_checksum_comes_before_reading(home, tmp_path):
    """A sound file of other weights is not what shipped, either."""
    path = zoo.add(tmp_path / "basic-s1", "tracker", "Tracks.")
    zoo.save(network(seed=4), path, record())
    with pytest.raises(ValueError, match=r"tracker\.safetensors: got a changed .*restore the file"):
        zoo.load("tracker")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no such file.*Install kpbook again"):
        zoo.load("tracker")


def test_a_damaged_manifest_says_so(home):
    for text in ("", "{", "[]", "{}"):
        (home / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest\.json: got a damaged file.*Install kpbook"):
            zoo.names()


def test_a_name_is_replaced_only_on_request(home, tmp_path):
    zoo.add(tmp_path / "basic-s1", "tracker", "Tracks.")
    with pytest.raises(ValueError, match=r"name: got 'tracker', expected a new name\. --replace"):
        zoo.add(tmp_path / "basic-s1", "tracker", "Better.")
    zoo.add(tmp_path / "basic-s1", "tracker", "Better.", replace=True)
    assert json.loads((home / "manifest.json").read_text())["weights"]["tracker"][
        "description"
    ] == ("Better.")


@pytest.mark.parametrize("fault", ["large", "damaged", "other record", "no weights", "no record"])
def test_what_must_not_ship_leaves_the_folder_as_it_was(home, tmp_path, monkeypatch, fault):
    weights = tmp_path / "basic-s1.safetensors"
    expected = {
        "large": (ValueError, r"\d+ bytes, expected at most 1000\. Fewer channels"),
        "damaged": (ValueError, "checksum"),
        "other record": (ValueError, "weights of the run 'x', expected those of its record"),
        "no weights": (
            FileNotFoundError,
            r"basic-s1\.safetensors: got no such file.*`python -m kpbook\.sweep c\.yml --force`",
        ),
        "no record": (FileNotFoundError, "a run record"),
    }[fault]
    if fault == "large":
        monkeypatch.setattr(shipped, "LARGEST", 1000)
    if fault == "damaged":
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    if fault == "other record":
        zoo.save(network(), weights, record("x"))
    if fault == "no weights":
        weights.unlink()
    if fault == "no record":
        weights.with_suffix(".json").unlink()
    with pytest.raises(expected[0], match=expected[1]):
        zoo.add(tmp_path / "basic-s1", "tracker", "Tracks.")
    assert [p.name for p in home.iterdir()] == ["manifest.json"]
    assert zoo.names() == []


def test_a_card_says_what_the_record_says(home, tmp_path):
    zoo.add(tmp_path / "basic-s1", "tracker", "Tracks what moves.")
    card = zoo.card("tracker")
    weights = sum(p.numel() for p in network().parameters())
    for part in (
        "# tracker",
        "Tracks what moves.",
        f"{weights:,} parameters",
        "float (B, 3, 32, 32)",
        '`"sample"`, 40 episodes; scored on 6 others',
        "`python -m kpbook.sweep c.yml`",
        "| cube | 0.0123 | 0.91 | 2 |",
        "MIT",
    ):
        assert part in card, part
    assert card._repr_markdown_() == card


def test_the_command_lists_adds_and_shows(home, tmp_path, capsys):
    run = str(tmp_path / "basic-s1")
    assert main(["add", run, "--as", "tracker", "--description", "Tracks."]) == 0
    assert main([]) == 0
    assert main(["card", "tracker"]) == 0
    assert "bytes  Tracks.\n# tracker" in capsys.readouterr().out
    assert main(["add", run, "--as", "tracker", "--description", "Tracks."]) == 2
    assert "a new name" in capsys.readouterr().err


def test_everything_that_ships_is_whole_small_and_has_a_card():
    for name in zoo.names():
        extractor, card = kpbook.load(name), zoo.card(name)
        assert not extractor.training
        assert len(registry.build(extractor.name, **extractor.config).state_dict())
        assert (shipped.HOME / f"{name}.safetensors").stat().st_size <= zoo.LARGEST
        assert card.startswith(f"# {name}\n")
    files = {p.name for p in shipped.HOME.iterdir()} - {"manifest.json"}
    assert files == {f"{name}.{end}" for name in zoo.names() for end in ("json", "safetensors")}


SWITCHES = ("vel", "std", "bg", "vel-std", "vel-bg", "std-bg", "vel-std-bg")
#: What kpbook.load promises: chapters and figures call these names.
SHIPS = {
    "rarity",
    "dsae-quarter",
    "basic-quarter",
    "basic-kp32-quarter",
    "keynet-quarter",
    "keynet-quarter-vel-std-bg",
    *(f"basic-quarter-{switches}" for switches in SWITCHES),
}


def test_the_promised_networks_ship():
    assert set(zoo.names()) >= SHIPS


def test_each_network_that_ships_is_the_median_seed_of_its_run():
    """Catches: the luckiest seed, a seed of before the last ones came in, scores of another."""
    results, checked = conftest.ROOT / "book" / "results", set()
    jobs = [
        (results / path.stem, job)
        for path in results.glob("*.yml")
        if path.stem != "paper"
        for job in plan.read(path)
    ]
    for name, entry in shipped.manifest().items():
        run_name = entry["record"].rpartition("-s")[0]
        seeds = [(folder, job) for folder, job in jobs if job.run == run_name]
        assert seeds, name
        if not all(job.finished(folder) for folder, job in seeds):
            continue  # there is no median yet
        median = shipped.median_seed(seeds[0][0] / run_name)
        assert entry["record"] == median.name
        card, run = runs.load(shipped.HOME / f"{name}.json"), runs.load(f"{median}.json")
        assert (card.command, card.results) == (run.command, run.results[-1:])
        checked.add(name)
    assert checked >= SHIPS


@pytest.mark.slow
def test_the_package_loads_the_zoo_at_its_first_use():
    code = """
import sys, kpbook
assert "kpbook.zoo" not in sys.modules and "safetensors" not in sys.modules
try:
    kpbook.load("no such name")
except ValueError as error:
    print(error)
assert "kpbook.zoo" in sys.modules and "joblib" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=conftest.ROOT,
    )
    assert done.stdout.startswith("name: got 'no such name', expected one of")
