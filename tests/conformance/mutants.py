"""`python -m tests.conformance.mutants [RULE …]`: does the suite bite?

Each fault of `mutants.toml` is put into a copy of the last commit, and the cases of its rule are played against the hub of
that copy. It counts as found when an assertion of that very rule fails there. The copies borrow Postgres and Kafka from one hub.
"""

import asyncio
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from tests.conformance.adapter import Profile, own_hub
from tests.conformance.report import cases

_ROOT: Final = Path(__file__).parents[2]
_FILE: Final = Path(__file__).with_name("mutants.toml")
_MOST_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: what stands exactly once in a file, and what is put there instead."""

    rule: str
    fault: str
    file: str
    find: str
    replace: str

    def apply(self, tree: Path) -> None:
        """Put the fault into a copy of the hub.

        Raises:
            ValueError: what is to be replaced does not stand there exactly once.
        """
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.find) != 1:
            raise ValueError(f"{self.rule}: {self.find!r} stands {text.count(self.find)} times in {self.file}")
        path.write_text(text.replace(self.find, self.replace), encoding="utf-8")


def mutants() -> list[Mutant]:
    """All of the file."""
    return [Mutant(**entry) for entry in tomllib.loads(_FILE.read_text(encoding="utf-8"))["mutant"]]


def _committed() -> bytes:
    return subprocess.run(["git", "archive", "HEAD"], cwd=_ROOT, check=True, capture_output=True).stdout


def _verdict(mutant: Mutant, committed: bytes, folder: Path, stores: Path) -> str:
    with tarfile.open(fileobj=BytesIO(committed)) as archive:
        archive.extractall(folder, filter="data")
    mutant.apply(folder)
    table = folder / "table.json"
    chosen = [f"tests/conformance/{case}" for case in cases().get(mutant.rule, ())]
    if not chosen:
        return "no case"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    env = os.environ | {
        "PYTHONPATH": str(folder),
        "CONFORMANCE_TABLE": str(table),
        "CONFORMANCE_STORES": str(stores),
    }
    run = subprocess.run(words, cwd=folder, env=env, capture_output=True, timeout=_MOST_SECONDS, check=False)
    if not table.exists():
        return f"not played: {run.stdout.decode()[-400:]}"
    rows = {row["rule"]: row for row in json.loads(table.read_text())}
    return "killed" if rows[mutant.rule]["verdict"] == "FAILED" else "ALIVE"


async def main(chosen: list[str]) -> int:
    """Play all of them, or those of the rules given; 1 when one is not found."""
    committed, alive = _committed(), 0
    wanted = [mutant for mutant in mutants() if not chosen or mutant.rule in chosen]
    with tempfile.TemporaryDirectory(prefix="hub-mutants-") as name:
        place = Path(name)
        async with own_hub(Profile(), place):
            for number, mutant in enumerate(wanted):
                began = time.monotonic()
                folder = place / f"m{number}"
                verdict = await asyncio.to_thread(_verdict, mutant, committed, folder, place / "hub" / "hub.json")
                alive += verdict != "killed"
                print(f"{mutant.rule:6} {verdict:8} {time.monotonic() - began:6.1f} s  {mutant.fault}", flush=True)
    print(f"mutants: {len(wanted)} played, {len(wanted) - alive} killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
