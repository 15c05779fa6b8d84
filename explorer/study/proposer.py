"""Selection of the next network of a search: from the sampler, or from the untried networks of the space."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from explorer.analysis.noise import repeats_of, validation_value
from explorer.analysis.quantities import LARGEST, LATENCY
from explorer.errors import ExplorerError
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.space.choices import Derivation
from explorer.space.levels import Level
from explorer.store.trials import read_sampler_notes
from explorer.store.writer import StudyWriter
from explorer.study.candidates import Candidate, Candidates
from explorer.study.plan import Plan
from explorer.study.samplers.coverage import Coverage
from explorer.study.samplers.registry import SamplerAdapter
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.trial_index import TrialIndex

MAX_TOO_SLOW = 200  # measured networks in a row that exceed a limit on latency, after which a search ends
MAX_SET_ASIDE = 500  # untried networks of too high expected latency, after which the best of them is measured
MAX_REPEATS = 4  # proposals in a row without a new network, after which an untried one is drawn
_log = logging.getLogger(__name__)

Proposed = tuple[Candidate, Mapping[str, Any]]  # a candidate, and the notes to store with its trial


class Proposer:
    """Proposes networks, and passes the results of trials to the sampler.

    Args:
        plan: The search.
        candidates: Makes the networks of the space.
        sampler: The sampler.
        writer: Writes to the study.
        trials: The trials of the study.
        curves: Their learning curves.

    Attributes:
        exhausted: Why there is no network left to propose, or empty.
    """

    def __init__(
        self,
        plan: Plan,
        candidates: Candidates,
        sampler: SamplerAdapter,
        writer: StudyWriter,
        trials: TrialIndex,
        curves: LearningCurves,
    ):
        self.exhausted = ""
        self._plan = plan
        self._candidates = candidates
        self._sampler = sampler
        self._writer = writer
        self._trials = trials
        self._curves = curves
        settings = plan.settings
        self._coverage = Coverage(plan.space, settings.cover, settings.sampler, self._untried_candidate)
        self._untried = candidates.untried(writer.study.seed, trials.digests)
        self._set_aside: list[Candidate] = []  # untried, and expected to exceed a limit on latency
        self._too_slow = 0  # measured networks in a row that exceed a limit on latency
        self._ready: Proposed | None = None  # proposed before it was needed, or another worker took its trial number
        self._without_values: dict[int, TrialRecord] = {}  # stopped trials whose final values are not predicted yet
        self._repeats: dict[str, list[ConfirmationRecord]] = {}  # of earlier runs, by the digest of the network
        for repeat in repeats_of(writer.study.confirmations(), writer.study.fingerprint.get("epochs")):
            if repeat.state == "complete":
                self._repeats.setdefault(repeat.digest, []).append(repeat)

    def propose(self, number: int) -> Proposed | tuple[None, Mapping[str, Any]]:
        """Return the network for trial ``number`` with its costs, and the notes to store with it.

        The network is None if there is none at the moment: ``exhausted`` has the reason, or is empty if the caller
        should try again.
        """
        ready, self._ready = self._ready, None
        if ready is not None and ready[0].architecture.digest not in self._trials.digests:
            return ready
        if self._too_slow >= MAX_TOO_SLOW:
            self.exhausted = f"each of the last {self._too_slow} networks measured exceeds a limit on latency"
            return None, {}
        candidate: Candidate | None = None
        notes: Mapping[str, Any] = {}
        level: Level | None = None
        for _ in range(self._coverage.most_sought):
            if candidate is None and (level := self._coverage.next_level()) is not None:
                candidate, notes = self._ask_with_level(number, level)
        if candidate is None:
            level = None
        if candidate is None and self._trials.repeats < MAX_REPEATS:
            candidate, notes = self._ask_sampler(number)
        if candidate is None:
            candidate = self._next_untried()
            notes = {} if candidate is None else self._sampler.adopt(number, candidate.derivation)
        if candidate is None:
            return None, notes
        candidate = self._with_latency(candidate)
        if level is not None and candidate.refusal:
            self._coverage.refuse(level)
        return candidate, notes

    @property
    def needs_number(self) -> bool:
        """Whether a proposal is only valid for the number that it was asked for."""
        return self._sampler.needs_notes

    @property
    def can_prepare(self) -> bool:
        """Whether a proposal can be made before it is needed, and none is ready."""
        return not self.needs_number and self._ready is None and not self.exhausted

    def prepare(self, number: int) -> None:
        """Propose a network before it is needed; the next ``propose`` returns it, if it is untried then.

        Args:
            number: The number that the next trial will probably have.
        """
        candidate, notes = self.propose(number)
        if candidate is not None:
            self._ready = candidate, notes

    def remake(self, record: TrialRecord) -> Candidate:
        """Return the network of a trial with its current costs.

        Raises:
            ExplorerError: The network cannot be built any more.
        """
        candidate = self._candidates.make(self._plan.space.named(dict(record.choices)))
        if LATENCY in record.costs:
            return candidate._replace(costs={**record.costs, **candidate.costs})
        return self._with_latency(candidate)

    def number_taken(self, number: int, candidate: Candidate, notes: Mapping[str, Any]) -> None:
        """Withdraw the proposal for trial ``number``, whose number another worker has used.

        A network that was measured, or whose proposal is valid for any number, is proposed again for the next trial.
        """
        if number in self._sampler:
            self._sampler.forget(number)
        if self._plan.latency_objective is not None or not self.needs_number:
            self._ready = candidate, notes

    def learn(self, changed: Sequence[TrialRecord]) -> None:
        """Update the sampler and the expected latencies with trials that changed."""
        self._plan.latency_filter.learn(changed)
        for record in changed:
            self._coverage.learn(record)
        unknown = [r.number for r in changed if r.number not in self._sampler] if self._sampler.needs_notes else []
        notes = read_sampler_notes(self._writer.study, unknown) if unknown else {}
        for record in changed:
            if self._trials.can_be_proposed_again(record):
                continue
            self._without_values.pop(record.number, None)
            self._update_sampler(record, notes.get(record.number, {}))
        if any(record.state == "complete" for record in changed):
            for record in [record for record in self._without_values.values() if self.expected(record)]:
                del self._without_values[record.number]
                self._update_sampler(record, {})

    def expected(self, record: TrialRecord) -> dict[str, float]:
        """Return the objectives that a stopped trial would have reached; empty while they cannot be predicted."""
        expected = self._curves.expected(record.number)
        return {**expected, **self.known_objectives(record)} if expected else {}

    def known_objectives(self, record: TrialRecord) -> dict[str, float]:
        """Return the objectives of a trial that are costs."""
        return {name: record.costs[name] for name in self._plan.objectives if name in record.costs}

    def _with_latency(self, candidate: Candidate) -> Candidate:
        """Measure the latency of a candidate if the search needs it."""
        measure = self._plan.latency_objective
        if candidate.refusal is not None or measure is None:
            return candidate
        trials = self._trials.records.values()
        candidate = measure.with_latency(candidate, self._plan.latency_limits, trials)
        self._too_slow = self._too_slow + 1 if candidate.refusal else 0
        return candidate

    def _ask_sampler(self, number: int) -> Proposed | tuple[None, Mapping[str, Any]]:
        """Return the sampler's proposal; None if it cannot be built: a large space is not checked as a whole."""
        try:
            derivation, notes = self._sampler.ask(number)
            return self._candidates.make(derivation), notes
        except ExplorerError as error:
            _log.warning("skipped a network that cannot be built: %s", error)
            self._sampler.forget(number)
            return None, {}

    def _ask_with_level(self, number: int, level: Level) -> Proposed | tuple[None, Mapping[str, Any]]:
        """Return the sampler's proposal among networks with a level, or a network similar to it that has the level.

        None if neither is untried and within the limits; the level is given up then.
        """
        derivation, notes = self._sampler.ask(number, level)
        candidate = self._coverage.find(derivation, level)
        if candidate is not None and candidate.derivation == derivation:
            return candidate, notes
        self._sampler.forget(number)
        if candidate is None:
            self._coverage.give_up(level)
            return None, {}
        return candidate, self._sampler.adopt(number, candidate.derivation)

    def _untried_candidate(self, derivation: Derivation) -> Candidate | None:
        """Return the candidate of a derivation; None if it is tried, cannot be built, or probably violates a limit."""
        try:
            candidate = self._candidates.make(derivation)
        except ExplorerError:
            return None
        if candidate.refusal or candidate.architecture.digest in self._trials.digests:
            return None
        return candidate if self._plan.latency_filter.may_satisfy_limits(candidate) else None

    def _next_untried(self) -> Candidate | None:
        """Return an untried network; those expected to exceed a limit on latency come last.

        If it is None and ``exhausted`` is empty, the caller should try again.
        """
        for _ in range(MAX_SET_ASIDE - len(self._set_aside)):
            try:
                candidate = next(self._untried)
            except StopIteration:
                break
            if candidate is None or self._plan.latency_filter.may_satisfy_limits(candidate):
                return candidate
            self._set_aside.append(candidate)
        self._set_aside = [each for each in self._set_aside if each.architecture.digest not in self._trials.digests]
        if not self._set_aside:
            self.exhausted = "no network of the space within its limits is left to try"
            return None
        best = min(self._set_aside, key=self._plan.latency_filter.expected)
        self._set_aside.remove(best)
        return best

    def _update_sampler(self, record: TrialRecord, notes: Mapping[str, Any]) -> None:
        """Pass a trial to the sampler.

        A stopped trial appears complete with its predicted final values; while they cannot be predicted, it appears
        as running. A network that was trained more than once appears with the mean of its trainings. Earlier versions
        stored numbers beyond ``LARGEST``; they appear as that.
        """
        if record.state == "complete" and record.digest in self._repeats:
            record = replace(record, objectives=self._mean_objectives(record))
        if record.state == "stopped":
            expected = record.expected or self.expected(record)
            if not expected:
                self._without_values[record.number] = record
            record = replace(record, state="complete" if expected else "running", objectives=expected)
        if any(abs(value) > LARGEST for value in record.objectives.values()):
            kept = {name: min(max(value, -LARGEST), LARGEST) for name, value in record.objectives.items()}
            record = replace(record, objectives=kept)
        self._sampler.learn(record, notes)

    def _mean_objectives(self, record: TrialRecord) -> dict[str, float]:
        """Return the objectives of a trial, those that its repeats measured as the mean over all trainings."""
        means = dict(record.objectives)
        for name in self._plan.objectives:
            repeated = [validation_value(repeat, name) for repeat in self._repeats[record.digest]]
            values = [value for value in repeated if value is not None]
            if values and name not in record.costs:
                means[name] = (record.objectives[name] + sum(values)) / (1 + len(values))
        return means
