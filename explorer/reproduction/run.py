"""Run an experiment: train its cases with several seeds in a study, and collect the results.

The trainings are kept as confirmations of the study: each is stored when it ends, and the same call resumes. All cases
of a seed have the same initial random numbers, order of images and augmentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from explorer.costs.analytic import count_cost
from explorer.errors import StudyError
from explorer.networks.architecture import Architecture
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.reproduction.catalogue import check_scale, find_experiment
from explorer.reproduction.comparison import Difference, Network, Row, differences, verdict
from explorer.reproduction.experiment import GRADIENT_RATIO, Case, Experiment, Scale
from explorer.reproduction.trials import FirstTraining, keep_as_trials
from explorer.space.search_space import SearchSpace, load_space
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import DEFAULT_STORAGE, check_storage, open_for_writing, open_if_present
from explorer.store.lease import new_worker
from explorer.store.presence.processes import Role
from explorer.store.study import Study
from explorer.study.confirm.loop import ConfirmationLoop, Event
from explorer.study.confirm.run import MAX_SEEDS
from explorer.study.plan import Plan, make_plan
from explorer.study.presence.attend import attend
from explorer.study.resuming import check_place, check_resumable, open_or_create_study
from explorer.study.seeds import seed_for
from explorer.study.settings import SearchSettings
from explorer.study.workers.jobs import Retraining, Training
from explorer.system.environment import find_device
from explorer.system.files import ABANDONED_SECONDS, sweep
from explorer.training.settings import TrainingSettings

STUDY_SEED = 0  # the seeds of trainings follow from it


@dataclass(frozen=True)
class Reproduction:
    """The result of an experiment.

    Attributes:
        experiment: The experiment.
        scale: Name of the scale.
        seeds: Seeds that were asked for.
        rows: The cases, measured.
        study: The study; None if nothing was trained.
        records: The complete trainings by case, in order of their seeds; empty if nothing was trained.
        ended: Why the run ended.
        missing: Trainings that were not done.
        seconds: Duration of this run.
        signal: Number of the signal that interrupted it, or 0.
        stopped: Whether a request to stop ended it.
    """

    experiment: Experiment
    scale: str
    seeds: int
    rows: tuple[Row, ...]
    study: Study | None
    records: Mapping[str, tuple[ConfirmationRecord, ...]]
    ended: str
    missing: int
    seconds: float
    signal: int = 0
    stopped: bool = False

    @property
    def differences(self) -> list[Difference]:
        """The differences between cases that the experiment asks for."""
        return differences(self.rows)

    @property
    def failed(self) -> int:
        """The number of failed trainings."""
        return sum(len(row.failures) for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the result for JSON. Errors are fractions."""
        experiment, factor = self.experiment, self.experiment.quantity.factor
        return {
            "experiment": experiment.name,
            "scale": self.scale,
            "quantity": experiment.quantity.name,
            "source": experiment.source,
            "differs": experiment.differs,
            "study": None if self.study is None else self.study.name,
            "storage": None if self.study is None else self.study.storage,
            "rows": [row.to_json(factor) for row in self.rows],
            "differences": [each.to_json(factor) for each in self.differences],
            "verdict": verdict(self.differences, experiment.quantity),
            "ended": self.ended,
            "missing": self.missing,
            "seconds": self.seconds,
        }


