"""Check whether latencies were measured in one environment, since only those are comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from explorer.records import TrialRecord

# The largest relative difference of GPU clocks that counts as equal. It is also the limit of the drift within a
# measurement; the normal variation of a GPU is smaller.
CLOCK_TOLERANCE = 0.10


def mixed_environments(records: Iterable[TrialRecord]) -> str:
    """Describe the environments in which the latencies of trials were measured.

    GPU clocks that differ by more than ``CLOCK_TOLERANCE`` count as different environments: somebody locked them
    between the measurements, which the driver does not report.

    Args:
        records: The trials.

    Returns:
        The number of environments and their differences; empty if there is one.
    """
    measured = [record.latency for record in records if record.latency]
    found = {latency["environment"]["digest"]: latency["environment"] for latency in measured}
    if len(found) < 2:
        kept = [max(latency["device_state"]["sm_mhz"]) for latency in measured if _has_clock(latency)]
        differ = kept and max(kept) > (1 + CLOCK_TOLERANCE) * min(kept)
        return f"one environment at clocks from {min(kept):g} to {max(kept):g} MHz" if differ else ""
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


def _has_clock(latency: Mapping[str, Any]) -> bool:
    return "sm_mhz" in (latency.get("device_state") or {})
