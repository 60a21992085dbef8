"""Assertions that name one rule each, and the ledger of what they found.

A rule is covered only by its own assertions: that a case passed says nothing about a rule that it did not name. An assertion that
fails does not end its case, so that each rule is judged by itself; the case fails when it ends.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

VERSION: Final = "2.2.1"
_FOLDER: Final = Path(__file__).parent
_LONGEST_SHOWN: Final = 600

RULES: Final[Mapping[str, dict[str, Any]]] = {
    entry["id"]: entry for entry in tomllib.loads((_FOLDER / "rules.toml").read_text(encoding="utf-8"))["rule"]
}
BINDING: Final = tuple(rule_id for rule_id, entry in RULES.items() if VERSION in entry["versions"])
"""The rules that bind the version which is played here, in the order of the file."""


@dataclass(slots=True)
class Finding:
    """How many assertions named one rule, and how the first that failed read."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)


FINDINGS: Final[dict[str, Finding]] = {}
"""What this run has found so far, by rule."""


_broken: Final[list[str]] = []


class RuleBrokenError(AssertionError):
    """The hub does not keep the rules of a case."""


def settle() -> None:
    """End a case.

    Raises:
        RuleBrokenError: one of its assertions failed; the message names the rules.
    """
    broken = list(_broken)
    _broken.clear()
    if broken:
        raise RuleBrokenError("\n".join(broken))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asserted."""

    rule_id: str

    def holds(self, condition: object, what: str) -> None:
        """Assert that something is so; `what` says what was expected, for whoever reads the failure."""
        finding = FINDINGS.setdefault(self.rule_id, Finding())
        if condition:
            finding.passed += 1
            return
        finding.failures.append(what)
        _broken.append(f"{self.rule_id} {RULES[self.rule_id]['test']}\nbut: {what}")

    def equal(self, actual: object, expected: object, what: str = "value") -> None:
        """Assert that two values are equal."""
        self.holds(actual == expected, f"{what} is {_short(actual)}, not {_short(expected)}")

    def differs(self, actual: object, other: object, what: str = "value") -> None:
        """Assert that two values are not equal."""
        self.holds(actual != other, f"{what} is {_short(actual)}, and must not be")

    def within(self, actual: object, allowed: Collection[Any], what: str = "value") -> None:
        """Assert that a value is one of several, or part of a text."""
        self.holds(actual in allowed, f"{what} {_short(actual)} is not in {_short(allowed)}")

    def absent(self, actual: object, place: Collection[Any], what: str = "value") -> None:
        """Assert that a value is not in a place."""
        self.holds(actual not in place, f"{what} {_short(actual)} is in {_short(place)}")


def rule(rule_id: str) -> Rule:
    """The rule of this id.

    Raises:
        KeyError: there is none.
    """
    if rule_id not in RULES:
        raise KeyError(rule_id)
    return Rule(rule_id)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