def run_experiment(
    name: str,
    scale: str = "tiny",
    *,
    seeds: int | None = None,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    data_dir: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    artifacts: str | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Reproduction:
    """Measure the cases of an experiment. The same call again resumes; with more seeds it adds trainings.

    Args:
        name: Name of the experiment.
        scale: tiny, small or full.
        seeds: Trainings of each case, 1 to 1,000; the scale's own number by default.
        storage: Database URL or file.
        study: Name of the study; ``reproduce-NAME-SCALE`` by default.
        data_dir: Folder of the data sets.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "float32" or "bfloat16".
        workers: Parallel trainings; by default one per core on a CPU, and one on a GPU.
        artifacts: Where checkpoints are kept, as for a search.
        progress: Called with each event.

    Raises:
        ExplorerError: StudyError for an unknown name or a number out of range; DataError, StoreError or TrainingError.
    """
    experiment = find_experiment(name)
    size = experiment.scales[check_scale(scale)]
    seeds = size.seeds if seeds is None else seeds
    for what, number, most in (("seeds", seeds, MAX_SEEDS), ("workers", workers, 1_024)):
        if number is not None and not 1 <= number <= most:
            raise StudyError(f"{what} must be in 1..{most}, found {number}")
    space, place = load_space(experiment.space), find_device(device)
    if experiment.quantity is GRADIENT_RATIO:
        return _measure_ratios(experiment, scale, size, seeds, space, place)
    check_storage(storage)
    workers = workers or (None if place == "cpu" else 1)
    settings = SearchSettings(
        training=TrainingSettings(
            data=experiment.data,
            data_dir=data_dir,
            subset=size.subset,
            recipe=size.recipe,
            epochs=size.epochs,
            device=place,
            precision=precision,
        ),
        storage=storage,
        artifacts=artifacts,
        study=study or f"reproduce-{name}-{scale}",
        workers=workers,
        seed=STUDY_SEED,
    )
    return _train(experiment, scale, size, seeds, make_plan(space, settings), progress)


def _train(
    experiment: Experiment,
    scale: str,
    size: Scale,
    seeds: int,
    plan: Plan,
    progress: Callable[[Event], None] | None,
) -> Reproduction:
    """Train the cases in a study, and evaluate them on the test split."""
    began = time.monotonic()
    networks = {case.name: plan.space.architecture(size.choices(case)) for case in experiment.cases}
    choices = {case.name: plan.space.derivation(size.choices(case)).choices for case in experiment.cases}
    trials = {name: _as_trial(network, choices[name]) for name, network in networks.items()}
    names = {trial.digest: name for name, trial in trials.items()}
    drawn = [seed_for("reproduce", STUDY_SEED, number) for number in range(seeds)]
    # The largest networks come first within a seed: the last trainings are short, so no core idles for long.
    largest_first = sorted(trials.values(), key=lambda trial: -trial.costs["macs"])
    wanted = {Wanted(trial.digest, size.epochs, seed): trial for seed in drawn for trial in largest_first}
    name = check_resumable(plan, present := open_if_present(plan.settings.storage))
    check_place(plan, name, present)
    database = open_for_writing(plan.settings.storage)
    try:
        study = open_or_create_study(plan, name, database)
        sweep(study.artifacts, older_than=time.time() - ABANDONED_SECONDS)
        writer = ConfirmationWriter(study, new_worker())
        writer.keep_networks({trial.digest: trial.architecture_json for trial in trials.values()})
        assert isinstance(plan.work, Training)  # the settings name no function of a caller
        work = Retraining(replace(plan.work, artifacts=study.artifacts))
        executor = plan.start_executor(work)

        def report(event: Event) -> None:
            if progress is not None:
                label = "" if event.training is None else names[event.training.digest]
                progress(replace(event, label=label))

        loop = ConfirmationLoop(wanted, writer, executor, plan.workers, report)
        with attend(loop, Role("reproduce"), device=plan.settings.training.device):
            ended = loop.run()
        kept = {Wanted.of(record): record for record in study.confirmations()}
        first = ((trial, kept.get(Wanted(trial.digest, size.epochs, drawn[0]))) for trial in trials.values())
        keep_as_trials(study, (FirstTraining(trial, each) for trial, each in first if each is not None))
    finally:
        database.close()
    found = {
        name: [kept[each] for seed in drawn if (each := Wanted(trial.digest, size.epochs, seed)) in kept]
        for name, trial in trials.items()
    }
    complete = {name: tuple(each for each in rows if each.state == "complete") for name, rows in found.items()}
    rows = tuple(
        Row(
            case,
            _described(networks[case.name], size.choices(case)),
            tuple(100 * (1 - each.test["accuracy"]) for each in complete[case.name]),
            tuple(each.reason for each in found[case.name] if each.state == "failed"),
        )
        for case in experiment.cases
    )
    return Reproduction(
        experiment,
        scale,
        seeds,
        rows,
        study,
        complete,
        ended,
        len(wanted) - loop.done,
        time.monotonic() - began,
        loop.signal,
        loop.stop is not None,
    )


def _measure_ratios(
    experiment: Experiment, scale: str, size: Scale, seeds: int, space: SearchSpace, device: str
) -> Reproduction:
    """Measure the gradient ratio of each case for the seeds 0, 1, 2, ..."""
    from explorer.reproduction.gradient_ratios import gradient_ratio  # imports torch, which trainings do in a child

    began = time.monotonic()

    def measured(case: Case) -> Row:
        network = space.architecture(size.choices(case))
        values = tuple(gradient_ratio(network, seed, device) for seed in range(seeds))
        return Row(case, _described(network, size.choices(case)), values)

    rows = tuple(map(measured, experiment.cases))
    seconds = time.monotonic() - began
    return Reproduction(experiment, scale, seeds, rows, None, {}, "all networks are measured", 0, seconds)


def _as_trial(network: Architecture, choices: Mapping[str, str]) -> TrialRecord:
    """Return a network as the record that a confirmation takes."""
    costs = {name: float(value) for name, value in count_cost(network).to_dict().items()}
    return TrialRecord(0, "complete", network.digest, network.to_json(), choices, costs)


def _described(network: Architecture, choices: Mapping[str, str]) -> Network:
    cost = count_cost(network)
    return Network(network.digest, choices, cost.weight_layers, cost.params, cost.macs)
