"""Read a study: its trials, its frontier, its best network within limits. Each call reads the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer.analysis.estimates import Estimate, best_estimates, estimated, with_estimates
from explorer.analysis.frontier_certainty import FrontierCertainty, Trainings, all_trainings, frontier_certainty
from explorer.analysis.latency_environments import mixed_environments
from explorer.analysis.limits import Limit
from explorer.analysis.noise import confirmed_networks, pooled_std
from explorer.analysis.pareto import hypervolume, non_dominated
from explorer.analysis.quantities import is_maximised
from explorer.errors import StoreError
from explorer.records import ConfirmationRecord, Confirmed, Curve, Environment, GradientFlow, Lease, TrialRecord
from explorer.store.confirmations import read_confirmations
from explorer.store.schema import trials
from explorer.store.trials import (
    read_changed,
    read_counts,
    read_curves,
    read_environments,
    read_leases,
    read_measured,
    read_savings,
    read_trials,
    trials_frame,
)
from explorer.store.views import questions
from explorer.store.views.commands import StudyCommands
from explorer.store.views.gradient_flows import read_gradient_flow
from explorer.store.views.notebook import study_html
from explorer.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import pandas
else:
    pandas = LazyModule("pandas")

TRAINING_SETTINGS = ("data", "split", "recipe", "epochs")  # fingerprint entries that affect trained networks


@dataclass(frozen=True, repr=False)
class Study(StudyCommands):
    """A study of a database, opened for reading.

    Attributes:
        space_name: The name of the search space.
        space_text: The text of the space file.
        objectives: Objective -> "max" or "min".
        fingerprint: The settings that must be the same when the study is resumed.
        seed: The seed of the sampler.
        created: When the study was created, in seconds since the epoch.
        limits: Limits on the costs of its networks, as users write them ("macs<=4M").
        data_places: Where its data were found, the latest place first, as the arguments ``name`` and ``data_dir`` of
            ``load_data``. Empty for embedded data and in studies of versions that did not record this.
        revision: The number of the last change to trials, confirmations or gradient flows when it was opened.
        note: What a user wrote down about the study, one line.
        tags: Words by which a user groups studies.
    """

    space_name: str
    space_text: str = field(repr=False)
    objectives: Mapping[str, str]
    fingerprint: Mapping[str, Any] = field(repr=False)
    seed: int
    created: float
    limits: tuple[str, ...] = ()
    data_places: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    revision: int = field(default=0, repr=False, compare=False)
    note: str = field(default="", compare=False)
    tags: tuple[str, ...] = field(default=(), compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.id, self.created))

    def __repr__(self) -> str:
        objectives = ", ".join(f"{name} ({direction})" for name, direction in self.objectives.items())
        return f"Study({self.name!r}: {objectives} in {self.space_name}, {self.storage})"

    def _repr_html_(self) -> str:
        return study_html(self.name, self.counts(), self.frontier(mix_environments=True), self.plane, self.estimates())

    @property
    def storage(self) -> str:
        """The database's URL, without its password."""
        return self.database.shown

    def trials(self, since_revision: int = 0, *, full: bool = True) -> list[TrialRecord]:
        """Return the trials in order of their numbers.

        Args:
            since_revision: Only trials that changed after this revision; 0 for all.
            full: Whether to read architecture, training curve and environment. Without them, reading takes a tenth of
                the time.

        Raises:
            StoreError: The database cannot be read, or a row is damaged. All methods raise it.
        """
        since = questions.storable(since_revision, "a revision")
        return read_changed(self, self.objectives, since, full=full)

    def trial(self, number: int) -> TrialRecord:
        """Return one trial with architecture, training curve and environment.

        Args:
            number: The trial's number.

        Raises:
            StoreError: The study has no trial of this number, or it is no whole number.
        """
        found = read_trials(self, self.objectives, trials.c.number == questions.storable(number), full=True)
        if found:
            return found[0]
        count = sum(self.counts().values())
        known = f"its trials are 0..{count - 1}" if count else "it has no trials yet"
        raise StoreError(f"study {self.name!r} has no trial {number}; {known}")

    def trials_of(self, numbers: Collection[int]) -> list[TrialRecord]:
        """Return the trials with these numbers, in their order, with architecture, training curve and environment."""
        wanted = questions.storable_all(numbers)
        return read_trials(self, self.objectives, trials.c.number.in_(wanted), full=True)

    def curves(self, since_revision: int = 0) -> dict[int, Curve]:
        """Return the training curves of trials that changed after this revision (0: all), by the trials' numbers."""
        return read_curves(self, questions.storable(since_revision, "a revision"))

    def environments(self) -> dict[int, Environment]:
        """Return the environments in which trials were trained, by the trials' numbers."""
        return read_environments(self)

    def leases(self) -> list[Lease]:
        """Return the leases of running and interrupted trials, in order of the trials' numbers."""
        return read_leases(self)

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state, for all states."""
        return read_counts(self)

    def frontier(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        mix_environments: bool = False,
        searched: bool = False,
    ) -> list[TrialRecord]:
        """Return the non-dominated complete trials by ascending ``x``. Of trials with equal values, the first counts.

        Objectives are compared by their best ``estimates``: of a confirmed network the mean over its fresh seeds, of
        another one the value that these are expected to give.

        Args:
            x: An objective or cost; by default ``x`` of ``plane``. Objectives are maximised or minimised as in the
                study, accuracies are maximised, costs are minimised.
            y: As for ``x``.
            mix_environments: Whether to compare latencies that were measured in several environments.
            searched: Whether to compare the values that the search measured, without fresh seeds.

        Raises:
            StoreError: The study has no such quantity, or latencies were measured in several environments.
        """
        x, y = self.axes(x, y)
        names = dict.fromkeys((x, y))
        light = self._measured() if searched else self._estimated(names)
        self._require(names, light)
        if not mix_environments:
            questions.require_one_environment(self.name, names, light)
        known = [record for record in light if all(record.value(name) is not None for name in names)]
        front = non_dominated([self._minimised(record, names) for record in known])
        return self._with_details(
            sorted((known[index] for index in front), key=lambda record: (record.value(x), record.number))
        )

    def best_under(
        self,
        limits: Iterable[Limit | str] | Limit | str,
        objective: str | None = None,
        *,
        mix_environments: bool = False,
    ) -> TrialRecord | None:
        """Return the complete trial with the best objective within limits.

        Args:
            limits: One or several limits, as "macs<=4M" or a Limit. A trial without the quantity exceeds the limit.
            objective: The objective; by default ``y`` of ``plane``.
            mix_environments: As for ``frontier``.

        Returns:
            The trial, or None if no complete trial is within the limits.

        Raises:
            StoreError: The study has no such quantity, latencies were measured in several environments, or a limit
                above 1 is given for an accuracy, which the study stores as a fraction.
        """
        objective = self.axes(None, objective)[1]
        limits = questions.limits_of(limits)
        names = [objective, *(limit.cost for limit in limits)]
        light = self._estimated(names)
        self._require(names, light)
        questions.require_fractions(self.name, limits, light)
        if not mix_environments:
            questions.require_one_environment(self.name, names, light)
        measured = (record for record in light if record.value(objective) is not None)
        within = [record for record in measured if all(limit.excess(record.quantities) <= 0 for limit in limits)]
        if not within:
            return None
        best = min(within, key=lambda record: (self._minimised(record, [objective]), record.number))
        return self._with_details([best])[0]

    def nearest_to(self, limits: Iterable[Limit | str] | Limit | str) -> TrialRecord | None:
        """Return the complete trial that exceeds the limits least (without limits the first), or None without any."""
        limits = questions.limits_of(limits)
        light = self._estimated(limit.cost for limit in limits)
        known = [record for record in light if all(record.value(limit.cost) is not None for limit in limits)]
        if not known:
            return None
        excess = [max((each.excess(record.quantities) for each in limits), default=0.0) for record in known]
        return self._with_details([known[excess.index(min(excess))]])[0]

    def mixed_environments(self) -> str:
        """Describe the environments in which latencies were measured, and their differences; empty if there is one."""
        return mixed_environments(self._measured())

    def require_one_environment(self, names: Iterable[str]) -> None:
        """Raise StoreError if latency is among the quantities ``names`` and was measured in several environments."""
        questions.require_one_environment(self.name, names, self._measured())

    def estimates(self, y: str | None = None) -> dict[int, Estimate]:
        """Return the best estimate of an objective for each complete trial, with its interval and its source.

        Args:
            y: The objective; by default ``y`` of ``plane``.

        Returns:
            Trial number -> estimate: the mean over fresh seeds if the network was trained from any with the study's
            epochs; else what these are expected to give if others have some, or the value of the trial.
        """
        y, complete = self.axes(None, y)[1], self._measured()
        self._require([y], complete)
        return best_estimates(complete, self.confirmations(), y, self.fingerprint.get("epochs"))

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """Return the hypervolume that the complete trials dominate in the space of the objectives; 0 without any.

        Args:
            reference: Objective -> value of the reference point. By default the worst value of each objective so far;
                to compare two studies, pass the same reference.
        """
        names = list(self.objectives)
        points = [self._minimised(record, names) for record in self._measured()]
        if reference is None:
            return hypervolume(points, [max(column) for column in zip(*points)]) if points else 0.0
        known = questions.reference_point(self.name, names, reference)
        return hypervolume(points, [self.sign(name) * known[name] for name in names])

    def savings(self) -> dict[str, int]:
        """Return the trainings and epochs that the study saved.

        Returns:
            ``trainings_saved``: trials with the result of another trial of the same network. ``epochs_saved``: epochs
            saved by early stopping. ``epochs_trained``: epochs of complete and stopped trials, including those of
            trainings that were stopped and later restarted from the first epoch.
        """
        return read_savings(self, self.objectives, self.fingerprint.get("epochs") or 0)

    def to_frame(self) -> pandas.DataFrame:
        """Return a data frame with one row per trial.

        The columns are number, state, digest, one per choice point, objectives, costs, seconds, reason. A choice point
        that does not apply to a network (the space is conditional) is None. If the name of a choice point or quantity
        is also that of another column, its column is named ``choice.<name>`` or ``value.<name>``.
        """
        return trials_frame(self.trials(full=False), self.objectives)

    @property
    def plane(self) -> tuple[str, str]:
        """The quantities (x, y) of the study's frontier, chosen from its objectives.

        ``y`` is the first maximised objective that an evaluation measures, else the first that an evaluation measures.
        ``x`` is the first other minimised objective that is a cost, else the first other minimised objective that is
        not a training metric, else ``macs``. Costs are the analytic costs, ``latency_ms`` and the user's own costs.
        """
        return questions.default_plane(self.objectives, self.fingerprint.get("costs", ()))

    def axes(self, x: str | None = None, y: str | None = None) -> tuple[str, str]:
        """Return ``x`` and ``y``, each replaced by that of ``plane`` if it is None."""
        questions.require_names(self.name, (x, y))
        default_x, default_y = self.plane
        return x or default_x, y or default_y

    @property
    def cost_objective(self) -> str:
        """The cost on the x-axis of frontiers: ``x`` of ``plane``."""
        return self.plane[0]

    def confirmations(self, since_revision: int = 0) -> list[ConfirmationRecord]:
        """Return further trainings of networks that changed after this revision (0: all), by their start.

        ``explorer confirm`` and ``repeats`` of a search make them.
        """
        return read_confirmations(self, questions.storable(since_revision, "a revision"))

    def confirmed(
        self, x: str | None = None, y: str = "accuracy", *, epochs: int | None = None, mix_environments: bool = False
    ) -> list[Confirmed]:
        """Return the networks that were trained from fresh seeds, with their test metrics, by ascending ``x``.

        Args:
            x: A cost or objective; by default ``cost_objective``.
            y: "accuracy", "top5" or "loss".
            epochs: Only trainings of this number of epochs, since others are not comparable. By default the number of
                the latest confirmation.
            mix_environments: As for ``frontier``.

        Returns:
            The networks. The ``frontier_probability`` of each is relative to the others returned.

        Raises:
            StoreError: ``x`` or ``y`` is unknown, or latencies were measured in several environments.
        """
        x, y = self.axes(x, y)
        return confirmed_networks(self.confirmations(), self._comparable([x], mix_environments), x, y, epochs)

    def frontier_certainty(
        self, x: str | None = None, y: str | None = None, *, mix_environments: bool = False
    ) -> FrontierCertainty | None:
        """Return the noise of one training, and how likely each network stays on the front in another run.

        In another run every complete trial's network is trained once again from a fresh seed; a network stays if no
        other one of at most its ``x`` has a better new ``y`` (``explorer.analysis.frontier_certainty``). Arguments and
        errors are those of ``frontier``. None if no network was trained more than once with the study's epochs.
        """
        x, y = self.axes(x, y)
        return frontier_certainty(self.trainings(x, y, mix_environments=mix_environments), y)

    def training_noise(self, y: str | None = None) -> float | None:
        """Return the standard deviation of ``y`` over seeds on the validation split, pooled over all networks with
        several trainings, their trials included; None if there are none."""
        x, y = self.axes(None, y)
        return pooled_std(network.values for network in self.trainings(x, y, mix_environments=True))

    def frontier_probabilities(
        self, x: str | None = None, y: str | None = None, *, mix_environments: bool = False
    ) -> dict[int, float]:
        """Return ``probabilities`` of ``frontier_certainty``, trial number -> probability; empty where that is None."""
        return dict(getattr(self.frontier_certainty(x, y, mix_environments=mix_environments), "probabilities", {}))

    def trainings(self, x: str, y: str, *, mix_environments: bool = False) -> list[Trainings]:
        """Return all trainings of each complete trial's network, for ``explorer.analysis.frontier_certainty``."""
        records = self._comparable([x, y], mix_environments)
        return all_trainings(records, self.confirmations(), x, y, -self.sign(y), self.fingerprint.get("epochs"))

    def gradient_flow(self, digest: str) -> GradientFlow | None:
        """Return the gradient flow at initialisation of the network ``digest``, or None if it was not recorded."""
        return read_gradient_flow(self, digest)

    def _comparable(self, names: list[str], mix_environments: bool) -> list[TrialRecord]:
        """Return the complete trials. Raises StoreError if these quantities are unknown or not comparable."""
        light = self._measured()
        if light:
            self._require(names, light)
        if not mix_environments:
            questions.require_one_environment(self.name, names, light)
        return light

    def _measured(self) -> list[TrialRecord]:
        return read_measured(self, self.objectives)

    def _estimated(self, names: Iterable[str]) -> list[TrialRecord]:
        """Return ``_measured``, with the best estimates of the objectives ``names``."""
        return with_estimates(self._measured(), self.confirmations(), names, self.fingerprint.get("epochs"))

    def _with_details(self, light: list[TrialRecord]) -> list[TrialRecord]:
        """Return the same trials, also their estimates, with architecture, training curve and environment."""
        numbers = [record.number for record in light]
        found = read_trials(self, self.objectives, trials.c.number.in_(numbers), full=True)
        full = {each.number: each for each in found}
        return [estimated(full[each.number], each.estimates) for each in light]

    def sign(self, name: str) -> int:
        """Return -1 for a quantity that is maximised and 1 for one that is minimised; objectives as in the study."""
        return -1 if is_maximised(name, self.objectives) else 1

    def _minimised(self, record: TrialRecord, names: Iterable[str]) -> list[float]:
        return [self.sign(name) * record.value(name) for name in names]  # type: ignore[operator]

    def require_known(self, names: Iterable[str]) -> None:
        """Raise StoreError for a quantity that is neither an objective of the study nor in its complete trials."""
        self._require(names, self._measured())

    def _require(self, names: Iterable[str], records: list[TrialRecord]) -> None:
        questions.require_known(self.name, self.objectives, self.fingerprint, names, records)
