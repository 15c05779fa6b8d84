"""Studies become Optuna studies, and Optuna studies of a space's choices become studies."""

from __future__ import annotations

import json
import warnings

import optuna
import pytest

import explorer
from explorer.errors import StoreError, StudyError
from explorer.records import Epoch, TrainingResult
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.studies import create_study, list_studies
from explorer.store.writer import StudyWriter
from explorer.study.recorded_space import recorded_space
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, good, score

SPACE = explorer.parse_space(SPACE_TEXT, "tiny.yaml")
CURVE = tuple(Epoch(n, 1.0, 1.0, n / 10, 1.0, 0.1, 1.0) for n in (1, 2))
RESULT = TrainingResult(0.2, 1.0, 1.0, 2, 2.0, 100.0, CURVE)
OBJECTIVES = {"accuracy": "max", "macs": "min"}


@pytest.fixture
def study(tmp_path):
    """A study with a trial of every state, and a limit."""
    made = create_study(
        open_for_writing(f"sqlite:///{tmp_path}/explorer.db"),
        "one",
        space_name=SPACE.name,
        space_text=SPACE.text,
        fingerprint={"data": "digits", "split": {}, "recipe": {}, "epochs": 2, "costs": [], "evaluate": "training"},
        objectives=OBJECTIVES,
        seed=3,
        limits=["macs<=300k"],
    )
    writer = StudyWriter(made, new_worker())

    def proposal(index: int) -> Proposal:
        derivation = SPACE.unrank(index)
        network = SPACE.architecture(derivation)
        costs = explorer.cost(network).to_dict()
        return Proposal(network.digest, network.to_json(), dict(derivation.choices), costs, index)

    endings = [
        Ending("complete", {"accuracy": 0.2, "macs": proposal(0).costs["macs"], "top5": 0.9}, RESULT),
        Ending("complete", {"accuracy": 0.3, "macs": proposal(1).costs["macs"]}, RESULT),
        Ending("stopped", result=RESULT, reason="place 9 of 9"),
        Ending("failed", reason="no luck"),
    ]
    for number, ending in enumerate(endings):
        writer.begin(number, proposal(number))
        writer.finish(number, ending)
    writer.begin(4, proposal(0))  # cached
    writer.refuse(5, proposal(20), "rejected", "macs <= 300k")
    writer.begin(6, proposal(6))  # running
    yield made
    made.database.close()


def test_every_trial_becomes_one_of_optuna(study):
    """Numbers, states, values, parameters, curves, constraints, times and user attributes are those of the study."""
    made = study.to_optuna()
    trials, records = made.trials, study.trials()
    names = [trial.state.name for trial in trials]
    assert names == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "COMPLETE", "FAIL", "RUNNING"]
    assert [trial.params for trial in trials] == [dict(record.choices) for record in records]
    assert trials[0].values == [0.2, records[0].costs["macs"]] and trials[4].values == trials[0].values
    assert trials[2].intermediate_values == {1: 0.1, 2: 0.2}
    assert trials[0].user_attrs["params"] == records[0].costs["params"] and trials[0].user_attrs["top5"] == 0.9
    assert trials[3].user_attrs["explorer:reason"] == "no luck" and trials[4].user_attrs["explorer:same_as"] == 0
    assert [trial.datetime_start.timestamp() for trial in trials] == pytest.approx([each.started for each in records])
    assert [way.name for way in made.directions] == ["MAXIMIZE", "MINIMIZE"] and made.metric_names == list(OBJECTIVES)
    excess = [list(trial.constraints.values()) for trial in trials[:2]]
    limited = [record.costs["macs"] - 300_000 for record in records[:2]]
    assert [value > 0 for (value,) in excess] == [value > 0 for value in limited]
    assert {trial.number for trial in made.best_trials} <= {0, 1, 4}


def test_optuna_draws_its_figures(study):
    """The figures of ``optuna.visualization`` accept the study."""
    pytest.importorskip("plotly", reason="the extra [dashboard] is not installed")
    made = study.to_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert optuna.visualization.plot_pareto_front(made, targets=lambda trial: trial.values).data
        assert optuna.visualization.plot_slice(made, target=lambda trial: trial.values[0], target_name="accuracy").data
        assert optuna.visualization.plot_timeline(made).data
        assert optuna.visualization.plot_parallel_coordinate(made, target=lambda trial: trial.values[0]).data


