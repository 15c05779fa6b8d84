"""Write a study as an Optuna study, and read an Optuna study whose parameters are the choices of a space."""

from __future__ import annotations

import datetime
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, OptunaError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from explorer.analysis.limits import parse_limit
from explorer.analysis.quantities import FRACTIONS
from explorer.costs.analytic import count_cost
from explorer.errors import SpaceError, StoreError, StudyError, did_you_mean, one_line
from explorer.networks.architecture import DIGEST_VERSION
from explorer.records import TrialRecord
from explorer.space.choices import Choice, Derivation
from explorer.space.search_space import SearchSpace, parse_space
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import DEFAULT_STORAGE, open_for_writing, open_if_present
from explorer.store.lease import new_worker
from explorer.store.managing.changes import delete_study, require_free_name
from explorer.store.passwords import driver_message, hide_passwords
from explorer.store.rows import Ending, Proposal
from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file
from explorer.store.studies import check_name, create_study, open_study
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.exchange.estimates import CONFIRMATIONS, estimate_attributes, write_confirmations
from explorer.study.fingerprint.fingerprint import make_fingerprint
from explorer.study.recorded_space import recorded_space
from explorer.study.settings import SearchSettings
from explorer.study.workers.jobs import share

ATTRIBUTE = "explorer"  # the user attribute of an Optuna study, and the prefix of those of its trials
STATES = {
    "complete": TrialState.COMPLETE,
    "cached": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "running": TrialState.RUNNING,
}
CURVES = {"accuracy": "val_accuracy", "top5": "val_top5", "loss": "val_loss"}  # objective -> its name in an epoch


def _storage(given: str | os.PathLike[str] | BaseStorage | None, must_exist: bool = False) -> BaseStorage | None:
    """Return the storage of a URL or a path. Raises StoreError if it must exist and its file does not."""
    if given is None or isinstance(given, BaseStorage):
        return given
    if os.fspath(given).startswith("mysql"):  # Optuna stores studies there, the explorer does not
        return RDBStorage(os.fspath(given))
    url = parse_storage(given)
    if must_exist and (file := sqlite_file(url)) is not None and not file.is_file():
        raise StoreError(f"{shown_storage(url)}: there is no file {file}; give the storage of an Optuna study")
    if must_exist:
        engine = create_engine(url)
        if not inspect(engine).has_table("study_directions"):  # Optuna would create its tables
            raise StoreError(f"{shown_storage(url)}: this database holds no Optuna studies")
        engine.dispose()
    return RDBStorage(url.render_as_string(hide_password=False))


@contextmanager
def _optuna_errors(storage: object) -> Iterator[None]:
    """Raise StoreErrors in place of Optuna's errors, and silence its log and its warnings of new functions."""
    shown = hide_passwords(str(storage)) if isinstance(storage, (str, os.PathLike)) else "the Optuna storage"
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    except DuplicatedStudyError as error:
        raise StoreError(f"{shown}: there is an Optuna study of this name already; give another name") from error
    except (KeyError, ValueError, OptunaError, SQLAlchemyError, ImportError) as error:
        raise StoreError(f"{shown}: {driver_message(error)}") from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def to_optuna(study: Study, storage: str | BaseStorage | None = None, name: str = "") -> optuna.Study:
    """Write a study as an Optuna study, for ``optuna.visualization`` and optuna-dashboard.

    The trials keep their numbers, start and end times. The choices are categorical parameters. Stopped trials are
    pruned; failed, rejected and interrupted ones have failed, with their reason as a user attribute. Limits are
    constraints. Costs, further metrics, digest, seed, state, best estimates and the further trainings of the network
    are user attributes of the trials; the space and the settings are user attributes of the study, so that
    ``from_optuna`` needs no others. The values are those of the search.

    Args:
        study: The study.
        storage: An Optuna storage, its URL, or the path of an SQLite file; None keeps the result in memory.
        name: The name of the Optuna study; by default that of the study.

    Returns:
        The Optuna study.

    Raises:
        StoreError: The storage has an Optuna study of this name, or cannot be written to.
    """
    space = recorded_space(study)
    directions = [
        StudyDirection.MAXIMIZE if way == "max" else StudyDirection.MINIMIZE for way in study.objectives.values()
    ]
    limits = [parse_limit(text) for text in study.limits]
    with _optuna_errors(storage):
        made = optuna.create_study(study_name=name or study.name, storage=_storage(storage), directions=directions)
        made.set_metric_names(list(study.objectives))
        about = {"space_name": study.space_name, "space_text": study.space_text, "seed": study.seed}
        about |= {"input": list(space.input), "classes": space.classes}
        made.set_user_attr(ATTRIBUTE, {**about, "fingerprint": dict(study.fingerprint), "limits": list(study.limits)})
        records = study.trials()
        extra = estimate_attributes(study, records)
        for record in records:
            excess = {str(each): each.excess(record.costs) for each in limits}
            made.add_trial(_to_trial(record, study, space, excess, extra[record.number]))
    return made


