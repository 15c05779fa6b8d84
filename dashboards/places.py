"""What the address bar says of the architecture page: a link opens it there, and the browser's Back returns to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dashboards.text import safe_text

LONGEST = {"trial": 12, "network": 1_000}  # digits of a number


class Place(NamedTuple):
    """What the page shows. ``trials``: numbers; ``network``: the index of a derivation beside them, or None. Where a
    place says nothing, the page decides."""

    study: str = ""
    trials: tuple[int, ...] = ()
    network: int | None = None

    def query(self) -> dict[str, list[str]]:
        """As the address bar says it."""
        said = {
            "study": [self.study] if self.study else [],
            "trial": [str(number) for number in self.trials],
            "network": [] if self.network is None else [str(self.network)],
        }
        return {name: values for name, values in said.items() if values}


def read_number(text: str, longest: int = LONGEST["trial"]) -> int | None:
    """The number that a text of at most so many digits says, None where it is something else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= longest else None


def read_place(query: Mapping[str, Sequence[str]]) -> tuple[Place, str]:
    """The place that an address says, and a sentence on what of it cannot be read, empty when all can."""
    problems = []

    def numbers(name: str) -> list[int]:
        found = []
        for text in query.get(name, ()):
            number = read_number(text, LONGEST[name])
            if number is None:
                problems.append(f"{name} {safe_text(text, length=40)!r}")
            else:
                found.append(number)
        return list(dict.fromkeys(found))

    trials, networks = numbers("trial"), numbers("network")
    place = Place(next(iter(query.get("study", ())), ""), tuple(trials), networks[0] if networks else None)
    return place, f"The address asks for {', '.join(problems)}, which is no number." if problems else ""
