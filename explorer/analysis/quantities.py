"""The table of quantities: kind, unit, title and direction of each cost, objective and score.

``QUANTITIES`` has one row per quantity, which limits, spaces, the store, searches, the command line and the dashboard
use. A new analytic cost is one row here and one formula of the same name in ``explorer.costs.analytic``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

# cost: counted from the architecture alone. latency: measured before training. objective: measured by training.
# score: a zero-cost score. spent: used by a training so far. own: defined by the caller.
Kind = Literal["cost", "latency", "objective", "score", "spent", "own"]

LATENCY = "latency_ms"
LARGEST = 1e100  # magnitude of a measured number; sums of squares of more would exceed the range of floats
PREFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Scale(NamedTuple):
    """One way to show an amount.

    Attributes:
        divisor: What the amount is divided by.
        name: The unit on an axis; empty for a bare number.
        suffix: The text after a single value.
    """

    divisor: float
    name: str
    suffix: str


BARE = Scale(1, "", "")


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a quantity, in limits and on axes.

    Attributes:
        words: Unit in lower case -> factor of a number before it.
        scales: In descending order of divisor; the last one fits any amount.
        prefixed: Whether k, M, G or T may precede a word.
    """

    words: Mapping[str, Fraction]
    scales: tuple[Scale, ...] = (BARE,)
    prefixed: bool = True

    def factor(self, word: str) -> Fraction | None:
        """Return the factor of a number before ``word`` (a unit, a prefix or both); None if it is another unit."""
        if word in PREFIXES:
            return Fraction(PREFIXES[word])
        if word.lower() in self.words:
            return self.words[word.lower()]
        prefix, rest = word[:1], word[1:].lower()
        if self.prefixed and prefix in PREFIXES and rest in self.words:
            return PREFIXES[prefix] * self.words[rest]
        return None

    def scale(self, values: Iterable[float]) -> Scale:
        """Return the scale for ``values``: the first with a divisor up to their largest magnitude."""
        largest = max((abs(value) for value in values), default=0.0)
        return next((scale for scale in self.scales[:-1] if largest >= scale.divisor), self.scales[-1])


def _named(*words: str) -> dict[str, Fraction]:
    return dict.fromkeys(words, Fraction(1))


def _count(*words: str) -> Unit:
    """Return the unit of a large whole number with the names ``words``."""
    return Unit(_named(*words), (*LARGE, BARE))


LARGE = Scale(10**9, "billions", "G"), Scale(10**6, "millions", "M"), Scale(10**3, "thousands", "k")
NUMBER = Unit({})
FRACTION = Unit({"%": Fraction(1, 100)}, (Scale(0.01, "%", "%"),))
PIXELS = Unit(_named("px", "pixels"), (Scale(1, "pixels", " pixels"),))
SECONDS = Unit({}, (Scale(1, "s", " s"),))
MILLISECONDS = Unit(
    {"ms": Fraction(1), "s": Fraction(1000), "us": Fraction(1, 1000), "µs": Fraction(1, 1000)},
    (Scale(1, "ms", " ms"),),
    prefixed=False,
)
BYTES = Unit(
    {**_named("b", "byte", "bytes"), **{f"{letter}ib": Fraction(1024**k) for k, letter in enumerate("kmgt", 1)}},
    (
        Scale(2**30, "GiB", " GiB"),
        Scale(2**20, "MiB", " MiB"),
        Scale(2**10, "KiB", " KiB"),
        Scale(1, "bytes", " bytes"),
    ),
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the table.

    Attributes:
        name: The name in JSON, in limits and as an objective.
        kind: The source of its values.
        unit: Its unit.
        title: The title on axes and in headings.
        about: The description for help and model cards; empty if the title suffices.
        condition: The setting in which it is computed; empty if it depends on none.
        maximised: Whether larger values are better.
        field: Of an objective, the field of ``Epoch``, ``TrainingResult`` and ``Curve`` that holds it.
    """

    name: str
    kind: Kind
    unit: Unit
    title: str
    about: str = ""
    condition: str = ""
    maximised: bool = False
    field: str = ""

    @property
    def tested(self) -> str:
        """The title without the split, for a value that is tested on the test split."""
        return self.title.replace("validation ", "")

    @property
    def description(self) -> str:
        """The description and the condition, in one line."""
        return (self.about or self.title) + (f" ({self.condition})" if self.condition else "")


QUANTITIES: dict[str, Quantity] = {
    row.name: row
    for row in (
        Quantity("params", "cost", _count("param", "params", "parameters"), "parameters"),
        Quantity("macs", "cost", _count("mac", "macs"), "MACs", "multiply-accumulates, one image"),
        Quantity("flops", "cost", _count("flop", "flops"), "FLOPs", "FLOPs (2 x multiply-accumulates)"),
        Quantity("activations", "cost", _count("activation", "activations"), "activations",
                 "activations (output elements of conv and linear layers)"),
        Quantity("weight_layers", "cost", Unit(_named("layer", "layers")), "weight layers"),
        Quantity("receptive_field", "cost", PIXELS, "receptive field", "receptive field, pixels"),
        Quantity("peak_memory_bytes", "cost", BYTES, "peak memory", "peak memory in inference, bytes",
                 "float32, batch 1"),
        Quantity(LATENCY, "latency", MILLISECONDS, "latency"),
        Quantity("accuracy", "objective", FRACTION, "validation accuracy", maximised=True, field="val_accuracy"),
        Quantity("top5", "objective", FRACTION, "top-5 validation accuracy", maximised=True, field="val_top5"),
        Quantity("loss", "objective", NUMBER, "validation loss", field="val_loss"),
        *(Quantity(name, "score", NUMBER, name, maximised=True)
          for name in ("naswot", "synflow", "grad_norm", "snip", "jacob_cov", "zen")),
        Quantity("epochs_spent", "spent", NUMBER, "epochs spent"),
        Quantity("training_seconds", "spent", SECONDS, "training time"),
    )
}  # fmt: skip


def names(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of all quantities of ``kinds``, in the order of the table."""
    return tuple(row.name for row in QUANTITIES.values() if row.kind in kinds)


COSTS = names("cost")  # known for every network without training or measurement
BEFORE_TRAINING = names("cost", "latency")
TRAINED = {name: QUANTITIES[name].field for name in names("objective")}  # measured by training: name -> field
SCORES = names("score")
FRACTIONS = tuple(row.name for row in QUANTITIES.values() if row.unit is FRACTION)
UNITS = {row.name: row.unit for row in QUANTITIES.values() if row.unit.words}  # those with names for limits


def quantity_named(name: str) -> Quantity:
    """Return the row of ``name``; for a name defined by the caller a row without a unit (bytes for ``*_bytes``)."""
    own = BYTES if name.endswith("_bytes") else NUMBER
    return QUANTITIES.get(name) or Quantity(name, "own", own, name)


def is_maximised(name: str, objectives: Mapping[str, str] | None = None) -> bool:
    """Return whether larger values are better.

    Args:
        name: The quantity.
        objectives: Name -> "max" or "min", which overrides the table.
    """
    return (objectives or {}).get(name, "max" if quantity_named(name).maximised else "min") == "max"


def directions(listed: Iterable[str]) -> dict[str, str]:
    """Return name -> "max" or "min", by the table, for a list of objectives."""
    return {name: "max" if is_maximised(name) else "min" for name in listed}
