"""The first training of each case as a trial of the study, with its validation metrics.

So ``explorer trials``, ``effects``, ``report`` and the dashboard show the study like that of a search.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from explorer.analysis.quantities import TRAINED
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.store.lease import new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.study import Study
from explorer.store.writer import NumberTaken, StudyWriter


@dataclass(frozen=True, slots=True)
class FirstTraining:
    """The first training of a case.

    Attributes:
        network: The network with its choices and costs.
        training: Its training.
    """

    network: TrialRecord
    training: ConfirmationRecord


def keep_as_trials(study: Study, trainings: Iterable[FirstTraining]) -> None:
    """Store the trainings whose networks are no trials of the study yet.

    Args:
        study: The study.
        trainings: Complete trainings.

    Raises:
        StoreError: The database cannot be written to.
    """
    writer = StudyWriter(study, new_worker())
    for each in trainings:
        trials, network, result = study.trials(full=False), each.network, each.training.result
        if result is None or network.digest in {trial.digest for trial in trials}:
            continue
        proposal = Proposal(
            digest=network.digest,
            architecture=network.architecture_json,
            choices=network.choices,
            costs=network.costs,
            seed=each.training.seed,
        )
        measured = {name: getattr(result, field) for name, field in TRAINED.items()}
        known = {name: network.costs[name] for name in study.objectives if name in network.costs}
        try:
            writer.begin(len(trials), proposal)
        except NumberTaken:  # another process stores the same trainings
            continue
        writer.finish(
            len(trials),
            Ending(
                "complete",
                {**measured, **known},
                result,
                environment=each.training.environment,
                duration=result.seconds,
            ),
        )
