"""Best estimates and further trainings of a study as user attributes of Optuna's trials.

Optuna's values are those that the search measured. The best estimates of the objectives stand beside them, and the
further trainings behind these travel with the first trial of each network, so that an import has the same estimates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from explorer.analysis.quantities import BEFORE_TRAINING
from explorer.errors import StudyError
from explorer.records import ConfirmationRecord, TrainingResult, TrialRecord
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.lease import new_worker
from explorer.store.study import Study

CONFIRMATIONS = "confirmations"
ENDED = ("complete", "failed")


def estimate_attributes(study: Study, records: Iterable[TrialRecord]) -> dict[int, dict[str, Any]]:
    """Return the attributes of trials, without prefix: trial number -> name -> value.

    Args:
        study: The study.
        records: Its trials.

    Returns:
        ``estimate:NAME``, ``ci95:NAME`` (half the width of the interval) and ``source:NAME`` for each objective that an
        evaluation measures, and ``confirmations``: the ended further trainings of the network, without curves.
    """
    known = {*BEFORE_TRAINING, *study.fingerprint.get("costs", ())}
    measured = {name: study.estimates(name) for name in study.objectives if name not in known}
    further: dict[str, list[dict[str, Any]]] = {}
    for each in study.confirmations():
        if each.state in ENDED:
            further.setdefault(each.digest, []).append(_to_json(each))
    found: dict[int, dict[str, Any]] = {}
    for record in records:
        attributes: dict[str, Any] = {}
        for name, estimates in measured.items():
            number = record.number if record.same_as is None else record.same_as
            if (estimate := estimates.get(number)) is not None:
                values = {"estimate": estimate.value, "ci95": estimate.ci95, "source": estimate.source}
                attributes |= {f"{key}:{name}": value for key, value in values.items() if value is not None}
        if record.digest in further:
            attributes[CONFIRMATIONS] = further.pop(record.digest)
        found[record.number] = attributes
    return found


def _to_json(record: ConfirmationRecord) -> dict[str, Any]:
    """Return a further training as an attribute holds it."""
    result = None if record.result is None else {**asdict(record.result), "curve": []}
    kept = {name: getattr(record, name) for name in ("epochs", "seed", "state", "reason", "started")}
    return {**kept, "test": dict(record.test), "measured": dict(record.measured), "result": result}


def write_confirmations(study: Study, attributes: Iterable[tuple[str, Any]]) -> None:
    """Write the further trainings that came with trials into a study, in the order of their start.

    Args:
        study: The study.
        attributes: The digest of each network, and the value of the attribute of its trial.

    Raises:
        StudyError: A value is not what ``estimate_attributes`` returned.
        StoreError: The database cannot be written to.
    """
    writer, trainings = ConfirmationWriter(study, new_worker()), []
    for digest, value in attributes:
        try:
            trainings += [(each["started"] or 0.0, _wanted(digest, each), _ending(each)) for each in value]
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"the confirmations of network {digest} are not those that 'explorer export-optuna' wrote: {error!r};"
                " export the study again"
            ) from error
    for _, wanted, ending in sorted(trainings, key=lambda each: each[0]):
        if writer.claim([wanted]) is not None:
            writer.finish(wanted, **ending)


def _wanted(digest: str, each: Mapping[str, Any]) -> Wanted:
    return Wanted(digest, int(each["epochs"]), int(each["seed"]))


def _ending(each: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a further training ends."""
    if each["state"] == "failed":
        return {"reason": str(each["reason"])}
    test, measured = (
        {str(name): float(value) for name, value in each[key].items()} or None for key in ("test", "measured")
    )
    result = None if each["result"] is None else TrainingResult(**{**each["result"], "curve": ()})
    return {"test": test, "measured": measured, "result": result}
