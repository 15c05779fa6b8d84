"""The commands that train nothing, on the command line."""

import json

import pytest

from explorer.cli import COMMANDS
from explorer.costs.analytic import count_cost
from explorer.space.search_space import load_space
from explorer.space.shipped import shipped_spaces
from tests.command_line import run


def test_every_command_has_help(capsys):
    """``explorer COMMAND --help`` works for every command, and the overview lists them all."""
    status, overview, _ = run(capsys, "--help")
    assert status == 0
    for name in COMMANDS:
        assert name in overview
        status, out, _ = run(capsys, name, "--help")
        assert status == 0 and out.startswith("Usage: explorer " + name)


@pytest.mark.parametrize("name", ["he2016_orders.yaml", pytest.param("preact_variants.yaml", marks=pytest.mark.slow)])
def test_space_as_json(capsys, name):
    """``space --json`` gives one document with counts, choices and cost ranges."""
    status, out, err = run(capsys, "space", name, "--json")
    document = json.loads(out)
    space = load_space(name)
    assert (status, err) == (0, "")
    assert document["derivations"] == space.count()
    assert document["networks"] <= document["derivations"] and document["networks_exact"] is True
    assert document["validated"] == "all"
    assert {choice["name"] for choice in document["choices"]} == {point.name for point in space.points}
    for key in ("params", "macs", "activations"):
        assert document["costs"][key]["min"] <= document["costs"][key]["median"] <= document["costs"][key]["max"]


def test_space_as_text(capsys):
    """``space`` prints the choices and the counts."""
    status, out, _ = run(capsys, "space", "he2016_orders.yaml")
    assert status == 0
    assert "5 derivations" in out and "full_preact" in out


def test_sample_is_reproducible(capsys):
    """``sample --json`` gives the same samples for the same seed, with the costs of those networks."""
    status, first, _ = run(capsys, "sample", "preact_variants.yaml", "-n", "5", "--seed", "3", "--json")
    _, second, _ = run(capsys, "sample", "preact_variants.yaml", "-n", "5", "--seed", "3", "--json")
    assert status == 0 and first == second
    space = load_space("preact_variants.yaml")
    for row in json.loads(first):
        architecture = space.architecture(row["index"])
        assert row["digest"] == architecture.digest
        assert row["choices"] == dict(space.unrank(row["index"]).choices)
        assert row["macs"] == count_cost(architecture).macs


def test_distinct_sample_has_no_network_twice(capsys):
    """``--distinct`` gives each network once, and all networks of a space that is smaller than the sample."""
    _, out, _ = run(capsys, "sample", "he2016_orders.yaml", "-n", "50", "--distinct", "--json")
    assert len({row["digest"] for row in json.loads(out)}) == len(json.loads(out)) == 5


def test_cost_follows_the_input(capsys):
    """``cost --data`` uses the data set's shape and classes."""
    _, own, _ = run(capsys, "cost", "preact_variants.yaml#0", "--json")
    _, small, _ = run(capsys, "cost", "preact_variants.yaml#0", "--data", "digits", "--json")
    _, same, _ = run(capsys, "cost", "preact_variants.yaml#0", "--input", "1x8x8", "--classes", "10", "--json")
    _, alone, _ = run(capsys, "cost", "preact_variants.yaml#0", "--input", "1x8x8", "--json")
    assert json.loads(small) == json.loads(same) == json.loads(alone)
    assert json.loads(small)["macs"] < json.loads(own)["macs"]
    assert json.loads(own)["flops"] == 2 * json.loads(own)["macs"]


def test_cost_check_agrees_with_the_other_counters(capsys):
    """``cost --check`` compares the counters side by side and ends with status 0 if they agree."""
    status, out, err = run(
        capsys, "cost", "preact_variants.yaml#order=preact_bottleneck,attn=se(r=4)", "--check", "--json"
    )
    document = json.loads(out)
    assert status == 0, err
    check = document["check"]
    assert check["fvcore_macs"] == check["torch_macs"] == document["macs"]
    assert check["ptflops_macs"] - check["ptflops_biases"] - check["ptflops_elementwise"] == document["macs"]
    assert sum(layer["ours"] for layer in check["layers"]) == document["macs"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["spase"], "unknown command 'spase'"),
        (["space"], "Missing argument 'SPACE'"),
        (["space", "nowhere.yaml"], "nowhere.yaml:1:1: no such file"),
        (["sample", "preact_variants.yaml", "-n", "0"], "0 is not in the range"),
        (["cost", "preact_variants.yaml#0", "--input", "3x32", "--classes", "10"], "channels x height x width"),
        (
            ["cost", "preact_variants.yaml#0", "--data", "digits", "--classes", "5"],
            "--data already sets input and classes",
        ),
        (["cost", "preact_variants.yaml"], "is a space; name a network of it, as in preact_variants.yaml#0"),
        (["cost", "preact_variants.yaml#0", "--data", "digit"], "did you mean 'digits'"),
        (["cost", "preact_variants.yaml#0", "--chek"], "No such option"),
    ],
)
def test_invalid_input_ends_in_one_line_and_status_2(capsys, args, message):
    """Invalid input gives one clear line on standard error, nothing on standard output, and exit status 2."""
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "")
    assert message in err and len(err.strip().splitlines()) == 1


