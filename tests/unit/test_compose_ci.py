"""`.ci/run` calls what the project has, says what it could not run, and fails when any step failed."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.unit.compose_file import FILE, TOP

SCRIPT: Final = Path(".ci") / "run"


@dataclass(frozen=True, slots=True)
class Clone:
    """A folder with the script and the compose file, and programs that note how they are called."""

    top: Path
    programs: Path
    calls: Path

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the script from elsewhere."""
        return subprocess.run(
            [self.top / SCRIPT],
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "CI": "true", "CALLS": str(self.calls)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def fails(self, program: str, *words: str) -> None:
        """Let a program fail when it is called with these words."""
        self._write(program, f'[[ "$*" != "{" ".join(words)}" ]]')

    def _write(self, program: str, last: str) -> None:
        path = self.programs / program
        path.write_text(f'#!/usr/bin/env bash\necho "{program} $*" >> "$CALLS"\n{last}\n')
        path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path / "clone", tmp_path / "programs", tmp_path / "calls")
    (made.top / ".ci").mkdir(parents=True)
    made.programs.mkdir()
    shutil.copy(TOP / SCRIPT, made.top / SCRIPT)
    shutil.copy(FILE, made.top)
    for program in ("make", "docker-compose"):
        made.fails(program, "nothing")
    return made


def test_without_feeds_it_says_that_they_were_not_run(clone: Clone) -> None:
    ended = clone.run()

    assert ended.returncode == 0
    assert "NOT RUN: test-feeds (no feeds folder)" in ended.stdout
    assert re.findall(r"^PASSED: (.+) \(\d+ s\)$", ended.stdout, re.MULTILINE) == ["make test", "compose check"]


def test_feeds_beside_the_clone_are_run(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)

    assert clone.run().returncode == 0
    assert "make test-feeds FEEDS=../shared/data" in clone.calls.read_text().splitlines()


def test_a_step_that_failed_fails_the_whole_after_the_others_have_run(clone: Clone) -> None:
    clone.fails("make", "test")

    ended = clone.run()

    assert ended.returncode == 1
    assert "FAILED: make test" in ended.stdout
    assert "PASSED: compose check" in ended.stdout


def test_a_compose_file_that_is_not_right_fails(clone: Clone) -> None:
    clone.fails("docker-compose", "--file", "docker-compose.yml", "config", "--quiet")

    ended = clone.run()

    assert ended.returncode == 1
    assert "FAILED: compose check" in ended.stdout


def test_the_targets_that_it_calls_are_in_the_makefile() -> None:
    called = set(re.findall(r"\bmake ([\w-]+)", (TOP / SCRIPT).read_text()))
    targets = set(re.findall(r"^([\w-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))

    assert called == {"test", "test-feeds"}
    assert called <= targets


def test_it_names_no_host() -> None:
    assert "://" not in (TOP / SCRIPT).read_text()
