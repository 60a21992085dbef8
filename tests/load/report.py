"""The rows of a bench, as a table for people and as JSON for programs."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

PARTS: Final = ("serve", "relay", "fanout", "ledger", "kafka", "postgres")
NOT_RUN: Final = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `cpu` is microseconds per message by process; `more` is what only this case has."""

    case: str
    who: str
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu: Mapping[str, float] = field(default_factory=dict)
    failures: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


def medians(rows: Sequence[Row]) -> list[Row]:
    """Equal runs of a case as one row: the median of each number, and the spread of the rates in `more`."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.who), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[Row]) -> Row:
    first = group[0]
    rates = [row.rate for row in group if row.rate is not None]
    more = dict(group[-1].more)
    if len(rates) > 1:
        more["rates"] = "/".join(f"{rate:.0f}" for rate in rates)
    return Row(
        first.case,
        first.who,
        _middle(rates),
        _middle(row.p50_ms for row in group),
        _middle(row.p99_ms for row in group),
        {name: statistics.median(row.cpu[name] for row in group) for name in first.cpu},
        sum(row.failures for row in group),
        more,
    )


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title=f"{platform.machine()}, Python {platform.python_version()}; CPU in µs per message")
    for name in ("case", "who", "per s", "p50 ms", "p99 ms", *PARTS, "also"):
        table.add_column(name, justify="left" if name in {"case", "who", "also"} else "right", overflow="fold")
    for row in rows:
        cpu = [f"{row.cpu[part]:.0f}" if part in row.cpu else "" for part in PARTS]
        also = [f"{name} {value}" for name, value in row.more.items()]
        also += [f"FAILURES {row.failures}"] if row.failures else []
        others = [f"{name} {value:.0f} µs" for name, value in row.cpu.items() if name not in PARTS]
        numbers = [_number(row.rate, 0), _number(row.p50_ms, 1), _number(row.p99_ms, 1)]
        table.add_row(row.case, row.who, *numbers, *cpu, "; ".join(others + also))
    Console(width=200).print(table)


def write(rows: Sequence[Row], raw: Sequence[Row], path: Path) -> None:
    """Write every number, the medians and the single runs."""
    path.write_text(json.dumps({"rows": [asdict(row) for row in rows], "runs": [asdict(row) for row in raw]}, indent=1))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
