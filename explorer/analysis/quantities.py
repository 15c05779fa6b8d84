"""The quantities that the explorer knows by name: what each is, its unit, and which way is better.

``QUANTITIES`` has one row per quantity. Limits, spaces, the store, searches, the command line and the dashboard all
ask this table. A new analytic cost is one row here and one formula of the same name in ``explorer.costs.analytic``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

# cost: counted from the architecture alone. latency: measured before training. objective: measured by training.
# score: a zero-cost score. spent: what a training has used so far. own: defined by the caller.
Kind = Literal["cost", "latency", "objective", "score", "spent", "own"]

LATENCY = "latency_ms"
PREFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Scale(NamedTuple):
    """One way to show an amount.

    Attributes:
        divisor: What the amount is divided by.
        name: The unit on an axis; empty for a bare number.
        suffix: What stands behind a single value.
    """

    divisor: float
    name: str
    suffix: str


BARE = Scale(1, "", "")


@dataclass(frozen=True, slots=True)
class Unit:
    """How amounts of a quantity are written in a limit, and shown.

    Attributes:
        words: Unit in lower case -> factor of a number before it.
        scales: Largest divisor first; the last one shows any amount.
        prefixed: Whether k, M, G or T may precede a word.
    """

    words: Mapping[str, Fraction]
    scales: tuple[Scale, ...] = (BARE,)
    prefixed: bool = True

    def factor(self, word: str) -> Fraction | None:
        """Return the factor of a number before ``word`` (a unit, a prefix or both); None if it is no unit of these."""
        if word in PREFIXES:
            return Fraction(PREFIXES[word])
        if word.lower() in self.words:
            return self.words[word.lower()]
        prefix, rest = word[:1], word[1:].lower()
        if self.prefixed and prefix in PREFIXES and rest in self.words:
            return PREFIXES[prefix] * self.words[rest]
        return None

    def scale(self, values: Iterable[float]) -> Scale:
        """Return the scale in which the largest of ``values`` reads well."""
        largest = max((abs(value) for value in values), default=0.0)
        return next((scale for scale in self.scales[:-1] if largest >= scale.divisor), self.scales[-1])


def _named(*words: str) -> dict[str, Fraction]:
    return dict.fromkeys(words, Fraction(1))


def _count(*words: str) -> Unit:
    """Return the unit of a large whole number, which a limit may follow by one of ``words``."""
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
        name: In JSON, in limits and as an objective.
        kind: Where its values come from.
        unit: How its amounts are written and shown.
        title: On axes and in headings.
        about: What it counts, for help and model cards; empty where the title says it.
        condition: Under which setting it holds, where it depends on one.
        maximised: Whether more of it is better.
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
    def description(self) -> str:
        """What it counts and under which setting, in one line."""
        return (self.about or self.title) + (f" ({self.condition})" if self.condition else "")


QUANTITIES: dict[str, Quantity] = {
    row.name: row
    for row in (
        Quantity("params", "cost", _count("param", "params", "parameters"), "parameters"),
        Quantity("macs", "cost", _count("mac", "macs"), "MACs", "multiply-accumulates, one image"),
        Quantity("flops", "cost", _count("flop", "flops"), "FLOPs", "FLOPs (2 x multiply-accumulates)"),
        Quantity("activations", "cost", _count("activation", "activations"), "activations",
                 "activations (elements put out by conv and linear layers)"),
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


COSTS = names("cost")  # of every network, without training or measuring
BEFORE_TRAINING = names("cost", "latency")
TRAINED = {name: QUANTITIES[name].field for name in names("objective")}  # what a training measures -> its field
SCORES = names("score")
FRACTIONS = tuple(row.name for row in QUANTITIES.values() if row.unit is FRACTION)
UNITS = {row.name: row.unit for row in QUANTITIES.values() if row.unit.words}  # those that limits may state


def quantity_named(name: str) -> Quantity:
    """Return the row of ``name``; for a name that the caller defined, a row without a unit (bytes for ``*_bytes``)."""
    own = BYTES if name.endswith("_bytes") else NUMBER
    return QUANTITIES.get(name) or Quantity(name, "own", own, name)


def is_maximised(name: str, objectives: Mapping[str, str] | None = None) -> bool:
    """Return whether more of ``name`` is better: as ``objectives`` (name -> "max" or "min") says, else the table."""
    return (objectives or {}).get(name, "max" if quantity_named(name).maximised else "min") == "max"


def directions(listed: Iterable[str]) -> dict[str, str]:
    """Return name -> "max" or "min" for objectives that are given by name alone."""
    return {name: "max" if is_maximised(name) else "min" for name in listed}