def _to_trial(
    record: TrialRecord, study: Study, space: SearchSpace, excess: Mapping[str, float], extra: Mapping[str, Any]
) -> FrozenTrial:
    """Return a trial as a trial of Optuna."""
    state = STATES.get(record.state, TrialState.FAIL)
    values = [record.objectives[name] for name in study.objectives] if state == TrialState.COMPLETE else None
    measured = next((name for name in study.objectives if name in CURVES), None)
    curve = record.result.curve if record.result is not None and measured is not None else ()
    attributes: dict[str, Any] = record.quantities
    facts = {"state": record.state, "digest": record.digest, "seed": record.seed, "reason": record.reason}
    facts |= {"same_as": record.same_as, "seconds": record.seconds, "worker": record.worker, **extra}
    attributes |= {f"{ATTRIBUTE}:{name}": value for name, value in facts.items() if value not in (None, "")}
    trial = create_trial(
        state=state,
        values=values,
        params=dict(record.choices),
        distributions=dict(_distributions(space, record.choices)),
        user_attrs=attributes,
        intermediate_values={epoch.epoch: getattr(epoch, CURVES[measured or ""]) for epoch in curve},
        constraints=dict(excess) if excess and state == TrialState.COMPLETE else None,
    )
    trial.datetime_start = _time(record.started)
    if state.is_finished():
        trial.datetime_complete = _time(record.finished or record.started)
    return trial


def _time(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds)


