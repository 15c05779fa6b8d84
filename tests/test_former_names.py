"""Digests of callers' functions, pickled objects and imports keep working when the explorer's own modules move."""

from __future__ import annotations

import pickle
import pkgutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import explorer
from explorer.analysis.limits import parse_limit
from explorer.data.dataset import load_data
from explorer.data.splits import Split
from explorer.data.streaming import ImagesOnDisk
from explorer.former_names import former_name
from explorer.records import ConfirmationRecord
from tests.study.evaluations import SPACE_TEXT

PICKLES = sorted((Path(__file__).parent / "earlier_pickles").glob("*.pkl"))  # of the tiny space, by day of the version

# The public functions and classes, and the modules they had when digests of callers' functions were first stored.
FIRST = {
    "Architecture": "explorer.architecture.Architecture",
    "Derivation": "explorer.grammar.space.Derivation",
    "ExplorerError": "explorer.errors.ExplorerError",
    "Pause": "explorer.measure.device_lock.Pause",
    "SearchFailed": "explorer.errors.SearchFailed",
    "SearchSpace": "explorer.grammar.space.SearchSpace",
    "SpaceError": "explorer.errors.SpaceError",
    "atlas": "explorer.survey.table.atlas",
    "build": "explorer.network.build.build_network",
    "confirm": "explorer.study.confirmation.confirm",
    "cost": "explorer.costing.analytic.count_cost",
    "gradients": "explorer.training.gradient_flow.gradient_flow",
    "latency": "explorer.measure.latency.latency",
    "load_space": "explorer.grammar.parse.load_space",
    "load_weights": "explorer.export.weights.load_weights",
    "open_study": "explorer.store.studies.open_study",
    "parse_space": "explorer.grammar.parse.parse_space",
    "predict_latency": "explorer.measure.calibration.predict_latency",
    "Scorer": "explorer.scoring.zero_cost.Scorer",
    "score": "explorer.scoring.zero_cost.score_architecture",
    "search": "explorer.study.search.search",
    "train": "explorer.training.run.train_architecture",
}


@pytest.mark.parametrize("name", FIRST)
def test_a_public_name_keeps_its_name_in_digests(name):
    """Each public function and class has the same name in digests as when digests were first stored."""
    value = getattr(explorer, name)
    assert former_name(f"{value.__module__}.{value.__qualname__}") == FIRST[name]


def test_a_name_inside_a_moved_package_keeps_its_name():
    """A class of an op keeps its former module in digests, and a name that did not move stays unchanged."""
    assert former_name("explorer.networks.ops.conv.Conv") == "explorer.ops.conv.Conv"
    assert former_name("explorer.training.recipe.Recipe") == "explorer.training.recipe.Recipe"


@pytest.fixture(params=PICKLES, ids=lambda path: path.stem)
def loaded(request):
    """Objects that an earlier version pickled, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pickle.loads(request.param.read_bytes())


def test_pickles_of_earlier_versions_load(loaded):
    """Space, derivation, architecture, cost, limit, environment and network are equal to those made today, and are
    pickled under today's names."""
    space = explorer.parse_space(SPACE_TEXT, "small.yaml").with_input((1, 8, 8), 10)
    read = loaded["space"]
    assert (read.digest, read.source, read.validated) == (space.digest, space.source, space.validated)
    assert (read.count(), read.sample(5)) == (space.count(), space.sample(5))
    assert loaded["derivation"] == space[1] and loaded["architecture"] == space.architecture(1)
    assert loaded["cost"] == explorer.cost(loaded["architecture"]) and loaded["limit"] == parse_limit("macs<=5M")
    assert type(loaded["environment"]).__module__ == "explorer.measure.result" and loaded["environment"].batch == 1
    again = pickle.dumps({name: value for name, value in loaded.items() if name != "network"})
    assert b"explorer.grammar" not in again and pickle.loads(again)["space"].digest == space.digest


def test_a_record_of_an_earlier_version_has_no_values_of_later_fields(loaded):
    """A trial that was pickled before fields were added keeps its values in their fields."""
    trial = loaded["trial"]
    assert (trial.state, trial.failure, trial.expected) == ("complete", "", {})
    assert trial.started < trial.finished and trial.weights == "" and trial.revision > 0
    assert pickle.loads(pickle.dumps(trial)) == trial


@pytest.mark.parametrize(
    ("made", "later"),
    [
        (Split(np.zeros((1, 1, 2, 2), np.uint8), np.zeros(1, int)), {"grey_bits": None, "damaged": 0}),
        (ConfirmationRecord("v1-a", 1, 2, "running", worker="here"), {"measured": {}}),
    ],
)
def test_values_of_an_earlier_version_have_the_defaults_of_later_fields(made, later):
    """A split and a confirmation that were pickled before their last fields were added have the defaults of these."""
    again = object.__new__(type(made))
    again.__setstate__(made.__getstate__()[: -len(later)])
    assert {name: getattr(again, name) for name in later} == later
    assert repr(again) == repr(made)


