"""The atlas: what every network of a space costs, or a uniform draw of them, as a table or a Parquet file."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet

from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.choices import ABSENT, WHOLE, ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.errors import ExplorerError
from explorer.space.search_space import FORMAT, SearchSpace
from explorer.system.files import write_whole

if TYPE_CHECKING:
    import pandas

LARGEST = 100_000_000  # rows: some minutes of work and gigabytes of file
CELLS = 2**23  # of choices at a time: what bounds the memory
ROWS = 65_536  # at a time at most: what stays in a processor's cache

Progress = Callable[[int], object]  # is told how many rows are done


class Written(NamedTuple):
    """``seconds``: costing and writing, the space already read. ``ranges``: cost -> (least, greatest)."""

    rows: int
    seconds: float
    ranges: dict[str, tuple[int, int]]


def atlas(space: SearchSpace, n: int | None = None, seed: int = 0) -> pandas.DataFrame:
    """The costs of all derivations of a space, or of ``n`` different ones drawn uniformly (or all there are).

    One row a derivation, in rank order: ``index`` (as text where the space has 2^62 derivations or more), a
    categorical column a choice point (missing where it is not asked; ``choice.NAME`` where NAME is the name of a
    cost), and the costs by their names in ``Cost``. Nothing is built.

    Raises ExplorerError when that is more than 100,000,000 rows, SpaceError when a network cannot be built.
    """
    schema, tables = _tables(space, n, seed)
    return pyarrow.Table.from_batches(list(tables), schema).to_pandas()


def write_atlas(
    space: SearchSpace, path: Path, n: int | None = None, seed: int = 0, progress: Progress = lambda rows: None
) -> Written:
    """Writes the atlas as a Parquet file, whole or not at all, in bounded memory. Raises as ``atlas`` does."""
    started = time.perf_counter()
    rows, ranges = 0, {}

    def write(temporary: Path) -> None:
        nonlocal rows
        schema, batches = _tables(space, n, seed)
        with parquet.ParquetWriter(temporary, schema, use_dictionary=choice_names(schema)) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
                for name in COSTS:
                    values = np.frombuffer(batch.column(name).buffers()[1], np.int64)
                    low, high = ranges.get(name, (values[0], values[0]))
                    ranges[name] = (min(low, values.min()), max(high, values.max()))
                progress(rows)

    try:
        write_whole(path, write)
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written: {error.strerror or error}") from None
    whole = {name: (int(low), int(high)) for name, (low, high) in ranges.items()}
    return Written(rows, time.perf_counter() - started, whole)


def is_atlas(path: Path) -> bool:
    """Whether the file is a table that ``write_atlas`` wrote."""
    try:
        return b"explorer" in (parquet.read_schema(path).metadata or {})
    except pyarrow.ArrowInvalid:
        return False


def rows_of(space: SearchSpace, n: int | None) -> int:
    """How many rows an atlas has. Raises ExplorerError when they are too many."""
    total = space.count()
    rows = total if n is None else min(n, total)
    if rows > LARGEST:
        shown = f"{total:,}" if total < 10**15 else f"some 10^{len(str(total)) - 1}"
        raise space.error(
            f"the space has {shown} derivations; an atlas holds at most {LARGEST:,}: draw some, as in -n 1000000"
        )
    return rows


def choice_names(schema: pyarrow.Schema) -> list[str]:
    """The columns of an atlas that are choices."""
    return [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]


def survey(
    space: SearchSpace, rows: int, seed: int, columns: ChoiceColumns | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Indices, choices (``ChoiceColumns.codes``) and costs of so many derivations, a few at a time, in rank order."""
    columns = columns or ChoiceColumns(space)
    costs = NetworkCosts(space, columns)
    step = min(ROWS, max(1, CELLS // (len(columns.columns) + 1)))
    drawn = None if rows == columns.total else draw(columns.total, rows, seed)
    for start in range(0, rows, step):
        end = min(start + step, rows)
        indices = np.arange(start, end) if drawn is None else drawn[start:end]
        codes = columns.codes(indices)
        yield indices, codes, costs(indices, codes)


def _tables(space: SearchSpace, n: int | None, seed: int) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    rows = rows_of(space, n)
    columns = ChoiceColumns(space)
    schema = _schema(space, columns)
    return schema, _batches(space, rows, seed, columns, schema)


def _batches(
    space: SearchSpace, rows: int, seed: int, columns: ChoiceColumns, schema: pyarrow.Schema
) -> Iterator[pyarrow.RecordBatch]:
    options = [_texts(column.options) for column in columns.columns]
    for indices, codes, costs in survey(space, rows, seed, columns):
        shown = _column(indices) if columns.total < WHOLE else _texts(map(str, indices))
        choices = [
            pyarrow.DictionaryArray.from_arrays(_column(own, own != ABSENT), texts)
            for own, texts in zip(codes, options)
        ]
        yield pyarrow.RecordBatch.from_arrays(
            [shown, *choices, *(_column(costs[name]) for name in COSTS)], schema=schema
        )


# Arrays from their buffers: ``pyarrow.array`` would import pandas, which takes longer than most atlases.


def _texts(texts: Iterable[str]) -> pyarrow.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pyarrow.StringArray.from_buffers(len(encoded), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(encoded)))


def _column(values: np.ndarray, valid: np.ndarray | None = None) -> pyarrow.Array:
    bits = None if valid is None or valid.all() else pyarrow.py_buffer(np.packbits(valid, bitorder="little"))
    kind = pyarrow.int16() if values.dtype == np.int16 else pyarrow.int64()
    return pyarrow.Array.from_buffers(kind, len(values), [bits, pyarrow.py_buffer(np.ascontiguousarray(values))])


def draw(total: int, n: int, seed: int) -> np.ndarray:
    """``n`` different whole numbers below ``total``, each such set as likely as any other, in ascending order."""
    source = random.Random(f"{FORMAT}:atlas:{seed}")
    if total >= WHOLE:
        found: set[int] = set()
        while len(found) < n:
            found.add(source.randrange(total))
        return np.array(sorted(found), dtype=object)
    numbers = np.random.default_rng(source.getrandbits(128))
    few = min(n, total - n)  # those to take, or those to leave out
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < few:
        drawn = np.unique(np.concatenate([drawn, numbers.integers(0, total, few - len(drawn))]))
    if few == n:
        return drawn
    kept = np.ones(total, dtype=bool)
    kept[drawn] = False
    return np.flatnonzero(kept)


def _schema(space: SearchSpace, columns: ChoiceColumns) -> pyarrow.Schema:
    whole = pyarrow.int64()
    text = pyarrow.dictionary(pyarrow.int16(), pyarrow.string())
    taken = {"index", *COSTS}
    about = {
        "space": space.name,
        "digest": space.digest,
        "input": list(space.input),
        "classes": space.classes,
        "derivations": str(columns.total),
    }
    return pyarrow.schema(
        [
            ("index", whole if columns.total < WHOLE else pyarrow.string()),
            *((f"choice.{name}" if name in taken else name, text) for name, _ in columns.columns),
            *((name, whole) for name in COSTS),
        ],
        metadata={"explorer": json.dumps(about)},
    )