def _distributions(space: SearchSpace, choices: Mapping[str, str]) -> Mapping[str, CategoricalDistribution]:
    """Return the distributions of the choices of one network."""
    found: dict[str, CategoricalDistribution] = {}

    def replay(choice: Choice) -> str:
        found[choice.name] = CategoricalDistribution(choice.options)
        return choices[choice.name]

    space.derive(replay)
    return found


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read from an Optuna study.

    Attributes:
        study: The study that was created.
        unfinished: Running and waiting trials, which were left out.
        repeated: Trials of a network that an earlier trial has: their values are repeats of it.
        recounted: Trials of which a cost had another value in Optuna than their network has.
    """

    study: Study
    unfinished: int
    repeated: int
    recounted: int = 0


def from_optuna(
    source: str | BaseStorage,
    name: str = "",
    *,
    space: SearchSpace | None = None,
    objectives: Sequence[str] = (),
    storage: str | os.PathLike[str] = DEFAULT_STORAGE,
    study: str = "",
) -> Imported:
    """Read an Optuna study into a new study, with which all commands and pages work.

    The parameters of its trials must be the choices of the space, and their values the alternatives as the space file
    spells them. A search with ``evaluate`` and the same objectives resumes the new study.

    Args:
        source: An Optuna storage, its URL, or the path of an SQLite file.
        name: The name of the Optuna study; may be empty if the storage has one.
        space: The space, with the input and classes of the networks; None for a study that ``to_optuna`` wrote.
        objectives: The names of the objectives in Optuna's order; by default Optuna's metric names.
        storage: The database of the new study.
        study: The name of the new study; by default that of the Optuna study.

    Returns:
        The new study, and what was left out.

    Raises:
        StoreError: The storage cannot be read or written to, or a study of that name exists.
        StudyError: A trial is not a network of the space, the objectives have no names, or an accuracy is no share from
            0 to 1; nothing is written.
    """
    with _optuna_errors(source):
        opened = _storage(source, must_exist=True)
        assert opened is not None
        known = optuna.get_all_study_names(opened)
        if name not in known and (name or len(known) != 1):
            fault = f"there is no Optuna study {name!r}" if name else "name one of its Optuna studies with --name"
            listed = ", ".join(map(repr, known[:20])) or "none"
            raise StoreError(f"{fault}; the storage has {listed}{did_you_mean(name, known)}")
        found = optuna.load_study(study_name=name or known[0], storage=opened)
        trials, about = found.get_trials(deepcopy=False), found.user_attrs.get(ATTRIBUTE)
        metrics, directions = objectives or found.metric_names or (), found.directions
    about = about if isinstance(about, Mapping) else None
    if space is None and about is None:
        raise StudyError(f"Optuna study {found.study_name!r} records no space; name it with --space SPACE")
    space = space or parse_space(str((about or {})["space_text"]), f"the space of Optuna study {found.study_name!r}")
    if about is not None and "input" in about:
        space = space.with_input(about["input"], about["classes"])
    if len(metrics) != len(directions):
        count = f"{len(directions)} objective{'s' if len(directions) > 1 else ''}"
        raise StudyError(
            f"Optuna study {found.study_name!r} has {count}; name them in its order, as in --objectives accuracy,macs"
        )
    ways = {each: "max" if way == StudyDirection.MAXIMIZE else "min" for each, way in zip(metrics, directions)}
    ended = [trial for trial in trials if trial.state.is_finished()]
    derived = {trial.number: _derivation(space, trial) for trial in ended}
    for trial in ended if about is None else ():
        _check_shares(ways, trial)
    if about is not None and about["fingerprint"].get("digests") == DIGEST_VERSION:
        _require_networks(space, ended, derived)
    new_name = check_name(study or found.study_name)
    if (present := open_if_present(storage)) is not None:
        present.read(lambda connection: require_free_name(connection, new_name, present.shown))
    settings = SearchSettings(evaluate=_absent, objectives=ways)
    fingerprint = {key: each for key, each in make_fingerprint(space, settings).items() if key != "code"}
    database = open_for_writing(storage)
    try:
        made = create_study(
            database,
            new_name,
            space_name=space.name,
            space_text=space.text,
            fingerprint=fingerprint if about is None else about["fingerprint"],
            objectives=ways,
            seed=0 if about is None else about["seed"],
            limits=() if about is None else about["limits"],
        )
        try:
            repeated = sum(
                _write(made, space, number, trial, derived[trial.number]) for number, trial in enumerate(ended)
            )
            further = ((trial, trial.user_attrs.get(f"{ATTRIBUTE}:{CONFIRMATIONS}", ())) for trial in ended)
            write_confirmations(
                made, ((space.architecture(derived[trial.number]).digest, each) for trial, each in further)
            )
        except BaseException:
            delete_study(made)
            raise
    finally:
        database.close()
    back = open_study(storage, new_name)
    recounted = sum(_contradicts(record, trial, ways) for record, trial in zip(back.trials(full=False), ended))
    return Imported(back, len(trials) - len(ended), repeated, recounted)


def _absent(architecture: Any, *, choices: Any, epochs: Any, seed: Any) -> Any:
    """Stand for the function that evaluated the trials in Optuna."""


def _derivation(space: SearchSpace, trial: FrozenTrial) -> Derivation:
    """Return the network of a trial. Raises StudyError if its parameters are not choices of the space."""
    given = {name: " ".join(str(value).split()) for name, value in trial.params.items()}
    used = set()
    where = f"Optuna trial {trial.number}"

    def replay(choice: Choice) -> str:
        used.add(choice.name)
        value = given.get(choice.name)
        if value not in choice.options:
            found = "no parameter of this name" if value is None else f"{value!r}"
            raise StudyError(f"{where}: choice {choice.name!r} is one of {', '.join(choice.options)}; found {found}")
        return value

    try:
        derivation = space.derive(replay)
    except SpaceError as error:
        raise StudyError(f"{where} is no network of the space {space.name}: {one_line(error)}") from error
    if unknown := sorted(set(given) - used):
        raise StudyError(
            f"{where}: parameter {unknown[0]!r} is no choice of the space {space.name}; its choices here are"
            f" {', '.join(sorted(used))}"
        )
    return derivation


def _check_shares(metrics: Iterable[str], trial: FrozenTrial) -> None:
    """Raise StudyError if an accuracy among the values of a trial is no share from 0 to 1."""
    for name, value in zip(metrics, trial.values or ()):
        if name in FRACTIONS:
            try:
                share(f"Optuna trial {trial.number}: {name}", value)
            except ValueError as error:
                raise StudyError(str(error)) from None


def _require_networks(space: SearchSpace, trials: Iterable[FrozenTrial], derived: Mapping[int, Derivation]) -> None:
    """Raise StudyError if the space does not give the trials the networks whose digests they record."""
    for trial in trials:
        digest = trial.user_attrs.get(f"{ATTRIBUTE}:digest")
        if digest is not None and space.architecture(derived[trial.number]).digest != digest:
            raise StudyError(
                f"Optuna trial {trial.number} has the network {digest}, and another one in the space {space.name} with"
                f" input {space.input_text} and {space.classes} classes; name the space with the input and classes of"
                " the study: --space SPACE --data NAME, in Python space.with_input(shape, classes)"
            )


def _write(study: Study, space: SearchSpace, number: int, trial: FrozenTrial, derivation: Derivation) -> bool:
    """Write a trial; return whether it repeats an earlier one, whose network it has."""
    architecture, attributes = space.architecture(derivation), trial.user_attrs
    costs: dict[str, float] = dict(count_cost(architecture).to_dict())
    costs |= {name: float(attributes[name]) for name in study.fingerprint["costs"] if _is_number(attributes.get(name))}
    seed = attributes.get(f"{ATTRIBUTE}:seed", trial.number)
    proposal = Proposal(architecture.digest, architecture.to_json(), dict(derivation.choices), costs, int(seed))
    reason = str(attributes.get(f"{ATTRIBUTE}:reason", ""))
    writer = StudyWriter(study, new_worker())
    if attributes.get(f"{ATTRIBUTE}:state") == "rejected":
        writer.refuse(number, proposal, "rejected", reason)
        return False
    state = writer.begin(number, proposal).state
    values = {name: costs.get(name, value) for name, value in zip(study.objectives, trial.values or ())}
    extra = {
        name: value for name, value in attributes.items() if name not in costs and _is_number(value) and ":" not in name
    }
    if state == "running":
        if trial.state == TrialState.COMPLETE:
            ending = Ending("complete", {**extra, **values}, duration=_duration(trial))
        elif trial.state == TrialState.PRUNED:
            ending = Ending("stopped", reason=reason or f"pruned by Optuna after step {trial.last_step or 0}")
        else:
            ending = Ending("failed", reason=reason or "failed in Optuna", failure="code")
        writer.finish(number, ending)
        return False
    is_copy = attributes.get(f"{ATTRIBUTE}:state") == "cached"
    if trial.state == TrialState.COMPLETE and not is_copy:
        repeats = ConfirmationWriter(study, writer.worker)
        wanted = Wanted(architecture.digest, study.fingerprint.get("epochs") or 1, trial.number)
        if repeats.claim([wanted]) is not None:
            repeats.finish(wanted, measured=values)
    return not is_copy


def _contradicts(record: TrialRecord, trial: FrozenTrial, names: Iterable[str]) -> bool:
    """Return whether a cost among the objectives has another value in Optuna than the network has."""
    known = ((record.costs[name], value) for name, value in zip(names, trial.values or ()) if name in record.costs)
    return any(not math.isclose(counted, value, rel_tol=1e-6) for counted, value in known)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _duration(trial: FrozenTrial) -> float | None:
    return None if trial.duration is None else trial.duration.total_seconds()
