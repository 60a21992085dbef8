"""Runs the steps over a folder of feeds. Exit codes: 0 every check holds, 1 one does not, 2 wrong usage."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.feeds.check import Step
from tests.feeds.contents import check_contents, write_expected

STEPS: Final[Sequence[tuple[str, Step]]] = (("contents", check_contents),)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every step and tell how many checks hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.feeds", description="Real feeds against the hub.")
    parser.add_argument("folder", type=Path, help="where the feeds are")
    parser.add_argument(
        "--write-expected", action="store_true", help="make today's counts the expected ones, then check them"
    )
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        parser.error(f"there is no folder {given.folder}")
    if given.write_expected:
        write_expected(given.folder)
    return run(given.folder, STEPS)


def run(folder: Path, steps: Sequence[tuple[str, Step]]) -> int:
    """Run the steps, print what differs and the last line; returns the exit code."""
    passed = failed = 0
    for name, step in steps:
        begun = time.monotonic()
        for check in step(folder):
            passed, failed = passed + check.holds, failed + (not check.holds)
            if not check.holds:
                print(f"FAILED  {check.name}", *check.differences, sep="\n        ")
        print(f"{name}: {time.monotonic() - begun:.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
