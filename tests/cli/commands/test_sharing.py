"""``explorer export`` and ``describe`` on the command line."""

import json
import sys

import pytest
from safetensors.torch import save_file

import explorer
from explorer.export.verify import formats
from explorer.store.rows import Ending
from tests.command_line import run
from tests.dashboards.conftest import begin_study, proposal

QUICK = ("--formats", "yaml,python,safetensors")
SMALL = "he2016_orders.yaml#order=full_preact"


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage with a study of three small trainings."""
    space = explorer.parse_space(
        "name: tiny\ninput: 1x8x8\nclasses: 10\nstem: conv3x3(width) bn relu\nstages: {blocks: 1, width: width}\n"
        "block: conv3x3 bn + relu\nhead: gap fc\ngrammar: {width: 4 | 8 | 16}\n"
    )
    url = f"sqlite:///{tmp_path_factory.mktemp('studies') / 'explorer.db'}"
    explorer.search(space, data="digits", epochs=1, trials=3, workers=1, storage=url, study="tiny", sampler="random")
    return url


def frontier(capsys, storage):
    _, out, _ = run(capsys, "frontier", "tiny", "--storage", storage, "--json")
    return json.loads(out)


def test_a_derivation_is_exported_untrained_and_described(capsys, tmp_path):
    """An export without a trial has initial weights, which card and description state, and the same command replaces
    it."""
    folder = tmp_path / "net"
    for _ in range(2):
        status, out, err = run(capsys, "export", SMALL, "-o", str(folder), *QUICK, "--json")
        assert status == 0, err
    document = json.loads(out)
    assert document["max_abs_diff"] == {"python": 0.0}
    assert set(document["files"]) == {path.name for path in folder.iterdir()}
    assert "**Not trained**" in (folder / "README.md").read_text()
    status, out, _ = run(capsys, "describe", str(folder), "--json")
    told = json.loads(out)
    assert status == 0 and (told["trained"], told["accuracy"]) == (False, None)
    assert told["digest"] == told["architecture"]["digest"] == document["digest"]
    assert set(told["files"]) == set(document["files"]) - {"manifest.json"}
    _, out, _ = run(capsys, "cost", SMALL, "--json")
    assert {name: json.loads(out)[name] for name in told["costs"]} == told["costs"]
    status, out, _ = run(capsys, "describe", str(folder))
    assert status == 0 and "not trained" in out and "model.safetensors" in out


def test_a_study_is_exported_by_budget_and_by_front(capsys, storage, tmp_path):
    """--under exports the best network within the limit, --frontier every network on the front, each with its
    accuracy."""
    points = frontier(capsys, storage)
    cheapest = points[0]
    line = ("export", "tiny", "--storage", storage, "--formats", "safetensors", "--json")
    status, out, err = run(capsys, *line, "-o", str(tmp_path / "one"), "--under", f"macs<={cheapest['macs']}")
    assert status == 0 and json.loads(out)["digest"] == cheapest["digest"], err
    status, out, err = run(capsys, *line, "-o", str(tmp_path / "all"), "--frontier")
    documents = json.loads(out)
    assert status == 0 and [each["digest"] for each in documents] == [point["digest"] for point in points], err
    assert {path.name for path in (tmp_path / "all").iterdir()} == {f"trial-{point['trial']}" for point in points}
    for point in points:
        _, out, _ = run(capsys, "describe", str(tmp_path / "all" / f"trial-{point['trial']}"), "--json")
        told = json.loads(out)
        assert told["trained"] and told["accuracy"] == pytest.approx(point["accuracy"])
        assert told["provenance"]["recipe"]["epochs"] == 1 and told["provenance"]["data"]["name"] == "digits"
    card = (tmp_path / "one" / "README.md").read_text()
    for heading in ("Structure", "Costs", "Accuracy", "Recipe", "Data", "Environment", "Licence"):
        assert f"## {heading}\n" in card
    assert "one training, seed" in card and "validation, 400 images" in card


def test_backbones_and_new_heads(capsys, storage, tmp_path):
    """--features removes the head and --head-classes adds a new one; neither keeps the accuracy of the full network."""
    trial = f"tiny:{frontier(capsys, storage)[0]['trial']}"
    line = ("export", trial, "--storage", storage, "--formats", "safetensors", "--json")
    for option, value, features in (("--features", "1", [1]), ("--head-classes", "3", [])):
        folder = tmp_path / option
        status, _, err = run(capsys, *line, "-o", str(folder), option, value)
        assert status == 0, err
        _, out, _ = run(capsys, "describe", str(folder), "--json")
        told = json.loads(out)
        assert (told["features"], told["accuracy"], told["trained"]) == (features, None, True)
    assert told["architecture"]["classes"] == 3


def test_weights_of_a_file_are_exported(capsys, tmp_path):
    """--weights exports a network with the values of a safetensors file."""
    space = explorer.load_space("he2016_orders.yaml")
    network = explorer.build(space.architecture(space.named({"order": "full_preact"})), seed=7)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    line = ("export", SMALL, "-o", str(tmp_path / "net"), "--formats", "safetensors")
    status, _, err = run(capsys, *line, "--weights", str(tmp_path / "mine.safetensors"))
    assert status == 0, err
    kept = explorer.load_weights(
        space.architecture(space.named({"order": "full_preact"})), tmp_path / "net/model.safetensors"
    )
    assert all((value == network.state_dict()[key]).all() for key, value in kept.state_dict().items())
    assert "mine.safetensors" in (tmp_path / "net" / "README.md").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--features", "4"], "the network has no stage 4; its stages are 1 to 3"),
        (["--features", "two"], "names no stages; write their numbers from 1, as in 2,3,4"),
        (["--features", ""], "names no stages"),
        (["--features", "1", "--head-classes", "5"], "leave out --head-classes"),
        (["--head-classes", "0"], "head-classes"),
        (["--formats", "yaml,onx"], "did you mean 'onnx'"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors: cannot be read"),
        (["--by-order"], "add --weights FILE"),
        (["--under", "macs<=1M", "--frontier"], "exclude each other"),
        (["--under", "macs<=1M", "--storage", "sqlite:///nowhere.db"], "nowhere.db"),
    ],
)
def test_invalid_exports_give_one_line(capsys, args, message, tmp_path, monkeypatch):
    """Invalid export options give one line and exit status 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "export", SMALL, "-o", "net", *args)
    assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1, err
    assert not list(tmp_path.iterdir())


