"""Train counterparts of a study's networks, so that the intervals of its effects become narrower.

The proposal is stored before the first training, as trials that wait for a worker. So the same call goes on with them
after any end, and several processes share them. They are trained like the study's other trials, with the seeds and
precisions of their twins, and are never stopped early.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any, ParamSpec

from explorer.analysis.effects import Narrowing
from explorer.analysis.limits import parse_limit
from explorer.analysis.quantities import COSTS
from explorer.errors import SearchFailed, StudyError
from explorer.records import TrialRecord
from explorer.space.search_space import SearchSpace
from explorer.store.database import check_storage, open_for_writing
from explorer.store.lease import new_worker
from explorer.store.managing.extensions import require_ops
from explorer.store.presence.processes import Role
from explorer.store.rows import Proposal
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.budget import Budget
from explorer.study.candidates import Candidate, Candidates, OwnCost
from explorer.study.events import Progress
from explorer.study.joining import recorded_settings
from explorer.study.pairs.proposal import Question, narrowing, propose
from explorer.study.plan import Plan, make_plan
from explorer.study.presence.attend import attend
from explorer.study.recorded_space import recorded_space
from explorer.study.resuming import check_resumable, open_or_create_study
from explorer.study.search import make_loop, with_artifacts
from explorer.study.settings import SearchSettings
from explorer.study.workers.jobs import Evaluate
from explorer.system.signals import interruption

MAX_PAIRS = 10_000

P = ParamSpec("P")


@dataclass(frozen=True)
class Training:
    """One counterpart of a trained network.

    Attributes:
        trial: The number of its trial; None if it is only proposed.
        twin: The number of the trial that differs from it only in ``factor``.
        factor: The choice.
        choices: Its choices.
        seed: The seed of its training, that of the twin.
        state: The state of its trial; "waiting" if that is interrupted or has not begun, "proposed" in a dry run.
        reason: Why it failed, if it did.
    """

    trial: int | None
    twin: int
    factor: str
    choices: Mapping[str, str]
    seed: int
    state: str
    reason: str = ""

    @classmethod
    def of(cls, record: TrialRecord) -> Training:
        """Return the training of a trial."""
        known = record.counterpart
        state = "waiting" if record.state == "interrupted" else record.state
        reason = record.reason if state == "failed" else ""
        return cls(record.number, known["twin"], known["factor"], record.choices, record.seed, state, reason)

    @classmethod
    def proposed(cls, proposal: Proposal) -> Training:
        """Return the training of a proposal that is not stored."""
        known = proposal.counterpart
        return cls(None, known["twin"], known["factor"], proposal.choices, proposal.seed, "proposed")


@dataclass(frozen=True)
class Pairs:
    """Counterparts for a question, and what they tell.

    Attributes:
        study: The study.
        question: The question.
        asked: The number of counterparts that were asked for.
        trainings: The counterparts of the study, the most informative first; in a dry run also the proposed ones.
        expected: The interval of each effect all else equal before this run, and as expected after it.
        achieved: The same intervals now. Empty before the trainings.
        ended: Why the run ended.
        broken: Whether it gave up.
        signal: Number of the signal that interrupted it, or 0.
        seconds: Its duration.
    """

    study: Study
    question: Question
    asked: int
    trainings: tuple[Training, ...]
    expected: list[Narrowing]
    achieved: list[Narrowing]
    ended: str = ""
    broken: bool = False
    signal: int = 0
    seconds: float = 0.0

    @property
    def unfinished(self) -> int:
        """The number of counterparts that are not trained to the end, without those that failed."""
        return sum(each.state not in ("complete", "failed") for each in self.trainings)

    @property
    def failed(self) -> int:
        """The number of counterparts that failed."""
        return sum(each.state == "failed" for each in self.trainings)


def run_pairs(
    study: Study,
    pairs: int,
    *,
    factor: str | None = None,
    x: str | None = None,
    y: str | None = None,
    dry_run: bool = False,
    evaluate: Evaluate | None = None,
    costs: Mapping[str, OwnCost] | None = None,
    changed_code: str = "refuse",
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    seconds: float | None = None,
    trial_seconds: float | None = None,
    trial_memory: int | None = None,
    retry_failed: bool = False,
    before: Callable[[Pairs], None] | None = None,
    progress: Progress | None = None,
) -> Pairs:
    """Train the networks that narrow the intervals of the effects of choices all else equal most.

    Each network is the counterpart of a trained one: it differs only in one choice, and has the same seed and order of
    images. It becomes a trial of the study. The same call resumes, and trains nothing if the study has its ``pairs``
    counterparts; a larger number adds some. Each objective and ``factor`` has its own counterparts.

    Args:
        study: The study, as ``open_study`` or ``search`` returns it.
        pairs: The number of counterparts that the study is to have for this question.
        factor: The choice whose effects are wanted; ``attn`` means every ``attn@...``. Default: all choices.
        x: A cost; trials without it are left out. By default that of the study's ``plane``.
        y: The objective; by default that of the study's ``plane``.
        dry_run: Whether to return the proposal, and store and train nothing. Latencies are not measured then.
        evaluate: The function that evaluated the study, if one did.
        costs: The functions that computed its own costs, if there were any.
        changed_code: As for ``search``.
        data_dir: Folder of the data; the place recorded in the study by default.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: Parallel trainings; by default as for ``search``.
        seconds: Time of this run. A training that would end later is not started.
        trial_seconds: As for ``search``.
        trial_memory: As for ``search``.
        retry_failed: Whether to retry counterparts that failed because of their network too.
        before: Called with the counterparts before the first training.
        progress: Called with each Event.

    Raises:
        StudyError: The question has no answer, or no counterpart is left.
        ExplorerError: StoreError, DataError, TrainingError or SpaceError.
    """
    began = time.monotonic()
    if not isinstance(pairs, int) or not 1 <= pairs <= MAX_PAIRS:
        raise StudyError(f"pairs must be a whole number in 1..{MAX_PAIRS:,}, found {pairs!r}")
    x, y = study.axes(x, y)
    study.require_known((x, y))
    question = Question(y, x, factor)
    if dry_run:
        return _dry_run(study, question, pairs, costs or {})
    expected = narrowing(study, question)
    wanted = question.counterparts(study.trials(full=False))[:pairs]
    if len(wanted) == pairs and all(record.state == "complete" for record in wanted):
        return _result(study, question, pairs, expected, began)
    settings = _settings(
        study,
        {
            **{"evaluate": evaluate, "costs": costs, "changed_code": changed_code, "device": device},
            **{"workers": workers, "trial_seconds": trial_seconds, "trial_memory": trial_memory},
            **{"retry_failed": retry_failed, "sampler": "random", "stopping": "none"},
        },
        data_dir,
    )
    plan = make_plan(_space(study), settings)
    if not study.database.in_memory:
        check_storage(study.database.url)
    check_resumable(plan, study.database)
    database = study.database if study.database.in_memory else open_for_writing(study.database.url)
    try:
        opened = open_or_create_study(plan, study.name, database)
        plan = with_artifacts(plan.under(map(parse_limit, opened.limits)), opened)
        wanted, expected = _stored_counterparts(opened, question, pairs, plan)
        if before is not None:
            before(Pairs(study, question, pairs, tuple(map(Training.of, wanted)), expected, []))
        budget = Budget(None, seconds, began=began)
        loop = make_loop(plan, opened, budget, progress, [record.number for record in wanted])
        with attend(loop, Role("effects"), device=settings.training.device):
            ended = loop.run()
        loop.report("finished", why=ended)
        found = _result(study, question, pairs, expected, began)
        why = ended if found.unfinished else found.ended
        return replace(found, ended=why, broken=loop.broken or budget.has_failed(), signal=loop.signal)
    finally:
        if not database.in_memory:
            database.close()


def _dry_run(study: Study, question: Question, pairs: int, costs: Mapping[str, OwnCost]) -> Pairs:
    """Return the proposal for a study that is only read."""
    require_ops(study)
    space = _space(study)
    limits = [limit for limit in (*space.limits, *map(parse_limit, study.limits)) if limit.cost in {*COSTS, *costs}]
    stored = question.counterparts(study.trials(full=False))[:pairs]
    trainings, expected = [*map(Training.of, stored)], narrowing(study, question)
    if len(stored) < pairs:
        proposals, expected = propose(study, question, pairs - len(stored), Candidates(space, costs, limits))
        trainings += map(Training.proposed, proposals)
    _require_some(study, trainings)
    return Pairs(study, question, pairs, tuple(trainings), expected, [])


def _stored_counterparts(
    study: Study, question: Question, pairs: int, plan: Plan
) -> tuple[list[TrialRecord], list[Narrowing]]:
    """Store the counterparts that are missing; return all of the question, and what they are expected to tell."""
    writer = StudyWriter(study, new_worker())

    def with_latency(candidate: Candidate) -> Candidate:
        measure = plan.latency_objective
        return candidate if measure is None else measure.with_latency(candidate, plan.latency_limits, ())

    while True:
        records = study.trials(full=False)
        stored = question.counterparts(records)[:pairs]
        if len(stored) == pairs:
            return stored, narrowing(study, question)
        proposals, expected = propose(study, question, pairs - len(stored), plan.candidates(), with_latency)
        known = [record.number for record in records if record.counterpart]
        _require_some(study, [*stored, *proposals])
        added = writer.queue(proposals, known)
        if added is not None:  # else another process has changed the study: propose again
            return [*stored, *added], expected


def _require_some(study: Study, found: Sized) -> None:
    """Raise StudyError if nothing was found."""
    if not found:
        raise StudyError(
            f"study {study.name!r}: no counterpart of a trained network is left to train: each has a trial, exceeds a "
            "limit of the study, or is not in its space"
        )


def _result(study: Study, question: Question, pairs: int, expected: list[Narrowing], began: float) -> Pairs:
    """Return the counterparts of the question as they are now."""
    stored = question.counterparts(study.trials(full=False))[:pairs]
    levels: dict[str, list[str]] = {}
    for each in expected:
        levels.setdefault(each.factor, [each.reference]).append(each.level)
    trainings, achieved = tuple(map(Training.of, stored)), narrowing(study, question, levels)
    found = Pairs(study, question, pairs, trainings, expected, achieved, seconds=time.monotonic() - began)
    reasons = [each.reason for each in trainings if each.state == "failed"]
    ended = f"the study has {len(stored)} counterpart{'s' * (len(stored) != 1)} for this question"
    ended += "" if len(stored) == pairs else f", of {pairs} that were asked for: no other one is left"
    return replace(found, ended=f"{ended}; {len(reasons)} failed, the last with: {reasons[-1]}" if reasons else ended)


def _settings(study: Study, given: Mapping[str, Any], data_dir: str | Path | None) -> SearchSettings:
    """Return the settings with which the networks of a study are trained.

    Raises:
        StudyError: The study needs a function that is not given, or it has no use for one.
    """
    is_trained = study.fingerprint["evaluate"] == "training"
    if is_trained and given["evaluate"] is not None:
        raise StudyError(f"study {study.name!r} trains its networks; leave out evaluate")
    missing = [] if is_trained or given["evaluate"] is not None else ["evaluate"]
    missing += ["costs"] if set(study.fingerprint["costs"]) - set(given["costs"] or {}) else []
    if missing:
        needed = ", ".join(f"{name}=..." for name in missing)
        raise StudyError(
            f"study {study.name!r} was created with functions of the caller's ({', '.join(missing)}), which a command "
            f"cannot call; call explorer.train_pairs(study, N, {needed}) in Python; --dry-run shows the proposal"
        )
    return SearchSettings.make({**recorded_settings(study, data_dir), **given})


def _space(study: Study) -> SearchSpace:
    """Return the space of a study with the input and classes of its networks."""
    complete = [record for record in study.trials(full=False) if record.state == "complete"]
    if not complete:
        raise StudyError(f"study {study.name!r} has no complete trial yet, so there is nothing to pair with")
    return recorded_space(study, complete)


def _for_scripts(run: Callable[P, Pairs]) -> Callable[P, Pairs]:
    """Return ``train_pairs``: it has the arguments of ``run_pairs``, and explains them in the same words."""

    def train_pairs(*args: P.args, **settings: P.kwargs) -> Pairs:
        """Train the networks that narrow the intervals of effects most, for scripts. The same call again continues.

        {arguments}
        Returns:
            The counterparts, and the intervals as expected and achieved.

        Raises:
            SearchFailed: The run gave up; the attribute ``study`` has all finished trials.
            KeyboardInterrupt: A signal interrupted the run; with the same attribute.
            ExplorerError: The trainings are not possible.
        """
        found = run(*args, **settings)
        if found.signal:
            raise interruption(found.signal, found.study)
        if found.broken:
            raise SearchFailed(f"the trainings ended: {found.ended}", found.study)
        return found

    train_pairs.__qualname__ = train_pairs.__name__
    train_pairs.__annotations__ = dict(run.__annotations__)
    train_pairs.__signature__ = inspect.signature(run)  # type: ignore[attr-defined]
    if run.__doc__ and train_pairs.__doc__:  # python -OO removes docstrings
        arguments = run.__doc__[run.__doc__.index("    Args:") : run.__doc__.index("    Raises:")]
        train_pairs.__doc__ = inspect.cleandoc(train_pairs.__doc__).replace("{arguments}\n", dedent(arguments))
    return train_pairs


train_pairs = _for_scripts(run_pairs)