def test_a_network_saved_whole_is_loaded():
    """A network that an earlier version pickled whole computes what a new one with its weights computes."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = pickle.loads(PICKLES[-1].read_bytes())["network"].eval()
    fresh = explorer.build(network.architecture, 1).eval()
    fresh.load_state_dict(network.state_dict())
    images = torch.ones(2, 1, 8, 8)
    assert torch.equal(network(images), fresh(images))


@pytest.mark.parametrize(
    ("former", "name", "place"),
    [
        ("explorer.architecture", "Block", "explorer.networks.block"),
        ("explorer.grammar.parse", "load_space", "explorer.space.search_space"),
        ("explorer.survey.table", "atlas", "explorer.costs.whole_space.table"),
        ("explorer.training.data", "load_data", "explorer.data.dataset"),
        ("explorer.measure.predictor", "Predictor", "explorer.measure.predictor.predictor"),
        ("explorer.records", "Latency", "explorer.measure.result"),
        ("explorer.architecture", "TensorShape", "explorer.networks.ops.base"),
        ("explorer.architecture", "Merge", "explorer.networks.ops.merge"),
        ("explorer.costing.analytic", "Block", "explorer.networks.block"),
        ("explorer.training.data", "Split", "explorer.data.splits"),
        ("explorer.training.data", "locate", "explorer.data.catalogue"),
        ("explorer.training.data", "data_place", "explorer.data.catalogue"),
        ("explorer.training.digits", "load_digits", "explorer.data.formats.digits"),
        ("explorer.address", "find_architecture", "explorer.cli.address"),
        ("explorer.strict_json", "parse_json", "explorer.system.strict_json"),
        ("explorer.plain_text", "printable", "explorer.system.plain_text"),
        ("explorer.signals", "Interrupted", "explorer.system.signals"),
        ("explorer.processes", "has_ended", "explorer.system.processes"),
        ("explorer.doctor", "examine", "explorer.cli.doctor"),
        ("explorer.grammar.shipped", "find_space", "explorer.space.shipped"),
        ("explorer.grammar.neighbours", "neighbours", "explorer.space.edits"),
        ("explorer.scoring.correlation", "rank_correlations", "explorer.analysis.ranking"),
        ("explorer.study.comparison", "compare_spaces", "explorer.study.compare"),
        ("explorer.effects", "choice_effects", "explorer.analysis.effects"),
        ("explorer.export.code", "write_code", "explorer.export.model_py.code"),
        ("explorer.export.check", "check_code", "explorer.export.verify.check"),
    ],
)
def test_a_former_module_has_what_it_had(former, name, place):
    """A script can import from a former module what it defined and what it imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        value = getattr(import_module(former), name)
    assert value is getattr(import_module(place), name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        import_module(former).nothing  # noqa: B018


@pytest.mark.parametrize(
    ("former", "place"),
    [
        ("explorer.architecture.Placed", "explorer.networks.walk.PlacedBlock"),
        ("explorer.training.splits.UnreadSplit", "explorer.data.splits.LazySplit"),
        ("explorer.training.images.Form", "explorer.data.images.ImageFormat"),
        ("explorer.training.ondisk.ImagesOnDisk", "explorer.data.streaming.ImagesOnDisk"),
        ("explorer.grammar.neighbours.asked", "explorer.space.edits.current_choices"),
    ],
)
def test_a_renamed_class_is_found_under_its_former_name(former, place):
    """A class or function that has another name today is found under its former one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert pkgutil.resolve_name(former) is pkgutil.resolve_name(place)
    assert former_name(place) == former


def test_pickled_folders_of_images_load(tmp_path, monkeypatch):
    """Data sets of a folder that an earlier version pickled, in memory and streamed from the disk, have the images that
    the folder gives today, also those of the test split, which are read later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for place in (f"folder/{split}/{label}" for split in ("train", "val", "test") for label in "ab"):
        Path(place).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 255, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(f"{place}/{number}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pickled = pickle.loads((PICKLES[0].parent / "2026-11-30_folders.pickle").read_bytes())
    today = load_data("folder@4")
    assert isinstance(pickled["streamed"].train.images, ImagesOnDisk)
    for read in pickled.values():
        for split in ("train", "validation", "test"):
            before, now = getattr(read, split), getattr(today, split)
            assert np.array_equal(np.asarray(before.images), now.images)
            assert np.array_equal(before.labels, now.labels)


def test_an_import_under_a_former_name_warns_once():
    """The warning points to the caller's line, names the new module, and comes once for a package of modules."""
    script = "import explorer.ops.conv\nfrom explorer.ops.norm import BatchNorm\nfrom explorer.ops import registry\n"
    child = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)
    assert child.stderr.count("Warning") == 1
    assert "<string>:1: DeprecationWarning: explorer.ops has moved to explorer.networks.ops;" in child.stderr


@pytest.mark.parametrize(
    "name",
    ["explorer.nothing", "explorer.ops.nothing", "explorer.grammar.nothing", "explorer.export.verify.nothing.no"],
)
def test_a_module_that_never_was_is_not_found(name):
    """Other names raise ModuleNotFoundError as usual."""
    with warnings.catch_warnings(), pytest.raises(ModuleNotFoundError, match="No module named"):
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module(name)
