"""The jars of Apache Kafka: locked by coordinate and SHA-256, fetched once into a cache of this user.

A jar enters the cache whole and verified or not at all, so a fetch that was interrupted goes on where it stopped, and
several processes may fetch at once. Repositories named in the user's jgo configuration are used, else Maven's central
one. The fetching is a process of its own (`python -m infra.dev.jars CACHE`), because a download that hangs must not keep
anybody from stopping.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from infra.dev.failures import DiskFull, JarsOutOfReach, StartFailure
from infra.dev.processes import Command, kill_group, size, spawn, tail
from infra.dev.supervisor import Say

_AT_ONCE = 6
_TIMEOUT_SECONDS = 20
_PROGRESS_SECONDS = 0.5
_STALE_SECONDS = 3600
_STAGING = ".fetch-"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def is_at(self, path: Path) -> bool:
        """Whether the file is there and is the one that was locked."""
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def locked_jars() -> tuple[Jar, ...]:
    """Everything in `kafka-jars.lock`."""
    lines = files("infra.dev").joinpath("kafka-jars.lock").read_text().splitlines()
    return tuple(_parse(line) for line in lines if line and not line.startswith("#"))


def _parse(line: str) -> Jar:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def kafka_version() -> str:
    """The version of Kafka that is locked."""
    return next(jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13")


def cache_dir() -> Path:
    """Where this user's jars are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ocpi-hub" / f"kafka-{kafka_version()}"


async def class_path(cache: Path, log: Path, say: Say) -> list[Path]:
    """Every jar, in the cache and as the lock says; what is missing is fetched, with progress through `say`.

    Raises:
        JarsOutOfReach: one cannot be fetched, or is another file than was locked.
        DiskFull: the cache has no space left.
    """
    jars = locked_jars()
    if _missing(jars, cache):
        await _fetch_in_process(jars, cache, log, say)
    return [cache / jar.file_name for jar in jars]


async def _fetch_in_process(jars: tuple[Jar, ...], cache: Path, log: Path, say: Say) -> None:
    say(f"fetching Kafka {kafka_version()} into {cache}, once")
    begins = size(log)
    process = await spawn(Command((sys.executable, "-m", __name__, str(cache)), log, os.environ))
    shown = -1
    try:
        while process.returncode is None:
            present = sum((cache / jar.file_name).exists() for jar in jars)
            if present != shown:
                say(f"fetching Kafka: {present}/{len(jars)} jars")
                shown = present
            await asyncio.sleep(_PROGRESS_SECONDS)
    finally:
        kill_group(process.pid)
        code = await process.wait()
    if code != 0:
        message = (tail(log, begins) or [f"the jars of Kafka could not be fetched (see {log})"])[-1]
        raise DiskFull(message) if code == DiskFull.exit_code else JarsOutOfReach(message)
    say(f"fetching Kafka: {len(jars)}/{len(jars)} jars")


def fetch(cache: Path) -> None:
    """Bring every missing jar into the cache, several at once.

    Raises:
        JarsOutOfReach: one cannot be fetched, or is another file than was locked.
        DiskFull: the cache has no space left.
    """
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(cache)
        with (
            tempfile.TemporaryDirectory(dir=cache, prefix=_STAGING) as staging,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            running = [pool.submit(_fetch_one, jar, cache, Path(staging)) for jar in _missing(locked_jars(), cache)]
            try:
                for each in running:
                    each.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"the disk that holds {cache} is full: free some space, or set XDG_CACHE_HOME") from error
        raise JarsOutOfReach(f"{cache} cannot be used ({error.strerror}): set XDG_CACHE_HOME") from error


def _missing(jars: tuple[Jar, ...], cache: Path) -> list[Jar]:
    return [jar for jar in jars if not jar.is_at(cache / jar.file_name)]


def _fetch_one(jar: Jar, cache: Path, staging: Path) -> None:
    fetched = _download(jar, staging)
    if not jar.is_at(fetched):
        raise JarsOutOfReach(f"{jar.file_name} is not the file that was locked: set HUB_KAFKA_BOOTSTRAP to use a Kafka")
    fetched.replace(cache / jar.file_name)


def _download(jar: Jar, staging: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext
    from requests import RequestException

    repositories = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=staging, remote_repos=repositories, timeout=_TIMEOUT_SECONDS)
    try:
        path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (RequestException, RuntimeError) as error:
        raise JarsOutOfReach(
            f"{jar.file_name} of Kafka cannot be fetched: check the network and start again,"
            " or set HUB_KAFKA_BOOTSTRAP to use a Kafka"
        ) from error
    return path


def _remove_stale(cache: Path) -> None:
    """A killed fetch leaves its staging directory behind."""
    for left in cache.glob(f"{_STAGING}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left)


def main() -> None:
    """Fetch into the directory named by the first argument; the last line of output says what went wrong."""
    try:
        fetch(Path(sys.argv[1]))
    except StartFailure as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
