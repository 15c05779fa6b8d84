"""Damaged or foreign data gives a one-line error that names it: no traceback, no wrong number, no file outside the
study's folder."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from explorer.errors import ExplorerError, StoreError
from explorer.records import BlockFlow, GradientFlow
from explorer.space.search_space import parse_space
from explorer.store.artifacts import checkpoint_file, confirmation_checkpoint, weights_file
from explorer.store.cleaning import removable_files
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.presence.processes import Presence, Process, Role, Task
from explorer.store.presence.status import study_status
from explorer.store.presence.stops import stop_study
from explorer.store.rows import Ending, Proposal
from explorer.store.schema import metadata
from explorer.store.studies import create_study, list_studies, open_study
from explorer.store.views.gradient_flows import save_gradient_flow
from explorer.store.writer import StudyWriter
from explorer.study.search import run_search
from tests.command_line import run
from tests.store.conftest import ENVIRONMENT, RESULT
from tests.study.evaluations import SPACE_TEXT, good

BAD = [None, b"\xff", "", "abc", "[" * 100_000, "../../../PWNED", "\x1b[31mred", "a\0b"]
TYPED = [-1, 1.5, float("inf"), "null", '{"a": "b"}', '{"accuracy": NaN}']  # for numbers and JSON; else texts as "abc"
COLUMNS = [(table.name, column.name) for table in metadata.sorted_tables for column in table.c]
COMMANDS = [("studies",), ("trials", "one"), ("trials", "one", "--json"), ("frontier", "one"), ("effects", "one")]
COMMANDS += [
    ("clean", "one"),
    ("compare", "one", "one"),
    ("cost", "one:0"),
    ("studies", "--json"),
    ("status", "one"),
    ("status", "one", "--json"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database with a row in every table, whose columns accept any value."""
    file = tmp_path_factory.mktemp("whole") / "x.db"
    space = parse_space(SPACE_TEXT, "tiny.yaml")
    fingerprint = {"data": "digits", "epochs": 1, "evaluate": "training", "split": {}, "recipe": {}, "costs": []}
    study = create_study(
        open_for_writing(f"sqlite:///{file}"),
        "one",
        space_name=space.name,
        space_text=space.text,
        fingerprint=fingerprint,
        objectives={"accuracy": "max", "macs": "min"},
        seed=0,
        limits=("macs <= 50M",),
    )
    writer = StudyWriter(study, new_worker())
    for number in range(3):
        network = space.architecture(number)
        choices = {"depth": str(number), "act": "relu"}
        costs = {"macs": 10.0 + number, "params": 5}
        writer.begin(number, Proposal(network.digest, network.to_json(), choices, costs, seed=number))
        ending = Ending("complete", {"accuracy": 0.5 + number / 10, "macs": 10.0 + number}, RESULT, duration=1.0)
        writer.finish(
            number, Ending(**{f: getattr(ending, f) for f in ending.__slots__} | {"environment": ENVIRONMENT})
        )
        save_gradient_flow(
            study, GradientFlow(network.digest, 0, 8, "noise", 1.0, (BlockFlow(1, 1, 1.0, 0.1, 0.5, 0.0, 1.0),))
        )
    network = space.architecture(3)
    writer.begin(3, Proposal(network.digest, network.to_json(), {"depth": "3", "act": "silu"}, {"macs": 9.0}, seed=3))
    confirming = ConfirmationWriter(study, new_worker())
    wanted = Wanted(space.architecture(0).digest, 1, 5)
    confirming.claim([wanted])
    confirming.finish(wanted, test={"accuracy": 0.5, "top5": 1.0, "loss": 1.0}, result=RESULT, environment=ENVIRONMENT)
    presence = Presence(study, Process(writer.worker, "search", tasks=(Task(3, "node", "cpu"),)), Role("search"))
    stop_study(study)
    presence.join()
    stop_study(study, at_once=True)
    study.database.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=1")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE type = 'table'")
    return file


@pytest.fixture
def damaged(whole, tmp_path):
    """Return a function that copies the database with one value changed, in every row of a table or in the first, and
    returns its URL."""

    def damage(table: str, column: str, value: object, rows: str = "LIMIT 1") -> str | None:
        for leftover in tmp_path.glob("x.db*"):
            leftover.unlink()
        shutil.copy(whole, tmp_path / "x.db")
        with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
            change = f"UPDATE {table} SET {column} = ? WHERE rowid IN (SELECT rowid FROM {table} {rows})"
            try:
                connection.execute(change, (value,))
            except sqlite3.IntegrityError:  # a key that SQLite itself maintains
                return None
        return f"sqlite:///{tmp_path}/x.db"

    return damage


def read_all(url: str) -> None:
    """Read everything that a database holds about its study."""
    list_studies(url)
    study = open_study(url)
    for ask in (study.trials, study.curves, study.environments, study.leases, study.counts, study.savings):
        ask()
    for ask in (study.frontier, study.confirmed, study.hypervolume, study.frontier_probabilities, study.to_frame):
        ask()
    for record in study.trials(full=False):
        study.gradient_flow(record.digest)
        study.weights(record)
    removable_files(study)
    study_status(study)


