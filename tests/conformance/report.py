"""The table: rule, verdict, clause, time. What the cases name is read from their source, so it is known before they run."""

import ast
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.conformance.check import BINDING, FINDINGS, RULES

_FOLDER: Final = Path(__file__).parent
OPEN: Final = "open"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule in the table."""

    rule: str
    verdict: str
    clause: str
    assertions: int
    seconds: float
    note: str


@cache
def cases() -> Mapping[str, tuple[str, ...]]:
    """The cases that name each rule, as `file.py::test_name`."""
    found: dict[str, list[str]] = {}
    for path in sorted(_FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name.startswith("test_"):
                for rule_id in dict.fromkeys(_named(node)):
                    found.setdefault(rule_id, []).append(f"{path.name}::{node.name}")
    return {rule_id: tuple(names) for rule_id, names in found.items()}


def _named(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "rule":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


@cache
def deferrals() -> Mapping[str, tuple[str, str]]:
    """Reason and note of each rule that has no case, by rule."""
    document = tomllib.loads((_FOLDER / "deferrals.toml").read_text(encoding="utf-8"))
    return {rule_id: (reason, note) for reason, rules in document.items() for rule_id, note in rules.items()}


def rows(seconds: Mapping[str, float]) -> list[Row]:
    """The table of this run; `seconds` by case."""
    return [_row(rule_id, seconds) for rule_id in BINDING]


def _row(rule_id: str, seconds: Mapping[str, float]) -> Row:
    clause = RULES[rule_id]["clause"]
    finding = FINDINGS.get(rule_id)
    reason, note = deferrals().get(rule_id, ("", ""))
    took = sum(time for case, time in seconds.items() if case.rpartition("/")[2] in cases().get(rule_id, ()))
    if finding is not None:
        verdict = "FAILED" if finding.failures else "passed"
        return Row(rule_id, verdict, clause, finding.passed, round(took, 2), "; ".join(finding.failures[:1]))
    if rule_id in cases():
        return Row(rule_id, "not run", clause, 0, 0.0, "")
    verdict = "OPEN" if reason in {OPEN, ""} else "deferred"
    return Row(rule_id, verdict, clause, 0, 0.0, f"{reason}: {note}" if reason else "no case yet")


def publish(say: Callable[[str], None], seconds: Mapping[str, float], file: Path | None) -> None:
    """Say one line; with a file also the whole table, which is written there as JSON."""
    if not FINDINGS:
        return
    table = rows(seconds)
    if file is not None:
        for row in table:
            say(
                f"{row.rule:6} {row.verdict:8} {row.assertions:4} {row.seconds:7.2f} s  {row.clause[:60]:60} {row.note}"
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(row) for row in table], indent=1), encoding="utf-8")
    counts = Counter(row.verdict for row in table)
    reasons = Counter(row.note.partition(":")[0] for row in table if row.verdict == "deferred")
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    why = "".join(f"; {count} {reason}" for reason, count in reasons.most_common())
    say(f"conformance: {len(table)} rules of 2.2.1: {told}{why}")
