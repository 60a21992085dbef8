"""Reads what a run cost: percentiles of times, CPU and memory of processes with everything they started."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _FIRST_TIME = 1, 11
"""Fields of /proc/<pid>/stat behind the program's name: the parent; own and waited-for user and system time (four fields)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Spread":
        """The spread of times given in seconds; nothing at all is 0."""
        ordered = sorted(seconds)
        return cls(percentile(ordered, 0.5) * 1000, percentile(ordered, 0.99) * 1000)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed; 0 where there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(round(len(ordered) * share, 6)) - 1)]


def parts_of(data_dir: Path) -> dict[str, int]:
    """The processes of a `hub up` by name, as its supervisor noted them."""
    return {path.stem: int(json.loads(path.read_text())["pid"]) for path in sorted((data_dir / "run").glob("*.pid"))}


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU that each process and its descendants, ended ones too, have used so far."""
    stats = _stats()
    families = {name: _family(pid, stats) for name, pid in roots.items()}
    return {
        name: sum(int(field) for pid in family for field in stats[pid][_FIRST_TIME : _FIRST_TIME + 4]) / _TICKS
        for name, family in families.items()
    }


def peak_megabytes(roots: Mapping[str, int]) -> dict[str, float]:
    """The largest resident size of each process; of one with children the sum of theirs, shared pages counted each time."""
    stats = _stats()
    return {name: sum(_peak(pid) for pid in _family(root, stats)) for name, root in roots.items()}


def _family(root: int, stats: Mapping[int, Sequence[str]]) -> list[int]:
    """A process and its descendants that live."""
    found = [root] if root in stats else []
    for parent in found:
        found += [pid for pid, fields in stats.items() if int(fields[_PARENT]) == parent]
    return found


def _stats() -> dict[int, list[str]]:
    stats = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                stats[int(path.name)] = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
    return stats


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
