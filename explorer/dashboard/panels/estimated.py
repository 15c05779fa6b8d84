"""The trials of a study with the best estimates of their objectives: fresh seeds where there are any."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.analysis.estimates import Estimate, best_estimates
from explorer.dashboard.data.columns import TrialTable
from explorer.dashboard.session import cached, confirmed_of, identity, table_of
from explorer.store import Study


def estimated(study: Study) -> TrialTable:
    """Return the trials with the best estimates of their objectives. Raises StoreError."""
    table, confirmed = table_of(study), confirmed_of(study)
    if not confirmed:
        return table

    def compute() -> TrialTable:
        values: dict[int, dict[str, float]] = {}
        for name in study.objectives:
            for number, estimate in estimates_of(study, table, name, ()).items():
                if estimate.seeds:
                    values.setdefault(number, {})[name] = estimate.value
        return table.with_objectives(values)

    return cached((*identity(study), study.revision, "estimated"), compute)


def estimates_of(study: Study, table: TrialTable, name: str, numbers: Iterable[int]) -> dict[int, Estimate]:
    """Return the best estimates of an objective of confirmed networks and of some other trials. Raises StoreError."""
    confirmed = confirmed_of(study)
    tested = {record.digest for record in confirmed}
    places = [place for place, digest in enumerate(table.digest) if digest in tested] if tested else []
    places += [place for number in numbers if (place := table.place(number)) is not None]
    records = table.records(dict.fromkeys(places), [name])
    return best_estimates(records, confirmed, name, study.fingerprint.get("epochs"))
