"""`python -m tests.load.bench [--quick] [--json FILE]`: the small bench, in about eight minutes or with `--quick` in two.

Two hubs one after the other, each a whole `hub up` in a folder of its own that is gone afterwards: one without receivers of
broadcasts, one with up to twenty. What is compared runs in turns (hub, Node proxy, hub, …) and equal runs are told as medians.
"""

import argparse
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.load import cases_direct, cases_spread
from tests.load.report import Row, medians, show, write
from tests.load.rig import Spec, a_hub, platforms
from tests.load.stage import Lengths, Stage

Case = Callable[[Stage], AsyncIterator[Row]]

_DIRECT: Final[Sequence[Case]] = (
    cases_direct.point_to_point,
    cases_direct.idle,
    cases_direct.upserts,
    cases_direct.durable_push,
    cases_direct.get_all,
)
_SPREAD: Final[Sequence[Case]] = (cases_spread.spread,)


async def run(lengths: Lengths) -> list[Row]:
    """Every row of every run, in order."""
    rows: list[Row] = []
    for specs, cases, registers in ((cases_direct.SPECS, _DIRECT, True), (cases_spread.SPECS, _SPREAD, False)):
        with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
            rows += await _act(Path(folder), specs, cases, lengths, registers=registers)
    return rows


async def _act(
    folder: Path, specs: Sequence[Spec], cases: Sequence[Case], lengths: Lengths, *, registers: bool
) -> list[Row]:
    rows: list[Row] = []
    async with a_hub(folder) as hub, platforms(specs, folder) as (_, made):
        stage = Stage(hub, made, lengths, folder)
        for platform in made.values() if registers else ():
            await hub.register(platform)
        for case in cases:
            async for row in case(stage):
                rows.append(row)
                numbers = f"{row.rate or 0:,.0f} per s, p50 {row.p50_ms or 0:.1f} ms, p99 {row.p99_ms or 0:.1f} ms"
                print(f"{row.case} · {row.who}: {numbers} {dict(row.more) or ''}", flush=True)
        for fault in hub.faults()[:5]:
            print(f"the hub logged: {fault}")
    return rows


def main() -> None:
    """Run the bench, print the table and write the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of eight")
    parser.add_argument("--json", type=Path, default=Path(".bench.json"), help="where the numbers are written")
    given = parser.parse_args()
    began = time.monotonic()
    raw = uvloop.run(run(Lengths.quick() if given.quick else Lengths()))
    rows = medians(raw)
    show(rows)
    write(rows, raw, given.json)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{time.monotonic() - began:.0f} s on {cores} cores, everything on this machine; {given.json}")


if __name__ == "__main__":
    main()
