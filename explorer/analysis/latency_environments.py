"""Whether latencies were measured in one environment, so that they compare networks and not machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from explorer.records import TrialRecord

CLOCKS_APART = 0.10  # what a drift may come to within a measurement, too; a card's own ups and downs are less


def mixed_environments(records: Iterable[TrialRecord]) -> str:
    """In how many environments the latencies of these trials were measured, and in what these differ; empty for one.
    Clocks that a GPU kept and that lie more than CLOCKS_APART from each other count as a difference: somebody locked
    them in between, which the driver does not tell."""
    measured = [record.latency for record in records if record.latency]
    found = {latency["environment"]["digest"]: latency["environment"] for latency in measured}
    if len(found) < 2:
        kept = [max(latency["device_state"]["sm_mhz"]) for latency in measured if _tells_clock(latency)]
        apart = kept and max(kept) > (1 + CLOCKS_APART) * min(kept)
        return f"one environment at clocks from {min(kept):g} to {max(kept):g} MHz" if apart else ""
    flat = [
        {**each, **each["versions"], **each["limits"], "device": each.get("device", "").partition(":")[0]}
        for each in found.values()
    ]
    differing = []
    for name in dict.fromkeys(name for each in flat for name in each):
        texts = dict.fromkeys(str(each.get(name, "none")) for each in flat)
        if len(texts) > 1 and name not in ("digest", "commit", "versions", "limits"):
            differing.append(f"{name} {' or '.join(texts)}")
    return f"{len(found)} environments ({'; '.join(differing)})"


def _tells_clock(latency: Mapping[str, Any]) -> bool:
    return "sm_mhz" in (latency.get("device_state") or {})