def test_a_study_returns_from_optuna(study, tmp_path):
    """A study that was written to an Optuna storage is read back without the space, with its settings and trials."""
    study.to_optuna(f"sqlite:///{tmp_path}/optuna.db")
    imported = explorer.from_optuna(str(tmp_path / "optuna.db"), storage=f"sqlite:///{tmp_path}/back.db")
    back = imported.study
    assert (imported.unfinished, imported.repeated) == (1, 0)
    assert (back.name, back.fingerprint, back.objectives, back.limits, back.seed) == (
        *(study.name, study.fingerprint, study.objectives, study.limits, study.seed),
    )
    before, after = study.trials()[:6], back.trials()
    assert [trial.state for trial in after] == [trial.state for trial in before]
    for name in ("number", "digest", "choices", "costs", "objectives", "seed", "same_as"):
        assert [getattr(trial, name) for trial in after] == [getattr(trial, name) for trial in before], name
    assert after[3].reason == "no luck"
    with pytest.raises(StoreError, match="there is a study 'one' in"):
        explorer.from_optuna(f"sqlite:///{tmp_path}/optuna.db", storage=f"sqlite:///{tmp_path}/back.db")
    with pytest.raises(StoreError, match="there is an Optuna study of this name already"):
        study.to_optuna(f"sqlite:///{tmp_path}/optuna.db")
    assert study.to_optuna(f"sqlite:///{tmp_path}/optuna.db", "two").study_name == "two"


def test_estimates_and_confirmations_travel(study, tmp_path):
    """The best estimates are user attributes, and a study that returns has the same further trainings and front."""
    writer = ConfirmationWriter(study, new_worker())
    for number, accuracies in ((0, (0.5, 0.54)), (1, (0.1, 0.12, None))):
        for seed, accuracy in enumerate(accuracies):
            wanted = Wanted(study.trial(number).digest, 2, seed)
            writer.claim([wanted])
            test = None if accuracy is None else {"accuracy": accuracy, "top5": 0.9, "loss": 1.0}
            writer.finish(wanted, test=test, result=None if test is None else RESULT, reason="" if test else "no luck")
    made = study.to_optuna(f"sqlite:///{tmp_path}/optuna.db")
    estimate, attributes = study.estimates()[0], made.trials[0].user_attrs
    assert attributes["explorer:estimate:accuracy"] == estimate.value == pytest.approx(0.52)
    assert attributes["explorer:ci95:accuracy"] == estimate.ci95 > 0
    assert attributes["explorer:source:accuracy"] == "test, 2 fresh seeds"
    assert made.trials[4].user_attrs["explorer:estimate:accuracy"] == estimate.value  # cached
    assert "explorer:estimate:macs" not in attributes
    back = explorer.from_optuna(f"sqlite:///{tmp_path}/optuna.db", storage=f"sqlite:///{tmp_path}/back.db").study

    def ended(of):
        names = ("digest", "seed", "epochs", "state", "reason", "test", "measured")
        return [tuple(getattr(each, name) for name in names) for each in of.confirmations()]

    assert ended(back) == ended(study) and len(ended(back)) == 5
    assert back.estimates() == study.estimates() and back.estimates("top5") == study.estimates("top5")
    assert [trial.number for trial in back.frontier()] == [trial.number for trial in study.frontier()]
    key = "explorer:confirmations"
    for wrong in ("words", [{"seed": 1}], 3):
        broken = study.to_optuna()
        trial_id = broken._storage.get_all_trials(broken._study_id)[0]._trial_id
        with pytest.raises(StudyError, match="are not those that 'explorer export-optuna' wrote"):
            broken._storage._get_trial(trial_id).user_attrs[key] = wrong
            explorer.from_optuna(broken._storage, storage=f"sqlite:///{tmp_path}/broken.db")
    assert list_studies(f"sqlite:///{tmp_path}/broken.db") == []


