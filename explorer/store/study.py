"""A study, to read: its trials, its frontier, its best under a budget. Each answer is read anew."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.analysis.latency_environments import mixed_environments
from explorer.analysis.limits import Limit, parse_limit
from explorer.analysis.noise import confirmed_networks, training_noise, trial_probabilities
from explorer.analysis.pareto import hypervolume, non_dominated
from explorer.analysis.quantities import BEFORE_TRAINING, COSTS, FRACTIONS, LATENCY, TRAINED, is_maximised
from explorer.errors import StoreError, did_you_mean
from explorer.records import ConfirmationRecord, Confirmed, Curve, Environment, GradientFlow, Lease, TrialRecord
from explorer.store.artifacts import artifacts_folder, weights_file
from explorer.store.confirmations import read_confirmations
from explorer.store.database import StudyIdentity
from explorer.store.gradient_flows import read_gradient_flow
from explorer.store.schema import trials
from explorer.store.trials import (
    read_counts,
    read_curves,
    read_environments,
    read_leases,
    read_savings,
    read_trials,
    trials_frame,
)

if TYPE_CHECKING:
    import pandas

TERMS = ("data", "split", "recipe", "epochs")  # of a fingerprint: studies that differ in one trained otherwise


@dataclass(frozen=True)
class Study(StudyIdentity):
    """One study. ``objectives``: name -> "max" or "min"; ``created``: seconds since the epoch;
    ``fingerprint``: what must not differ when it is taken up again; ``limits``: bounds on costs, as users write
    them, that its networks are to keep; ``data_places``: where its data lay when it was searched, the last place
    first, as ``name`` and ``data_dir`` of ``load_data``; none for embedded data and in studies of before they were
    kept; ``revision``: of the last change there was when it was opened, to a trial, a training from a fresh seed or a
    gradient flow."""

    space_name: str
    space_text: str = field(repr=False)
    objectives: Mapping[str, str]
    fingerprint: Mapping[str, Any] = field(repr=False)
    seed: int
    created: float
    limits: tuple[str, ...] = ()
    data_places: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    revision: int = field(default=0, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.id, self.created))

    @property
    def storage(self) -> str:
        """The database's URL, without its password."""
        return self.database.shown

    def trials(self, since_revision: int = 0, *, full: bool = True) -> list[TrialRecord]:
        """The trials in order of their numbers; of those, with ``since_revision``, the ones changed after it.

        ``full=False`` leaves out architecture, training curve and environment, which takes a tenth of the time.
        """
        changed = (trials.c.revision > since_revision,) if since_revision else ()
        return read_trials(self, self.objectives, *changed, full=full)

    def trial(self, number: int) -> TrialRecord:
        """One trial with all that is kept of it. Raises StoreError when there is none of this number, TypeError for
        what is not a whole number."""
        number = operator.index(number)
        found = read_trials(self, self.objectives, trials.c.number == number, full=True)
        if found:
            return found[0]
        count = sum(self.counts().values())
        held = f"its trials are 0..{count - 1}" if count else "it has no trials yet"
        raise StoreError(f"study {self.name!r} has no trial {number}; {held}")

    def curves(self, since_revision: int = 0) -> dict[int, Curve]:
        """Trial number -> the course of its training, of all trials that have one; of those, with
        ``since_revision``, the ones changed after it."""
        return read_curves(self, since_revision)

    def environments(self) -> dict[int, Environment]:
        """Trial number -> on what it was trained, of the trials where that is known."""
        return read_environments(self)

    def leases(self) -> list[Lease]:
        """The trials under way and those that wait to be taken up again, in order of their numbers."""
        return read_leases(self)

    def counts(self) -> dict[str, int]:
        """How many trials are in each state; every state is named."""
        return read_counts(self)

    def frontier(
        self, x: str | None = None, y: str | None = None, *, mix_environments: bool = False
    ) -> list[TrialRecord]:
        """The complete trials that no other beats in both quantities, by ascending ``x``; of equals the first.
        ``x``, ``y``: those of ``plane`` by default.

        Any objective or cost may be named. Accuracies are maximised, costs minimised, objectives as the
        study says. Raises StoreError for a quantity that the study does not know, and for latencies measured in
        several environments unless ``mix_environments``.
        """
        light = self._complete()
        x, y = self.axes(x, y)
        names = dict.fromkeys((x, y))
        self._require(names, light)
        if not mix_environments:
            self._require_one_environment(names, light)
        known = [record for record in light if all(record.value(name) is not None for name in names)]
        front = non_dominated([self._minimised(record, names) for record in known])
        return self._filled(
            sorted((known[place] for place in front), key=lambda record: (record.value(x), record.number))
        )

    def best_under(
        self,
        limits: Iterable[Limit | str] | Limit | str,
        objective: str | None = None,
        *,
        mix_environments: bool = False,
    ) -> TrialRecord | None:
        """The complete trial of best ``objective`` (``y`` of ``plane`` by default) that keeps every limit, or None.

        ``limits``: one or several, as "macs<=4M" or a Limit. A trial without the quantity breaks a limit on it.
        ``mix_environments``: as in ``frontier``. Raises StoreError for a quantity that the study does not know, and for
        a bound above 1 on an accuracy that the study keeps as a fraction.
        """
        objective = self.axes(None, objective)[1]
        limits, light = self._limits(limits), self._complete()
        self._require([objective, *(limit.cost for limit in limits)], light)
        self._require_fractions(limits, light)
        if not mix_environments:
            self._require_one_environment([objective, *(limit.cost for limit in limits)], light)
        fit = [
            record
            for record in light
            if record.value(objective) is not None and all(_excess(limit, record) <= 0 for limit in limits)
        ]
        if not fit:
            return None
        return self._filled([min(fit, key=lambda record: (self._minimised(record, [objective]), record.number))])[0]

    def nearest_to(self, limits: Iterable[Limit | str] | Limit | str) -> TrialRecord | None:
        """The complete trial that breaks ``limits`` least; None where no trial has all their quantities."""
        limits = self._limits(limits)
        known = [record for record in self._complete() if all(record.value(limit.cost) is not None for limit in limits)]
        return min(known, key=lambda record: max(_excess(limit, record) for limit in limits), default=None)

    @staticmethod
    def _limits(limits: Iterable[Limit | str] | Limit | str) -> tuple[Limit, ...]:
        return tuple(map(parse_limit, (limits,) if isinstance(limits, (str, Limit)) else limits))

    def mixed_environments(self) -> str:
        """In how many environments the latencies of the complete trials were measured, and in what these differ;
        empty for one."""
        return mixed_environments(self._complete())

    def require_one_environment(self, names: Iterable[str]) -> None:
        """Raises StoreError when latency is among the quantities ``names`` and was measured in several environments."""
        self._require_one_environment(names, self._complete())

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """What the complete trials dominate in the space of the objectives, up to ``reference``.

        Without one it is the worst value of each objective so far, so that two studies compare only
        under a stated reference.
        """
        names = list(self.objectives)
        points = [self._minimised(record, names) for record in self._complete()]
        if not points:
            return 0.0
        if reference is None:
            corner = [max(column) for column in zip(*points)]
        else:
            corner = [self.sign(name) * reference[name] for name in names]
        return hypervolume(points, corner)

    def savings(self) -> dict[str, int]:
        """What was not trained: ``trainings_saved``, trials answered from another of the same network;
        ``epochs_saved`` by ending trainings early, beside the ``epochs_trained`` of complete and stopped trials, with
        those of trainings that were stopped and begun anew later."""
        return read_savings(self, self.objectives, self.fingerprint.get("epochs") or 0)

    def to_frame(self) -> pandas.DataFrame:
        """One row a trial: number, state, digest, a column per choice point, objectives, costs, seconds, reason.

        A choice point that was not asked (the space is conditional) is None. A choice point or quantity whose name is
        another column's stands as ``choice.<name>`` or ``value.<name>``.
        """
        return trials_frame(self.trials(full=False), self.objectives)

    @property
    def plane(self) -> tuple[str, str]:
        """(x, y) of the study's frontier, chosen from its objectives.

        ``y``: the first one to maximise among those that an evaluation measures, or else the first of these. ``x``: the
        first other one to minimise that is a cost, or else the first other one to minimise that is no measure of a
        training, or else ``macs``. Costs are the analytic ones, ``latency_ms`` and the caller's own.
        """
        ways = self.objectives
        costs = {*BEFORE_TRAINING, *self.fingerprint.get("costs", ())}
        measured = [name for name in ways if name not in costs] or list(ways)
        y = next((name for name in measured if ways[name] == "max"), measured[0])
        minimised = [name for name, way in ways.items() if way == "min" and name not in (y, *TRAINED)]
        return next((name for name in minimised if name in costs), next(iter(minimised), "macs")), y

    def axes(self, x: str | None = None, y: str | None = None) -> tuple[str, str]:
        """``x`` and ``y``, with those of ``plane`` where one is None."""
        default_x, default_y = self.plane
        return x or default_x, y or default_y

    @property
    def cost_objective(self) -> str:
        """The cost over which frontiers are drawn: ``x`` of ``plane``."""
        return self.plane[0]

    def confirmations(self, since_revision: int = 0) -> list[ConfirmationRecord]:
        """Every training that ``explorer confirm`` began, in that order; of those, with ``since_revision``, the ones
        changed after it."""
        return read_confirmations(self, since_revision)

    def confirmed(
        self, x: str | None = None, y: str = "accuracy", *, epochs: int | None = None, mix_environments: bool = False
    ) -> list[Confirmed]:
        """The networks that were trained from fresh seeds, with their test figures, by ascending ``x``.

        ``x``: any cost or objective, ``cost_objective`` by default; ``y``: accuracy, top5 or loss. ``epochs``: only
        trainings of that many, by default of as many as the one confirmed last, since others do not compare. Their
        ``frontier_probability`` is among the networks given. Raises StoreError for an unknown ``x`` or ``y``, and
        for latencies of several environments unless ``mix_environments``.
        """
        x = x or self.cost_objective
        return confirmed_networks(self.confirmations(), self._comparable([x], mix_environments), x, y, epochs)

    def training_noise(self, y: str | None = None) -> float | None:
        """The standard deviation over seeds of one training's ``y`` (that of ``plane`` by default) on the validation
        split, pooled over the networks that were confirmed with the study's own number of epochs
        (``explorer.analysis.noise``); None where none was twice."""
        return training_noise(self.confirmations(), self.axes(None, y)[1], self.fingerprint.get("epochs"))

    def frontier_probabilities(
        self, x: str | None = None, y: str | None = None, *, mix_environments: bool = False
    ) -> dict[int, float]:
        """Trial number -> probability that no complete trial of at most its ``x`` has a better mean ``y`` over seeds,
        on the validation split (``explorer.analysis.noise``); empty where ``training_noise`` is None.

        The mean of a confirmed network is that of its fresh seeds, with the standard error s / sqrt(K); of any other
        the trial's one value, with s. Errors as for ``frontier``.
        """
        x, y = self.axes(x, y)
        records, epochs = self._comparable([x, y], mix_environments), self.fingerprint.get("epochs")
        return trial_probabilities(self.confirmations(), records, x, y, -self.sign(y), epochs)

    def gradient_flow(self, digest: str) -> GradientFlow | None:
        """How gradients flow through that network at its initialisation, where a search recorded it."""
        return read_gradient_flow(self, digest)

    def weights(self, record: TrialRecord) -> Path | None:
        """The safetensors file with the trial's trained weights, or None where they were not kept."""
        path = weights_file(self.artifacts, record.digest)
        return path if record.weights and path.is_file() else None

    @property
    def artifacts(self) -> Path:
        """The folder of the study's files, which need not exist."""
        return artifacts_folder(self.database.file, self.name, self.created)

    def _comparable(self, names: list[str], mix_environments: bool) -> list[TrialRecord]:
        """The complete trials. Raises StoreError when they do not know these quantities, or do not compare by them."""
        light = self._complete()
        if light:
            self._require(names, light)
        if not mix_environments:
            self._require_one_environment(names, light)
        return light

    def _complete(self) -> list[TrialRecord]:
        return read_trials(self, self.objectives, trials.c.state == "complete", full=False)

    def _filled(self, light: list[TrialRecord]) -> list[TrialRecord]:
        numbers = [record.number for record in light]
        found = read_trials(self, self.objectives, trials.c.number.in_(numbers), full=True)
        full = {record.number: record for record in found}
        return [full[number] for number in numbers]

    def sign(self, name: str) -> int:
        """-1 for a quantity that is maximised, 1 for one that is minimised: objectives as the study says."""
        return -1 if is_maximised(name, self.objectives) else 1

    def _minimised(self, record: TrialRecord, names: Iterable[str]) -> list[float]:
        return [self.sign(name) * record.value(name) for name in names]  # type: ignore[operator]

    def require_known(self, names: Iterable[str]) -> None:
        """Raises StoreError for a quantity that neither the study's objectives nor its complete trials have."""
        self._require(names, self._complete())

    def _require(self, names: Iterable[str], records: list[TrialRecord]) -> None:
        known = {*self.objectives, *(name for record in records for name in (*record.objectives, *record.costs))}
        if not records:  # the costs that every trial will have
            known |= {*COSTS, *self.fingerprint.get("costs", ())}
        for name in names:
            if name not in known:
                hint = f"it has {', '.join(sorted(known))}{did_you_mean(name, known)}"
                raise StoreError(f"study {self.name!r} knows no quantity {name!r}; {hint}")

    def _require_fractions(self, limits: Iterable[Limit], records: list[TrialRecord]) -> None:
        for limit in limits:
            values = [value for record in records if (value := record.value(limit.cost)) is not None]
            if limit.cost in FRACTIONS and limit.bound > 1 and values and max(values) <= 1:
                share = f"{limit.cost}{limit.comparison}{limit.bound / 100:g}"
                meant = f"; did you mean {share!r} ({limit.bound:g}%)?" if limit.bound <= 100 else ""
                raise StoreError(f"limit {limit}: {limit.cost} of study {self.name!r} is a fraction of 1{meant}")

    def _require_one_environment(self, names: Iterable[str], records: list[TrialRecord]) -> None:
        if LATENCY in names and (found := mixed_environments(records)):
            raise StoreError(
                f"study {self.name!r}: {LATENCY} was measured in {found}; such numbers compare machines, not networks:"
                " --mix-environments (in Python mix_environments=True) puts them together all the same"
            )


def _excess(limit: Limit, record: TrialRecord) -> float:
    """As ``Limit.excess``; infinite for a trial without the quantity."""
    value = record.value(limit.cost)
    return math.inf if value is None else limit.excess({limit.cost: value})
