"""The trials of a study as arrays, which a page of 100,000 trials is computed from in a fraction of a second.

Arrow parses the JSON of the database. Where a row has anything that Arrow or numpy reads differently from the records,
the records are read instead; they check each row and name the damaged one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from explorer.records import STATES, TrialRecord
from explorer.store.views.columns import TrialColumns

COMPLETE = STATES.index("complete")
NO_LEVEL = -1  # the code of a choice that was not asked


class UnusualRow(ValueError):
    """A row that must be read as a record."""


@dataclass(frozen=True)
class TrialTable:
    """Trials in the order of their numbers. All arrays have one entry per trial.

    Attributes:
        number: Numbers of the trials.
        state: Indices in ``STATES``.
        digest: Digests of their networks.
        costs: Cost -> values; NaN where a trial has none.
        objectives: Objective -> values; NaN where a trial has none.
        codes: Choice point -> indices in ``levels``; ``NO_LEVEL`` where it was not asked.
        levels: Choice point -> the texts of its alternatives that occur.
        started: Start times in seconds since 1970; NaN if unknown.
        finished: End times; NaN if it has not ended.
        seconds: Seconds of the training, as ``TrialRecord.seconds``; NaN if unknown.
        revision: The latest revision of a trial; 0 without trials.
    """

    number: np.ndarray
    state: np.ndarray
    digest: np.ndarray
    costs: dict[str, np.ndarray]
    objectives: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    levels: dict[str, list[str]]
    started: np.ndarray
    finished: np.ndarray
    seconds: np.ndarray
    revision: int = 0

    def __len__(self) -> int:
        return len(self.number)

    @property
    def complete(self) -> np.ndarray:
        """Whether each trial is complete."""
        done: np.ndarray = self.state == COMPLETE
        return done

    def value(self, name: str) -> np.ndarray:
        """Return a quantity; of an objective and a cost of one name, the objective where a trial has it."""
        nothing = np.full(len(self), np.nan)
        cost, objective = self.costs.get(name, nothing), self.objectives.get(name)
        return cost if objective is None else np.where(np.isnan(objective), cost, objective)

    def place(self, number: int) -> int | None:
        """Return the place of a trial; None if there is no such trial."""
        place = int(np.searchsorted(self.number, number))
        return place if place < len(self) and self.number[place] == number else None

    def choices(self, places: Iterable[int]) -> list[dict[str, str]]:
        """Return the choices of the trials at some places, choice point -> text."""
        return [
            {name: self.levels[name][code] for name, codes in self.codes.items() if (code := codes[place]) != NO_LEVEL}
            for place in places
        ]

    def level(self, choice: str, missing: str) -> np.ndarray:
        """Return the texts of a choice, and ``missing`` where it was not asked."""
        if choice not in self.codes:
            return np.full(len(self), missing, object)
        texts = np.array([*self.levels[choice], missing], object)
        found: np.ndarray = texts[self.codes[choice]]
        return found

    def select(self, keep: np.ndarray) -> TrialTable:
        """Return the trials at some places.

        Args:
            keep: Places in ascending order, or a truth value for each trial.
        """
        chosen: dict[str, Any] = {name: getattr(self, name)[keep] for name in _ARRAYS}
        for group in _GROUPS:
            chosen[group] = {name: own[keep] for name, own in getattr(self, group).items()}
        return replace(self, **chosen)

    def with_objectives(self, values: Mapping[int, Mapping[str, float]]) -> TrialTable:
        """Return the trials with other values of some objectives.

        Args:
            values: Number of a trial -> objective -> value.
        """
        changed = {name: array.copy() for name, array in self.objectives.items()}
        for number, own in values.items():
            place = self.place(number)
            if place is not None:
                for name, value in own.items():
                    changed.setdefault(name, np.full(len(self), np.nan))[place] = value
        return replace(self, objectives=changed)

    def records(self, places: Iterable[int], names: Sequence[str] = (), costs: Sequence[str] = ()) -> list[TrialRecord]:
        """Return records with number, state, digest, times, and some quantities.

        Args:
            places: Places of trials.
            names: The quantities that are its objectives.
            costs: The quantities that are its costs.
        """
        values = {name: self.value(name) for name in names}
        spent = {name: self.value(name) for name in costs}
        return [
            TrialRecord(
                int(self.number[place]),
                STATES[self.state[place]],
                str(self.digest[place]),
                objectives={name: float(own[place]) for name, own in values.items() if not np.isnan(own[place])},
                costs={name: float(own[place]) for name, own in spent.items() if not np.isnan(own[place])},
                started=_or_none(self.started[place]),
                finished=_or_none(self.finished[place]),
                duration=_or_none(self.seconds[place]),
            )
            for place in places
        ]


_ARRAYS = ("number", "state", "digest", "started", "finished", "seconds")
_GROUPS = ("costs", "objectives", "codes")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def no_trials() -> TrialTable:
    """Return a table without trials."""
    return table_of_records([])


def table_of_records(records: Iterable[TrialRecord]) -> TrialTable:
    """Return records as a table. Quantities that are not finite are NaN."""
    records = sorted(records, key=lambda record: record.number)
    names = {group: dict.fromkeys(n for r in records for n in getattr(r, group)) for group in ("costs", "objectives")}
    choices = dict.fromkeys(name for record in records for name in record.choices)
    codes, levels = {}, {}
    for name in choices:
        known: dict[str, int] = {}
        own = [record.choices.get(name) for record in records]
        codes[name] = np.array([NO_LEVEL if text is None else known.setdefault(text, len(known)) for text in own], int)
        levels[name] = list(known)
    return TrialTable(
        number=np.array([record.number for record in records], int),
        state=np.array([STATES.index(record.state) for record in records], np.int8),
        digest=np.array([record.digest for record in records], object),
        costs={name: _finite([record.costs.get(name) for record in records]) for name in names["costs"]},
        objectives={name: _finite([record.objectives.get(name) for record in records]) for name in names["objectives"]},
        codes=codes,
        levels=levels,
        started=_finite([record.started for record in records]),
        finished=_finite([record.finished for record in records]),
        seconds=_finite([record.seconds for record in records]),
        revision=max((record.revision for record in records), default=0),
    )


def _finite(values: Iterable[Any]) -> np.ndarray:
    kept = [value if isinstance(value, (int, float)) else np.nan for value in values]
    array = np.array(kept, float)
    array[~np.isfinite(array)] = np.nan
    return array


def table_of_columns(columns: TrialColumns, objectives: Iterable[str]) -> TrialTable:
    """Return rows of the database as a table.

    Args:
        columns: The rows.
        objectives: The objectives of the study, which each complete trial must have.

    Raises:
        UnusualRow: The rows must be read as records.
    """
    if not columns.number:
        return no_trials()
    try:
        state = np.array([_STATE_CODES[state] for state in columns.state], np.int8)
        number = np.array(columns.number, np.int64)
        times = {name: np.array(getattr(columns, name), float) for name in ("started", "finished", "duration")}
        costs, measured = _numbers(columns.costs), _numbers(columns.objectives)
        choices = _parsed(columns.choices)
    except (KeyError, ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise UnusualRow(str(error)) from None
    done = state == COMPLETE
    for name in objectives:
        own = [group[name] for group in (measured, costs) if name in group]
        lacking = np.logical_and.reduce([np.isnan(values) for values in own]) if own else np.ones(len(state), bool)
        if lacking[done].any():
            raise UnusualRow(f"a complete trial lacks {name}")
    codes, levels = {}, {}
    for name in choices.column_names:
        column = choices[name].combine_chunks()
        if not pa.types.is_string(column.type) or name in codes:
            raise UnusualRow(f"choice {name}")
        encoded = column.dictionary_encode()
        levels[name] = encoded.dictionary.to_pylist()
        codes[name] = encoded.indices.fill_null(NO_LEVEL).to_numpy(zero_copy_only=False).astype(int)
    spent = times["finished"] - times["started"]
    seconds = np.where(np.isnan(spent) | np.isnan(times["duration"]), np.maximum(spent, 0.0), times["duration"])
    return TrialTable(
        number, state, np.array(columns.digest, object), costs, measured, codes, levels,
        times["started"], times["finished"], seconds, max(columns.revision),
    )  # fmt: skip


_STATE_CODES: dict[str, int] = {state: code for code, state in enumerate(STATES)}


def _parsed(texts: Sequence[str]) -> pa.Table:
    """Return JSON objects as a table with a row per object."""
    if any("\n" in text or not text.startswith("{") for text in texts):
        raise UnusualRow("not one object per line")
    if all(text == "{}" for text in texts):
        return pa.table({})
    packed = "\n".join(texts).encode()
    options = arrow_json.ReadOptions(use_threads=False, block_size=len(packed) + 1)
    table = arrow_json.read_json(io.BytesIO(packed), read_options=options)
    if table.num_rows != len(texts):
        raise UnusualRow("not one object per line")
    return table


def _numbers(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return JSON objects of numbers as name -> values; NaN where an object lacks the name."""
    found = {}
    table = _parsed(texts)
    for name in table.column_names:
        column = table[name].combine_chunks()
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise UnusualRow(f"{name} is not a number")
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        if not np.isfinite(values[~np.isnan(values)]).all():
            raise UnusualRow(f"{name} is not finite")
        found[name] = values
    return found