def test_the_undamaged_database_is_read(whole):
    """A database without damage is read without an error."""
    read_all(f"sqlite:///{whole}")
    assert len(open_study(f"sqlite:///{whole}").trials()) == 4


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table.name, marks=() if table.name == "explorer_claims" else pytest.mark.slow)
        for table in metadata.sorted_tables
    ],
)
def test_damage_raises_only_errors_of_the_explorer(damaged, table):
    """Any value in any column is used unchanged or gives a one-line error that names the fault. Numbers and JSON are
    left out where any text is accepted."""
    refused = 0
    for _, column in [place for place in COLUMNS if place[0] == table]:
        accepted = []
        for value in (*BAD, *TYPED):
            url = None if value in TYPED and "abc" in accepted else damaged(table, column, value)
            if url is None:
                continue
            try:
                read_all(url)
                accepted.append(value)
            except ExplorerError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1_500 and "\x1b" not in str(error)
    assert refused > 3 * len(metadata.tables[table].c)


@pytest.mark.parametrize("place", range(len(COLUMNS)), ids=[".".join(column) for column in COLUMNS])
def test_commands_name_the_damage(damaged, capsys, place):
    """Commands end with status 0, or with status 2 and one line, and print no raw text from the database."""
    table, column = COLUMNS[place]
    url = damaged(table, column, [*BAD, *TYPED][place % len([*BAD, *TYPED])])
    if url is None:  # a key that SQLite itself maintains, which only takes integers
        url = damaged(table, column, -1)
    for command in COMMANDS[place % 2 :: 2]:
        status, out, err = run(capsys, *command, "--storage", url)
        assert status in (0, 2) and "Traceback" not in err and "\x1b" not in out + err
        assert status == 0 or len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("attempt", "abc", r"explorer_trials, row 1, column attempt: expected 'integer', found 'text'"),
        ("attempt", -1, r"explorer_trials, trial 0, column attempt: expected a whole number of at least 1, found -1"),
        ("state", "done", r"column state: expected one of running, .* rejected.*, found 'done' \(str\)"),
        ("digest", "../../PWNED", r"trial"),
        ("objectives", '{"accuracy": NaN}', r"column objectives: expected JSON of an object of finite numbers"),
        ("objectives", '{"macs": 1.0}', r"trial 0, column objectives: accuracy is missing"),
        ("result", '{"epochs": 1}', r"trial 0, column result is not what the explorer writes there"),
        ("started", -5.0, r"column started: expected seconds since 1970, found -5.0"),
    ],
)
def test_the_row_and_the_column_are_named(damaged, column, value, said):
    """The message names the table, the row, the column, the value found, the value expected and the fix."""
    with pytest.raises(StoreError, match=said) as caught:
        read_all(damaged("explorer_trials", column, value))
    assert "damaged" in str(caught.value) and "restore a backup" in str(caught.value)


def test_compare_names_the_damage_of_its_studies(damaged, capsys):
    """The name of a study in a damaged database is not reported as a missing space file."""
    url = damaged("explorer_studies", "created", "abc")
    status, out, err = run(capsys, "compare", "one", "one", "--storage", url)
    assert (status, out) == (2, "") and "column created" in err and "no such file" not in err


def test_another_networks_architecture_is_rejected(damaged, capsys):
    """A row of architectures that contains another network is rejected when the architecture is read."""
    other = parse_space(SPACE_TEXT, "tiny.yaml").architecture(7).to_json()
    url = damaged("explorer_architectures", "json", other, "")
    status, out, err = run(capsys, "cost", "one:0", "--storage", url)
    assert status == 2 and out == "" and "holds another network" in err
    unsigned = json.loads(other)
    del unsigned["digest"]
    url = damaged("explorer_architectures", "json", json.dumps(unsigned), "")
    status, out, err = run(capsys, "cost", "one:0", "--storage", url)
    assert status == 2 and out == "" and "its content gives" in err


def test_no_name_in_a_database_points_outside_its_folder(url, tmp_path, space):
    """A trial that waits to be resumed with a path as its digest is rejected, and the files it names remain."""
    study = run_search(space, evaluate=good, storage=url, study="one", trials=1).study
    evil = "../../PWNED"
    target = (study.artifacts / evil).resolve()
    study.artifacts.mkdir(parents=True, exist_ok=True)
    files = [target.with_name(f"PWNED.{suffix}") for suffix in ("safetensors", "checkpoint")]
    for file in files:
        file.write_bytes(b"mine")
    with closing(sqlite3.connect(tmp_path / "explorer.db", isolation_level=None)) as connection:
        for table in ("explorer_architectures", "explorer_trials", "explorer_claims"):
            connection.execute(f"UPDATE {table} SET digest = ?", (evil,))
        connection.execute("UPDATE explorer_trials SET state = 'failed', resumable = 1")
    with pytest.raises(StoreError, match=r"column digest: expected the digest of a network"):
        run_search(space, evaluate=good, storage=url, study="one", trials=2)
    assert [file.read_bytes() for file in files] == [b"mine"] * 2
    for name in (evil, "/tmp/x", "v1-..", "v1-a/b", "v1-a\0", "", "v1-" + "a" * 300):
        for make in (weights_file, checkpoint_file, lambda folder, name: confirmation_checkpoint(folder, name, 1, 2)):
            with pytest.raises(StoreError, match="is not the digest of a network"):
                make(study.artifacts, name)
    assert weights_file(study.artifacts, "v1-0a").parent == study.artifacts
