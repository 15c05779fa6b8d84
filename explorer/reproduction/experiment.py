"""An experiment as data: the cases of a published table, their numbers, and how they are trained at each scale.

A case names a network of the paper by the choices of a space. A smaller scale replaces single alternatives of these
choices, such as the depth, and trains on fewer images for fewer epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCALES = ("tiny", "small", "full")


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the numbers of an experiment are.

    Attributes:
        name: Name in JSON.
        title: Name in tables.
        unit: Unit of the numbers in tables, empty for none. JSON has percentages as fractions.
        digits: Decimals in tables.
    """

    name: str
    title: str
    unit: str
    digits: int

    @property
    def factor(self) -> float:
        """A number in tables divided by the same number in JSON."""
        return 100.0 if self.unit == "%" else 1.0


TEST_ERROR = Quantity("test_error", "test error", "%", 2)
GRADIENT_RATIO = Quantity("gradient_ratio", "gradient ratio of stage 1", "", 1)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a published table.

    Attributes:
        name: Name of the row, with the depth of the paper's network.
        choices: The paper's network: choice to alternative; choices left out have their first alternative.
        published: The published number in the unit of the quantity; None if the table has none.
        note: What the table says instead of a number, or beside it.
        against: Name of the case that this one is compared with; empty for none.
    """

    name: str
    choices: Mapping[str, str]
    published: float | None
    note: str = ""
    against: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a reproduction.

    Attributes:
        seeds: Trainings of each case.
        epochs: Epochs of each training.
        recipe: The recipe, as ``TrainingSettings`` takes it.
        subset: Training and validation images; None for all.
        smaller: Choice to the alternative that replaces each alternative of the paper.
    """

    seeds: int
    epochs: int = 0
    recipe: str | Mapping[str, Any] = "quick"
    subset: int | None = None
    smaller: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def choices(self, case: Case) -> dict[str, str]:
        """Return the choices of the network that stands for a case at this scale."""
        return {name: self.smaller.get(name, {}).get(chosen, chosen) for name, chosen in case.choices.items()}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A published table.

    Attributes:
        name: Name on the command line.
        about: What the table compares, in one line.
        source: The paper and the table.
        space: The shipped space whose choices the cases name.
        cases: The rows.
        scales: The scales by name: all of ``SCALES``.
        differs: What differs from the paper even at full scale.
        quantity: What the numbers are.
        data: The data set.
        has_curves: Whether the paper shows training curves, which are then drawn too.
    """

    name: str
    about: str
    source: str
    space: str
    cases: tuple[Case, ...]
    scales: Mapping[str, Scale]
    differs: str
    quantity: Quantity = TEST_ERROR
    data: str = "cifar10"
    has_curves: bool = False
