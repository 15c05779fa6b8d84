"""The atlas: the costs of all networks of a space, or of a uniform sample, as a table or a Parquet file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.choices import ABSENT, MAX_INT64_COUNT, ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.costs.whole_space.drawn import columns_of
from explorer.errors import ExplorerError
from explorer.space.search_space import SearchSpace
from explorer.system.files import write_whole
from explorer.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from pyarrow import csv, parquet
else:  # counting and costing a space need none of them
    pandas, pyarrow, parquet, csv = map(LazyModule, ("pandas", "pyarrow", "pyarrow.parquet", "pyarrow.csv"))

WITHIN = "within_limits"  # the column that says whether a network keeps the limits of the space
MAX_ROWS = 100_000_000  # of an atlas: a few minutes and a file of some gigabytes
MAX_BATCH_CELLS = 2**23  # rows times choices of a batch, which bounds the memory
MAX_BATCH_ROWS = 65_536  # rows of a batch, which fit into a processor's cache

Progress = Callable[[int], object]  # receives the number of finished rows


class AtlasSummary(NamedTuple):
    """A summary of a written atlas.

    Attributes:
        rows: The number of rows.
        within_limits: The number of networks that keep the limits of the space.
        seconds: The time to compute and write them, without reading the space.
        ranges: Cost -> (minimum, maximum).
    """

    rows: int
    within_limits: int
    seconds: float
    ranges: dict[str, tuple[int, int]]


def atlas(space: SearchSpace, n: int | None = None, seed: int = 0) -> pandas.DataFrame:
    """Return the costs of the derivations of a space, without building networks.

    Args:
        space: The space.
        n: The number of distinct derivations to draw uniformly; all if there are fewer. Default: all.
        seed: The seed of the draw.

    Returns:
        One row per derivation in rank order: ``index`` (text if the space has 2^62 derivations or more), a categorical
        column per choice point (missing where it is absent; ``choice.NAME`` if NAME is the name of a cost), the
        costs by their names in ``Cost``, and if the space has limits on them ``within_limits``.

    Raises:
        ExplorerError: The table would have more than 100,000,000 rows.
        SpaceError: A network cannot be built.
    """
    schema, tables = _tables(space, n, seed)
    frame: pandas.DataFrame = pyarrow.Table.from_batches(list(tables), schema).to_pandas()
    return frame


def write_atlas(
    space: SearchSpace,
    path: Path,
    n: int | None = None,
    seed: int = 0,
    progress: Progress = lambda rows: None,
    draw_progress: Progress = lambda rows: None,
) -> AtlasSummary:
    """Write the atlas as a Parquet file, or as CSV by the ending of its name, atomically and in bounded memory.

    Args:
        space: The space.
        path: The file; a name that ends in .csv gives CSV.
        n: As in ``atlas``.
        seed: As in ``atlas``.
        progress: Called after each batch with the number of finished rows.
        draw_progress: Called with the number of networks drawn so far, if the derivations are not counted.

    Raises:
        ExplorerError: As in ``atlas``, or the file cannot be written.
        SpaceError: As in ``atlas``.
    """
    started = time.perf_counter()
    rows = within = 0
    ranges: dict[str, tuple[int, int]] = {}

    def write(temporary: Path) -> None:
        nonlocal rows, within
        schema, batches = _tables(space, n, seed, draw_progress)
        with _writer(temporary, schema, is_csv=path.suffix.lower() == ".csv") as write_batch:
            for batch in batches:
                write_batch(batch)
                rows += batch.num_rows
                within += batch.num_rows if WITHIN not in schema.names else batch.column(WITHIN).true_count
                for name in COSTS:
                    values = np.frombuffer(batch.column(name).buffers()[1], np.int64)
                    least, most = int(values.min()), int(values.max())
                    low, high = ranges.get(name, (least, most))
                    ranges[name] = (min(low, least), max(high, most))
                progress(rows)

    try:
        write_whole(path, write)
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written: {error.strerror or error}") from None
    return AtlasSummary(rows, within, time.perf_counter() - started, ranges)


@contextmanager
def _writer(path: Path, schema: pyarrow.Schema, is_csv: bool) -> Iterator[Callable[[pyarrow.RecordBatch], object]]:
    """Yield a function that writes a batch to a new file."""
    if not is_csv:
        with parquet.ParquetWriter(path, schema, use_dictionary=choice_names(schema)) as writer:
            yield writer.write_batch
        return
    plain = pyarrow.schema(
        [(field.name, pyarrow.string() if field.name in choice_names(schema) else field.type) for field in schema]
    )
    with csv.CSVWriter(path, plain) as lines:
        yield lambda batch: lines.write(pyarrow.Table.from_batches([batch]).cast(plain))


def is_atlas(path: Path) -> bool:
    """Return whether the file was written by ``write_atlas``."""
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8", errors="replace") as lines:
            first = lines.readline(1 << 16).rstrip().replace('"', "").split(",")
        costs = [name for name in first if name != WITHIN]
        return first[0] == "index" and costs[-len(COSTS) :] == list(COSTS)
    try:
        return b"explorer" in (parquet.read_schema(path).metadata or {})
    except pyarrow.ArrowInvalid:
        return False


def cost_limits(space: SearchSpace) -> list[Limit]:
    """Return the limits of a space on costs that are computed, not measured."""
    return [limit for limit in space.limits if limit.cost in COSTS]


def rows_of(space: SearchSpace, n: int | None) -> int:
    """Return the number of rows of an atlas.

    Raises:
        ExplorerError: There are more than 100,000,000.
    """
    total = space.indices
    rows = total if n is None else min(n, total)
    if rows > MAX_ROWS or (n is None and not space.is_counted):
        most = f"an atlas has at most {MAX_ROWS:,} rows" if rows > MAX_ROWS else "they are not counted"
        few = 1_000_000 if space.is_counted else 1_000
        raise space.error(f"the space has {space.size}; {most}: sample some, as in -n {few}")
    return rows


def choice_names(schema: pyarrow.Schema) -> list[str]:
    """Return the names of the columns of an atlas that are choices."""
    return [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]


def cost_batches(
    space: SearchSpace, rows: int, seed: int, columns: ChoiceColumns | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Yield indices, choices (``ChoiceColumns.codes``) and costs of derivations in batches, in rank order.

    Args:
        space: The space.
        rows: The number of derivations: all, or fewer, which are then drawn uniformly.
        seed: The seed of the draw.
        columns: The choice columns of the space, if they are known.
    """
    columns = columns or columns_of(space, rows, seed)
    costs = NetworkCosts(space, columns)
    drawn = columns.drawn(rows, seed)
    for places in rank_batches(columns, rows if drawn is None else len(drawn)):
        indices = places if drawn is None else drawn[places[0] : places[-1] + 1]
        codes = columns.codes(indices)
        yield indices, codes, costs(indices, codes)


