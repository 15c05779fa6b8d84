"""Retries of trials that failed in an earlier run of the study.

A failure of code, disk or process may be fixed by now, so each new run retries such a trial once. A failure of the
network itself (it exceeded a limit, or its training diverged) would occur again, so it is retried on request only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from explorer.records import RETRYABLE, TrialRecord
from explorer.store.lease import RETRIES
from explorer.store.rows import Ending
from explorer.study.workers.jobs import Failure

MAX_FAILURES = 5  # failed retries in a row, after which new networks come first


def failed_ending(failure: Failure, attempt: int) -> Ending:
    """Return the ending of a trial that failed in an attempt, counted from 1: it is resumed if its process died."""
    if failure.resumable and attempt <= RETRIES:
        return Ending("failed", reason=f"interrupted: {failure.reason}", resumable=True)
    last = f", in attempt {attempt} of {attempt}" if failure.resumable else ""
    return Ending("failed", reason=f"{failure.reason}{last}", failure=failure.kind)


class Retries:
    """The failed trials of earlier runs.

    Args:
        records: The trials at the start of this run. Failures of workers that run now belong to this run.
        all_kinds: Whether to retry all kinds of failures.
    """

    def __init__(self, records: Collection[TrialRecord], all_kinds: bool):
        active = {record.worker for record in records if record.state == "running"}
        failed = [record for record in records if record.state == "failed" and record.same_as is None]
        earlier = [record for record in failed if record.worker not in active]
        wanted = [record for record in earlier if all_kinds or record.failure in RETRYABLE]
        self._earlier = {record.number: record for record in earlier}
        # Trials with the fewest attempts come first: a trial that always fails does not delay the others.
        self._waiting = deque(sorted(wanted, key=lambda record: (record.attempt, record.number)))
        self._failed_again: set[int] = set()
        self._in_a_row = 0

    def next(self, *, last_resort: bool = False) -> TrialRecord | None:
        """Return the next trial to retry, or None.

        Args:
            last_resort: Retry also after ``MAX_FAILURES`` retries in a row failed again.
        """
        if not self._waiting or (self._in_a_row >= MAX_FAILURES and not last_resort):
            return None
        return self._waiting.popleft()

    def ended(self, record: TrialRecord) -> None:
        """Record how a trial of this run ended."""
        if record.number not in self._earlier:
            return
        failed = record.state == "failed"
        self._in_a_row = self._in_a_row + 1 if failed else 0
        (self._failed_again.add if failed else self._failed_again.discard)(record.number)

    def is_retry(self, number: int) -> bool:
        """Whether trial ``number`` failed before this run, so that its failure says nothing about new networks."""
        return number in self._earlier

    def is_earlier(self, record: TrialRecord) -> bool:
        """Whether a failed trial is unchanged since an earlier run."""
        known = self._earlier.get(record.number)
        return known is not None and known.revision == record.revision

    def last_reason(self, records: Iterable[TrialRecord]) -> str:
        """Return why the last trial of this run failed."""
        failed = [r for r in records if r.state == "failed" and r.same_as is None and not self.is_earlier(r)]
        return max(failed, key=lambda record: record.finished or 0.0).reason

    def only_failures(self, records: Collection[TrialRecord]) -> str:
        """Return a message on a study without a complete or stopped trial; empty if no trial failed."""
        failed = [record for record in records if record.state == "failed"]
        if not failed:
            return ""
        if all(self.is_earlier(record) for record in failed if record.same_as is None):
            return "no trial succeeded, all failed in an earlier run"
        return f"no trial succeeded, the last failed with: {self.last_reason(failed)}"

    def summary(self, records: Mapping[int, TrialRecord]) -> str:
        """Return one line on the earlier failures, empty if there are none.

        Args:
            records: The current trials of the study by number; other workers may have retried some.
        """
        count = len(self._earlier)
        if not count:
            return ""
        left = [records[number] for number in self._earlier if self.is_earlier(records[number])]
        retried = f"retried: {count - len(left)}, failed again: {len(self._failed_again)}"
        line = f"{count} trial{'s' * (count > 1)} failed in an earlier run; {retried}"
        if not left:
            return line
        skipped = f"{line}, not retried: {len(left)} (trial {left[-1].number}: {left[-1].reason})"
        if all(record.failure in RETRYABLE for record in left):
            return f"{skipped}; a run with more trials or time retries them"
        return f"{skipped}; --retry-failed (in Python retry_failed=True) retries these too"
