"""Small counts that every report adds up: systems by status, systems by verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from seccheck.model import Status, Verdict

VERDICTS = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED, Verdict.PASS, Verdict.NOT_APPLICABLE)
"""Worst first: a system counts under a criterion by its worst target."""
RANK = {verdict.value: rank for rank, verdict in enumerate(VERDICTS)}
STATUSES = (Status.MEETS, Status.DOES_NOT_MEET, Status.NOT_CONCLUDED, Status.UNASSESSED)


@dataclass
class Counts:
    """How many systems have each status."""

    meets: int = 0
    does_not_meet: int = 0
    not_concluded: int = 0
    unassessed: int = 0
    with_waivers: int = 0
    """Of those that meet, how many do so under a waiver."""

    def add(self, status: Status, *, waived: bool) -> None:
        """Count one system; `waived`: it meets all only under a waiver."""
        name = status.value.replace("-", "_")
        setattr(self, name, getattr(self, name) + 1)
        self.with_waivers += waived

    @property
    def reported(self) -> int:
        """All systems."""
        return self.meets + self.does_not_meet + self.not_concluded + self.unassessed

    @property
    def best(self) -> int:
        """How many would meet all if everything undecided turned out well."""
        return self.meets + self.not_concluded

    @property
    def rest(self) -> int:
        """All that do not meet, whatever the cause."""
        return self.reported - self.meets

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Each status with its number, in reading order."""
        return [(status.value, getattr(self, status.value.replace("-", "_"))) for status in STATUSES]


@dataclass
class VerdictCounts:
    """How many systems have each verdict under one criterion."""

    numbers: list[int] = field(default_factory=lambda: [0] * len(VERDICTS))

    def of(self, verdict: str) -> int:
        """The number of systems with `verdict`."""
        return self.numbers[RANK[verdict]]

    @property
    def applicable(self) -> int:
        """The systems it was judged for."""
        return sum(self.numbers) - self.numbers[RANK["not-applicable"]]

    @property
    def open(self) -> int:
        """Failed or not concluded."""
        return self.numbers[RANK["fail"]] + self.numbers[RANK["inconclusive"]]

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Each verdict with its number, in reading order."""
        return [(one, self.of(one)) for one in ("pass", "fail", "inconclusive", "waived", "not-applicable")]