def test_networks_keep_the_input_of_the_study(tmp_path, capsys):
    """A study whose data have another shape than the space file gets the same networks back, at every place that
    reads its space; an export without its input is refused instead of read as other networks."""
    space, target = SPACE.with_input((3, 16, 16), 5), f"sqlite:///{tmp_path}/back.db"
    study = explorer.search(space, evaluate=good, trials=4, workers=1, progress=False)
    assert recorded_space(study).digest == space.digest != SPACE.digest
    optuna_file = f"sqlite:///{tmp_path}/optuna.db"
    made = study.to_optuna(optuna_file)
    back = explorer.from_optuna(optuna_file, storage=target).study
    for before, after in zip(study.trials(), back.trials(), strict=True):
        assert (after.digest, after.costs, after.architecture) == (before.digest, before.costs, before.architecture)
    resumed = explorer.search(
        space, evaluate=good, trials=6, study=back.name, storage=target, workers=1, progress=False
    )
    assert {trial.architecture.input for trial in resumed.trials()} == {space.input}
    about = {**made.user_attrs["explorer"]}
    del about["input"], about["classes"]  # as earlier versions wrote it
    made.set_user_attr("explorer", about)
    for given in (None, SPACE):
        with pytest.raises(StudyError, match="name the space with the input and classes of the study"):
            explorer.from_optuna(optuna_file, space=given, storage=target, study="other")
    assert explorer.from_optuna(optuna_file, space=space, storage=target, study="other").study.trials()[0].digest
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    line = ("import-optuna", str(tmp_path / "optuna.db"), "--storage", target, "--study", "third")
    status, _, err = run(capsys, *line, "--input", "3x16x16", "--classes", "5")
    assert status == 2 and "name the space" in err
    assert run(capsys, *line, "--space", str(tmp_path / "tiny.yaml"), "--input", "3x16x16", "--classes", "5")[0] == 0
    assert explorer.open_study(target, "third").trial(0).digest == study.trial(0).digest