def rank_batches(columns: ChoiceColumns, rows: int) -> Iterator[np.ndarray]:
    """Yield the integers in [0, rows) in batches that fit into the memory and the cache."""
    step = min(MAX_BATCH_ROWS, max(1, MAX_BATCH_CELLS // (len(columns.columns) + 1)))
    for start in range(0, rows, step):
        yield np.arange(start, min(start + step, rows))


def _tables(
    space: SearchSpace, n: int | None, seed: int, draw_progress: Progress = lambda rows: None
) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    rows = rows_of(space, n)
    columns = columns_of(space, rows, seed, progress=draw_progress)
    schema = _schema(space, columns)
    return schema, _batches(space, rows, seed, columns, schema)


def _batches(
    space: SearchSpace, rows: int, seed: int, columns: ChoiceColumns, schema: pyarrow.Schema
) -> Iterator[pyarrow.RecordBatch]:
    options = [_texts(column.options) for column in columns.columns]
    for indices, codes, costs in cost_batches(space, rows, seed, columns):
        shown = _column(indices) if columns.total < MAX_INT64_COUNT else _texts(map(str, indices))
        choices = [
            pyarrow.DictionaryArray.from_arrays(_column(own, own != ABSENT), texts)
            for own, texts in zip(codes, options)
        ]
        kept = [limit.allows(costs) for limit in cost_limits(space)]
        within = [_bits(np.all(kept, axis=0))] if kept else []
        yield pyarrow.RecordBatch.from_arrays(
            [shown, *choices, *(_column(costs[name]) for name in COSTS), *within], schema=schema
        )


# These build arrays from buffers: ``pyarrow.array`` would import pandas, which takes longer than most atlases.


def _texts(texts: Iterable[str]) -> pyarrow.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pyarrow.StringArray.from_buffers(len(encoded), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(encoded)))


def _bits(values: np.ndarray) -> pyarrow.Array:
    packed = pyarrow.py_buffer(np.packbits(values, bitorder="little"))
    return pyarrow.Array.from_buffers(pyarrow.bool_(), len(values), [None, packed])


def _column(values: np.ndarray, valid: np.ndarray | None = None) -> pyarrow.Array:
    bits = None if valid is None or valid.all() else pyarrow.py_buffer(np.packbits(valid, bitorder="little"))
    kind = pyarrow.int16() if values.dtype == np.int16 else pyarrow.int64()
    return pyarrow.Array.from_buffers(kind, len(values), [bits, pyarrow.py_buffer(np.ascontiguousarray(values))])


def _schema(space: SearchSpace, columns: ChoiceColumns) -> pyarrow.Schema:
    whole = pyarrow.int64()
    text = pyarrow.dictionary(pyarrow.int16(), pyarrow.string())
    taken = {"index", *COSTS, WITHIN}
    about = {
        "space": space.name,
        "digest": space.digest,
        "input": space.input_parts,
        "classes": space.classes,
        "derivations": str(space.size.derivations),
    }
    return pyarrow.schema(
        [
            ("index", whole if columns.total < MAX_INT64_COUNT else pyarrow.string()),
            *((f"choice.{name}" if name in taken else name, text) for name, _ in columns.columns),
            *((name, whole) for name in COSTS),
            *([(WITHIN, pyarrow.bool_())] if cost_limits(space) else []),
        ],
        metadata={"explorer": json.dumps(about)},
    )