def test_all_faults_of_a_file_are_found_at_once(capsys, tmp_path):
    """A space with several faults gives one line with a location for each, and the line of the file with a caret."""
    text = shipped_spaces()["he2016_orders.yaml"].read_text()
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        text.replace("head:", "haed:").replace("conv3x3 bn relu conv3x3 bn + relu", "cnov3x3 bn rely conv3x3 bn + relu")
    )
    status, out, err = run(capsys, "space", str(bad))
    assert (status, out) == (2, "")
    shown = err.strip().splitlines()
    lines = [line for line in shown if line.startswith(f"{bad}:")]
    assert len(lines) == len([line for line in shown if line.strip() == "^"]) == 3
    assert "  write `head: pre gap fc`" in shown
    assert any("unknown key 'haed'" in line and "did you mean 'head'" in line for line in lines)
    assert any("unknown name 'cnov3x3'" in line and "did you mean 'conv3x3'" in line for line in lines)
    assert any("unknown name 'rely'" in line for line in lines)


def test_debug_adds_the_traceback(capsys):
    """``--debug`` shows the traceback above the error line."""
    status, _, err = run(capsys, "space", "nowhere.yaml", "--debug")
    assert status == 2 and "Traceback" in err and err.strip().splitlines()[-1].startswith("nowhere.yaml:1:1")


def test_atlas_writes_the_costs_of_the_space(capsys, tmp_path):
    """``atlas`` writes one row per derivation with its choices and costs, and reports their number and the
    throughput."""
    from pyarrow import parquet

    target = tmp_path / "atlas.parquet"
    status, out, err = run(capsys, "atlas", "preact_variants.yaml", "-n", "50", "-o", str(target), "--json")
    document = json.loads(out)
    assert (status, err, document["rows"]) == (0, "", 50)
    assert document["rows_per_second"] > 0 and document["seconds"] > 0
    space = load_space("preact_variants.yaml")
    for row in parquet.read_table(target).to_pylist()[::10]:
        assert {name: row[name] for name, _ in space.unrank(row["index"]).choices.items()} == dict(
            space.unrank(row["index"]).choices
        )
        cost = count_cost(space.architecture(row["index"])).to_dict()
        assert {name: row[name] for name in cost} == cost


LIMITED = """
name: limited
input: 1x8x8
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: depth, width: [8, 16], stride: [1, 2]}
block: conv3x3 bn relu conv3x3 bn +
head: gap fc
grammar: {depth: 1 | 2 | 3 | 4}
limits: {macs: <= 300k, latency_ms: <= 5}
"""


def test_atlas_marks_the_networks_within_the_limits_of_the_space(capsys, tmp_path):
    """The CSV file has the values of the Parquet file; networks that exceed a limit are marked and not plotted."""
    from pyarrow import csv, parquet

    (tmp_path / "limited.yaml").write_text(LIMITED)
    files = [tmp_path / "a.parquet", tmp_path / "a.csv"]
    for file in files:
        line = ("atlas", str(tmp_path / "limited.yaml"), "-o", str(file), "--plot", str(tmp_path / "a.html"))
        for _ in range(2):  # the second run replaces the files of the first
            status, out, err = run(capsys, *line, "--json")
            assert (status, err) == (0, "")
        document = json.loads(out)
        assert (document["rows"], document["within_limits"], document["points"]) == (4, 2, 2)
    rows = parquet.read_table(files[0]).to_pylist()
    assert [row["within_limits"] for row in rows] == [row["macs"] <= 300_000 for row in rows]
    as_text = [{**row, "depth": int(row["depth"])} for row in rows]
    assert csv.read_csv(files[1]).to_pylist() == as_text
    assert "2 of them keep the limits of the space: macs <= 300k" in run(capsys, *line)[1]
    files[1].write_text("mine,1\n")
    status, _, err = run(capsys, *line)
    assert status == 2 and "was not written by this command" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "atlas.txt"), "ends in .parquet"),
        (("-o", "atlas.parquet", "--plot", "atlas.png"), "ends in .html"),
        (("-n", "0", "-o", "atlas.parquet"), "0 is not in the range"),
        ((), "Missing option '-o'"),
    ],
)
def test_invalid_atlas_input_is_rejected(capsys, arguments, said):
    """Invalid input to ``atlas`` gives one line and status 2, and nothing is written."""
    status, out, err = run(capsys, "atlas", "preact_variants.yaml", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