def own_study(url: str | None = None) -> optuna.Study:
    """Return a study as a user of Optuna makes it, with whole numbers as parameters, of which one repeats a network."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(study_name="mine", storage=url, directions=["maximize", "minimize"])

    def objective(trial):
        depth = trial.suggest_int("depth", 1, 3)
        choices = {"depth": str(depth), "act": trial.suggest_categorical("act", ["relu", "silu", "gelu"])}
        trial.suggest_categorical("attn", ["none"])
        return score(choices) + 0.001 * trial.number, depth

    for depth in (1, 2, 3, 2):
        made.enqueue_trial({"depth": depth, "act": "relu"})
    made.optimize(objective, n_trials=4)
    return made


def test_a_users_optuna_study_becomes_a_study(tmp_path):
    """Parameters may be numbers; trials of one network are repeats; a search with ``evaluate`` resumes the study."""
    space = explorer.parse_space(SPACE_TEXT.replace("attn: none | se(r=ratio)\n  ratio: 2 | 4", "attn: none | eca"))
    made = own_study()
    target = f"sqlite:///{tmp_path}/explorer.db"
    with pytest.raises(StudyError, match="records no space; name it with --space"):
        explorer.from_optuna(made._storage, storage=target)
    with pytest.raises(StudyError, match="has 2 objectives; name them in its order"):
        explorer.from_optuna(made._storage, space=space, storage=target)
    imported = explorer.from_optuna(
        made._storage, space=space, objectives=("accuracy", "latency_ms"), storage=target, study="theirs"
    )
    study = imported.study
    assert imported.repeated == 1 and study.counts()["complete"] == 3 and study.counts()["cached"] == 1
    assert study.trial(1).objectives["accuracy"] == pytest.approx(score({"depth": "2", "act": "relu"}) + 0.001)
    (repeat,) = study.confirmations()
    assert repeat.digest == study.trial(1).digest
    assert repeat.measured["accuracy"] == pytest.approx(score({"depth": "2", "act": "relu"}) + 0.003)
    assert len(study.frontier("macs", "accuracy")) > 0 and len(study.effects("depth")) > 0


def test_costs_are_counted_again(tmp_path, capsys):
    """A cost that is an objective is that of the network, whatever value a trial or its repeat has in Optuna."""
    made = optuna.create_study(
        study_name="mine", storage=f"sqlite:///{tmp_path}/optuna.db", directions=["maximize", "minimize"]
    )
    networks = [SPACE.unrank(index) for index in (0, 1, 1)]
    counted = [explorer.cost(SPACE.architecture(network)).macs for network in networks]
    options = {name: optuna.distributions.CategoricalDistribution(texts) for name, texts in SPACE.choices()}
    for network, macs in zip(networks, (counted[0], 12_345, 12_346), strict=True):
        spaces = {name: options[name] for name in network.choices}
        params = dict(network.choices)
        made.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, values=[0.5, macs]))
    (tmp_path / "tiny.yaml").write_text(SPACE_TEXT)
    line = ("import-optuna", str(tmp_path / "optuna.db"), "--objectives", "accuracy,macs", "--study", "a")
    line += ("--space", str(tmp_path / "tiny.yaml"), "--storage", f"sqlite:///{tmp_path}/explorer.db")
    status, out, _ = run(capsys, *line)
    assert status == 0 and "2 trials had other costs in Optuna: counted again from the networks" in out
    study = explorer.open_study(f"sqlite:///{tmp_path}/explorer.db", "a")
    assert [trial.objectives["macs"] for trial in study.trials()] == counted
    assert [trial.costs["macs"] for trial in study.trials()] == counted
    assert [each.measured["macs"] for each in study.confirmations()] == counted[2:]


def test_parameters_that_are_no_choices_are_named(tmp_path):
    """A parameter with another name or value gives one message, and no study is created."""
    storage = f"sqlite:///{tmp_path}/explorer.db"
    made = optuna.create_study(study_name="mine", direction="maximize")
    good_choices = dict(SPACE.unrank(0).choices)
    for wrong, message in (
        ({**good_choices, "depth": "7"}, "choice 'depth' is one of 1, 2, 3; found '7'"),
        ({**good_choices, "lr": 0.1}, "parameter 'lr' is no choice of the space"),
        ({"depth": "1"}, "found no parameter of this name"),
    ):
        made = optuna.create_study(direction="maximize")
        distributions = {name: optuna.distributions.CategoricalDistribution([value]) for name, value in wrong.items()}
        made.add_trial(optuna.trial.create_trial(params=wrong, distributions=distributions, value=0.5))
        with pytest.raises(StudyError, match=message):
            explorer.from_optuna(made._storage, space=SPACE, objectives=["accuracy"], storage=storage)
    assert not (tmp_path / "explorer.db").exists()


def test_accuracies_in_percent_are_not_imported(tmp_path):
    """An accuracy of 93.5 in a user's Optuna study gives one message that names the trial, and no study is created."""
    made = optuna.create_study(direction="maximize")
    choices = dict(SPACE.unrank(0).choices)
    distributions = {name: optuna.distributions.CategoricalDistribution([value]) for name, value in choices.items()}
    made.add_trial(optuna.trial.create_trial(params=choices, distributions=distributions, value=93.5))
    storage = f"sqlite:///{tmp_path}/explorer.db"
    with pytest.raises(StudyError, match=r"^Optuna trial 0: accuracy is 93.5, expected a share from 0 to 1"):
        explorer.from_optuna(made._storage, space=SPACE, objectives=["accuracy"], storage=storage)
    assert not (tmp_path / "explorer.db").exists()
    found = explorer.from_optuna(made._storage, space=SPACE, objectives=["score"], storage=storage, study="kept").study
    assert found.trial(0).objectives["score"] == 93.5


def test_both_commands_work(capsys, tmp_path, monkeypatch):
    """``export-optuna`` and ``import-optuna`` exchange a study through a file; mistakes are one line."""
    monkeypatch.chdir(tmp_path)
    explorer.search(SPACE, evaluate=good, trials=3, study="a", storage="sqlite:///a.db", workers=1, progress=False)
    line = ("--storage", "sqlite:///a.db")
    assert run(capsys, "export-optuna", "a", "optuna.db", *line)[1] == "wrote 3 trials as Optuna study 'a'\n"
    status, out, _ = run(capsys, "import-optuna", "optuna.db", "--study", "b", *line, "--json")
    assert status == 0 and json.loads(out)["trials"]["complete"] == 3
    resumed = explorer.search(
        SPACE, evaluate=good, trials=5, study="b", storage="sqlite:///a.db", workers=1, progress=False
    )
    assert resumed.counts()["complete"] == 5
    for arguments, message in (
        (("export-optuna", "a", "optuna.db"), "already"),
        (("import-optuna", "missing.db"), "there is no file"),
        (("import-optuna", "a.db"), "holds no Optuna studies"),
        (("import-optuna", "optuna.db", "--name", "zz"), "zz"),
    ):
        status, _, err = run(capsys, *arguments, *line)
        assert status == 2 and message in err and err.count("\n") == 1, err
