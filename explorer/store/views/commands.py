"""Methods of a study that do what the commands of the same names do.

They call the public functions of the explorer, whose packages are above this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import explorer
from explorer.analysis.distributions import Comparison
from explorer.analysis.effects import Effect
from explorer.errors import StoreError
from explorer.records import Confirmed
from explorer.store.views.study_files import StudyFiles
from explorer.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import optuna
    from plotly import graph_objects as go
else:  # only plots need it
    go = LazyModule("plotly.graph_objects")


@dataclass(frozen=True, repr=False)
class StudyCommands(StudyFiles):
    """The methods of ``Study`` that train, export or draw."""

    def _storage(self) -> str:
        """Return the URL of the database, for functions that open it themselves."""
        if self.database.in_memory:
            raise StoreError(f"study {self.name!r} is in memory; keep it with explorer.copy_study(study, 'kept.db')")
        return self.database.url

    def effects(
        self,
        factor: str | None = None,
        *,
        pairs: int | None = None,
        x: str | None = None,
        y: str | None = None,
        mix_environments: bool = False,
        **options: Any,
    ) -> list[Effect]:
        """Return what each choice does, as ``explorer effects`` shows it.

        Args:
            factor: Only this choice; all by default.
            pairs: First train counterparts of trained networks, until the study has so many for this question.
            x: As for ``explorer.choice_effects``.
            y: As for ``explorer.choice_effects``.
            mix_environments: As for ``explorer.choice_effects``.
            options: With ``pairs`` the other arguments of ``explorer.train_pairs``, such as ``evaluate`` and
                ``workers``.

        Raises:
            StudyError: The question has no answer, or no counterpart is left.
            SearchFailed: The trainings gave up.
        """
        if pairs is None and options:
            raise TypeError(f"effects(): {', '.join(options)} need pairs=N, which trains counterparts first")
        if pairs is not None:
            if not mix_environments:
                self._opened.require_one_environment(self._opened.axes(x, y))
            explorer.train_pairs(self._opened, pairs, factor=factor, x=x, y=y, **options)
        return explorer.choice_effects(self._opened, factor, x=x, y=y, mix_environments=mix_environments)

    def confirm(self, *, seeds: int = 5, **options: Any) -> list[Confirmed]:
        """Train the networks of the front again from fresh seeds, as ``explorer confirm`` does.

        Args:
            seeds: Trainings per network.
            options: The other arguments of ``explorer.confirm``.

        Raises:
            StoreError: The study is in memory.
        """
        return explorer.confirm(self._storage(), self.name, seeds=seeds, **options)

    def compare(self, other: StudyCommands | str, **options: Any) -> Comparison:
        """Compare the errors of this study's networks with another's at equal cost, as ``explorer compare`` does.

        Args:
            other: A study, or the name of a study in this study's database, or a space.
            options: The other arguments of ``explorer.compare_spaces``.

        Raises:
            StoreError: The study is in memory, or the other study is in another database.
        """
        if isinstance(other, StudyCommands) and other._storage() != self._storage():
            raise StoreError(f"studies {self.name!r} and {other.name!r} are in different databases; merge them first")
        named = other if isinstance(other, str) else other.name
        return explorer.compare_spaces(self.name, named, storage=self._storage(), **options)

    def report(self, output: str | PathLike[str]) -> Path:
        """Write the study as one static page, as ``explorer report`` does; return its path.

        Args:
            output: The file, whose name ends in .html.
        """
        return explorer.write_report(self._opened, output)

    def export(self, number: int, directory: str | PathLike[str], **options: Any) -> Path:
        """Write the network of a trial as a folder that does not need the explorer, as ``explorer export`` does.

        Args:
            number: The number of the trial.
            directory: The folder: absent, empty, or an unchanged earlier export.
            options: ``formats``, ``weights``, ``features``, ``head_classes`` and ``data_dir`` of
                ``explorer.export_trial``.

        Returns:
            The folder.
        """
        return explorer.export_trial(self._opened, number, directory, **options).directory

    def plot_frontier(self, x: str | None = None, y: str | None = None, **options: Any) -> go.Figure:
        """Draw all complete trials and the front as a plotly figure.

        Args:
            x: The cost; by default ``x`` of ``plane``.
            y: The objective; by default ``y`` of ``plane``.
            options: ``colour`` and ``mix_environments`` of ``explorer.plot_frontier``.
        """
        return explorer.plot_frontier(self._opened, x, y, **options)

    def to_optuna(self, storage: Any = None, name: str = "") -> optuna.Study:
        """Write the study as an Optuna study, for ``optuna.visualization`` and optuna-dashboard.

        Args:
            storage: As of ``explorer.to_optuna``; None keeps the result in memory.
            name: The name of the Optuna study; by default that of this study.
        """
        return explorer.to_optuna(self._opened, storage, name)