def merged(old: TrialTable, new: TrialTable) -> TrialTable:
    """Return all trials of two tables; of a trial in both, that of ``new``."""
    if not len(new):
        return old
    if not len(old):
        return new
    kept = old.select(~np.isin(old.number, new.number))
    order = np.argsort(np.concatenate([kept.number, new.number]), kind="stable")

    def joined(pick: Callable[[TrialTable], np.ndarray | None], missing: Any) -> np.ndarray:
        parts = []
        for table in (kept, new):
            own = pick(table)
            parts.append(np.full(len(table), missing) if own is None else own)
        return np.concatenate(parts)[order]

    def joined_groups(group: str) -> dict[str, np.ndarray]:
        names = dict.fromkeys([*getattr(kept, group), *getattr(new, group)])
        return {name: joined(lambda table: getattr(table, group).get(name), np.nan) for name in names}  # noqa: B023

    levels = {name: list(dict.fromkeys([*kept.levels.get(name, ()), *new.levels.get(name, ())]))
              for name in dict.fromkeys([*kept.levels, *new.levels])}  # fmt: skip
    recoded = {}
    for name, texts in levels.items():
        codes = {text: code for code, text in enumerate(texts)}

        def own_codes(table: TrialTable, name: str = name, codes: dict[str, int] = codes) -> np.ndarray | None:
            if name not in table.codes:
                return None
            changed: np.ndarray = np.array([*(codes[text] for text in table.levels[name]), NO_LEVEL])
            return np.asarray(changed[table.codes[name]])

        recoded[name] = joined(own_codes, NO_LEVEL)
    return TrialTable(
        **{name: joined(lambda table: getattr(table, name), None) for name in _ARRAYS},  # noqa: B023
        costs=joined_groups("costs"),
        objectives=joined_groups("objectives"),
        codes=recoded,
        levels=levels,
        revision=max(old.revision, new.revision),
    )
