"""What a verification found: one `Check` for each thing that must hold."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from xinghan.kit.db import Connection
from xinghan.kit.i18n import Language, text

FINDINGS_MAX: Final = 100
ORDER: Final = (
    *("guards", "postings", "balances", "trial_balance", "limits", "entries", "holds"),
    *("references", "blocks", "chain", "signatures", "kept_heads"),
)

# Told while the verification runs: the check, how much more of it is done, and how much there is.
Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its code, and where, what was expected and what is there."""

    what: str
    facts: Mapping[str, object]

    def message(self, language: Language) -> str:
        """Say it in one sentence."""
        shown = {name: str(value) for name, value in self.facts.items()}
        return text(f"finding_{self.what}", language, **shown)

    def to_json(self) -> dict[str, object]:
        """Give it as one JSON object."""
        return {"what": self.what, "message": self.message("en"), **self.facts}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `count` is the number of all findings; at most 100 are listed."""

    name: str
    count: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return self.count == 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was checked at one moment. `unsealed` postings wait for their block."""

    checks: tuple[Check, ...]
    postings: int
    accounts: int
    blocks: int
    unsealed: int
    head: Mapping[str, object] | None

    @property
    def ok(self) -> bool:
        """Whether all holds."""
        return all(check.ok for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """Give the check of this name."""
        return next(check for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, object]:
        """Give the report as one JSON object."""
        return {
            "ok": self.ok,
            "checks": [
                {
                    "name": check.name,
                    "ok": check.ok,
                    "count": check.count,
                    "findings": [finding.to_json() for finding in check.findings],
                }
                for check in self.checks
            ],
            "postings": self.postings,
            "accounts": self.accounts,
            "blocks": self.blocks,
            "unsealed": self.unsealed,
            "head": self.head,
        }


# A part of the verification that needs a connection for itself.
Task: TypeAlias = Callable[[Connection], Awaitable[list[Check]]]


def gather_checks(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Join the parts of each check, in the order of the checks' names as the report has them."""
    joined: dict[str, Check] = {}
    for check in checks:
        before = joined.get(check.name, Check(check.name, 0, ()))
        findings = (before.findings + check.findings)[:FINDINGS_MAX]
        joined[check.name] = Check(check.name, before.count + check.count, findings)
    return tuple(sorted(joined.values(), key=lambda check: ORDER.index(check.name)))


class Findings:
    """Gathers the findings of one check, counting those that are not listed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._listed: list[Finding] = []
        self._count = 0

    def add(self, what: str, **facts: object) -> None:
        """Note one finding."""
        self._count += 1
        if len(self._listed) < FINDINGS_MAX:
            self._listed.append(Finding(what, facts))

    def count_unlisted(self, number: int) -> None:
        """Note findings that are known only by their number."""
        self._count += number

    def check(self) -> Check:
        """Give the check with what was found."""
        return Check(self._name, self._count, tuple(self._listed))