def test_a_stopped_trial_and_one_that_repeats_it_are_not_exported(capsys, tmp_path):
    """Neither has weights; the message names the trial that was stopped, and why."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    writer = begin_study(url, "stopped")
    writer.begin(0, proposal(0))
    writer.finish(0, Ending("stopped", reason="paused after 1 epoch"))
    assert writer.begin(1, proposal(0)).state == "cached"
    for number, which in ((0, "it is"), (1, "it has the network of trial 0, which is")):
        status, _, err = run(capsys, "export", f"stopped:{number}", "-o", str(tmp_path / "net"), "--storage", url)
        assert status == 2 and not (tmp_path / "net").exists()
        assert f"no result to export: {which} stopped (paused after 1 epoch)" in err


def test_a_format_without_its_package_names_the_extra(capsys, tmp_path, monkeypatch):
    """ONNX export without the onnx package gives one line with a command that installs it here."""
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    status, _, err = run(capsys, "export", SMALL, "-o", str(tmp_path / "net"), "--formats", "onnx")
    assert (
        status == 2
        and f"{sys.executable} -m pip install" in err
        and "onnx>=" in err
        and len(err.strip().splitlines()) == 1
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_export_is_not_described(capsys, tmp_path):
    """A folder that is missing, contains something else or was modified gives one line and status 2."""
    folder = tmp_path / "net"
    run(capsys, "export", SMALL, "-o", str(folder), "--formats", "safetensors")
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for path, message in (
        (tmp_path / "none", "there is no such folder"),
        (tmp_path, "this is not an exported folder"),
        (folder, "model.safetensors is not the file that was exported"),
    ):
        status, out, err = run(capsys, "describe", str(path), "--json")
        assert (status, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    weights.unlink()
    status, _, err = run(capsys, "describe", str(folder))
    assert status == 2 and "model.safetensors is missing" in err


def test_weights_of_another_library_are_paired_by_order(capsys, tmp_path):
    """--by-order prints each pair of names, --json lists them, and the provenance says so."""
    space = explorer.load_space("he2016_orders.yaml")
    network = explorer.build(space.architecture(space.named({"order": "full_preact"})), seed=7)
    renamed = {
        f"net.{key.replace('stages', 'layer').replace('.branch', '')}": v for key, v in network.state_dict().items()
    }
    save_file(renamed, tmp_path / "theirs.safetensors")
    line = ("export", SMALL, "-o", str(tmp_path / "net"), "--formats", "safetensors")
    line = (*line, "--weights", str(tmp_path / "theirs.safetensors"))
    status, _, err = run(capsys, *line)
    assert status == 2 and "--by-order" in err and len(err.strip().splitlines()) == 1
    status, out, err = run(capsys, *line, "--by-order")
    assert status == 0 and "layer.0.0.0.weight" in out and "stages.0.0.branch.0.weight" in out, err
    assert "paired by the order of computation" in (tmp_path / "net/README.md").read_text()
    status, out, err = run(capsys, *line, "--by-order", "--json")
    pairs = json.loads(out)["pairs"]
    floating = [key for key, value in network.state_dict().items() if value.is_floating_point()]
    assert [pair["ours"] for pair in pairs] == floating and pairs[0]["theirs"] == "stem.0.weight"
