"""The trainings of a study's networks from fresh seeds, to read: how each did on the test split, and what their noise
says about the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Row, inspect, select

from explorer.errors import StoreError, did_you_mean
from explorer.noise import frontier_probabilities, pooled_std
from explorer.quantities import TRAINED, is_maximised
from explorer.records import ConfirmationRecord, Confirmed, TrainingResult, TrialRecord
from explorer.store.checking import (
    LONGEST_REASON,
    MOMENT,
    NETWORK,
    NUMBERS,
    SEEDS,
    DamagedRow,
    check_row,
    one_of,
    optional,
    read_json,
    shown,
    text,
    whole,
)
from explorer.store.rows import read_environment, read_result
from explorer.store.schema import confirmations, environments

if TYPE_CHECKING:
    from explorer.store.study import Study


def read_confirmations(study: Study, since_revision: int = 0) -> list[ConfirmationRecord]:
    """Every training of ``explorer confirm``, in the order in which they began."""
    joined = confirmations.outerjoin(environments, confirmations.c.environment == environments.c.digest)
    mine = (confirmations.c.study_id == study.id, confirmations.c.revision > since_revision)
    query = select(*confirmations.c, environments.c.json.label("environment_json")).select_from(joined).where(*mine)
    query = query.order_by(confirmations.c.started, confirmations.c.digest, confirmations.c.seed)
    with study.database.read() as connection:
        if not inspect(connection).has_table(confirmations.name):  # a database of before that command
            return []
        return [to_confirmation(row) for row in connection.execute(query)]


def confirmed_networks(
    study: Study, trials: Iterable[TrialRecord], x: str, y: str, epochs: int | None
) -> list[Confirmed]:
    """As ``Study.confirmed``, of the networks of ``trials``."""
    if y not in TRAINED:
        raise StoreError(f"networks are tested for {', '.join(TRAINED)}, not for {y!r}{did_you_mean(y, TRAINED)}")
    records = [record for record in read_confirmations(study) if record.state != "running"]
    if epochs is None:
        ended = [record for record in records if record.state == "complete"] or records
        epochs = max(ended, key=lambda record: record.finished or 0.0).epochs if ended else None
    of_network: dict[str, list[ConfirmationRecord]] = {}
    for record in records:
        if record.epochs == epochs:
            of_network.setdefault(record.digest, []).append(record)
    found = []
    for trial in trials:
        own, cost = of_network.get(trial.digest, []), trial.value(x)
        if own and cost is not None:
            found.append(_confirmed(trial, cost, own, y))
    return sorted(_with_probabilities(found, y), key=lambda each: (each.x, each.trial))


def _confirmed(trial: TrialRecord, cost: float, records: list[ConfirmationRecord], y: str) -> Confirmed:
    done = sorted((record for record in records if record.state == "complete"), key=lambda record: record.started or 0)
    if any(y not in record.test for record in done):
        raise StoreError(f"trial {trial.number}: a training from a fresh seed has no test {y}")
    test = tuple(record.test[y] for record in done)
    return Confirmed(
        trial=trial.number,
        digest=trial.digest,
        x=cost,
        epochs=records[0].epochs,
        seeds=len(test),
        test=test,
        test_mean=_mean(test),
        test_std=pooled_std([test]),
        validation_mean=_mean([value for record in done if (value := _validation(record.result, y)) is not None]),
        failed=len(records) - len(done),
        frontier_probability=None,
    )


def _with_probabilities(networks: list[Confirmed], y: str) -> list[Confirmed]:
    tested = [each for each in networks if each.seeds]
    noise = pooled_std(each.test for each in tested)
    if noise is None:
        return networks
    sign = 1 if is_maximised(y) else -1
    values = [sign * each.test_mean for each in tested]  # type: ignore[operator]
    errors = [noise / math.sqrt(each.seeds) for each in tested]
    told = dict(zip((e.digest for e in tested), frontier_probabilities([e.x for e in tested], values, errors)))
    return [replace(each, frontier_probability=told.get(each.digest)) for each in networks]


def training_noise(study: Study, y: str) -> float | None:
    """As ``Study.training_noise``."""
    return pooled_std(_validations(study, y).values())


def trial_probabilities(study: Study, trials: Iterable[TrialRecord], x: str, y: str, sign: int) -> dict[int, float]:
    """As ``Study.frontier_probabilities``, of ``trials``; ``sign``: 1 where ``y`` is maximised, else -1."""
    repeats = _validations(study, y)
    noise = pooled_std(repeats.values())
    if noise is None:
        return {}
    numbers, costs, values, errors = [], [], [], []
    for trial in trials:
        cost, value = trial.value(x), trial.value(y)
        if cost is not None and value is not None:
            fresh = repeats.get(trial.digest, [])
            numbers.append(trial.number)
            costs.append(cost)
            values.append(sign * (sum(fresh) / len(fresh) if fresh else value))
            errors.append(noise / math.sqrt(len(fresh) or 1))
    return dict(zip(numbers, frontier_probabilities(costs, values, errors)))


def _validations(study: Study, y: str) -> dict[str, list[float]]:
    """The validation values of the confirmed trainings that were as long as a trial's, by network."""
    out: dict[str, list[float]] = {}
    for record in read_confirmations(study):
        value = _validation(record.result, y)
        if record.state == "complete" and record.epochs == study.fingerprint.get("epochs") and value is not None:
            out.setdefault(record.digest, []).append(value)
    return out


def _validation(result: TrainingResult | None, y: str) -> float | None:
    return getattr(result, TRAINED[y]) if result is not None and y in TRAINED else None


def to_confirmation(row: Row) -> ConfirmationRecord:
    """The training that a row holds. Raises DamagedRow."""
    data = row._asdict()
    where = f"explorer_confirmations, network {shown(data['digest'])}, seed {shown(data['seed'])}"
    check_row(where, data, _CONFIRMATION)
    test = read_json(f"{where}, column test", data["test"], NUMBERS)
    if data["state"] == "complete" and "accuracy" not in test:
        raise DamagedRow(f"{where}, column test: a complete training has an accuracy, found {shown(data['test'])}")
    return ConfirmationRecord(
        digest=data["digest"],
        seed=data["seed"],
        epochs=data["epochs"],
        state=data["state"],
        reason=data["reason"],
        test=test,
        result=read_result(where, data["result"]),
        attempt=data["attempt"],
        worker=data["worker"],
        environment=read_environment(data["environment"], data.get("environment_json")),
        started=data["started"],
        finished=data["finished"],
        revision=data["revision"],
    )


_CONFIRMATION = {
    "digest": NETWORK,
    "seed": whole(*SEEDS),
    "epochs": whole(1),
    "state": one_of("running", "complete", "failed"),
    "reason": text(LONGEST_REASON),
    "attempt": whole(1),
    "worker": text(1_000),
    "environment": optional(text(80)),
    "started": MOMENT,
    "finished": optional(MOMENT),
    "revision": whole(0),
}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
