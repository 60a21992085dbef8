"""The data directory: private, ours, and laid out in one place.

<data-dir>/            mode 0700
  lock                 held by the `hub up` that runs here
  operator-token       secrets.key       hub.json           mode 0600
  postgres/  kafka/    what the embedded parts keep
  log/                 what every part says, bounded
  run/                 sockets, process records and ready files: of the present run only
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.dev.failures import DirectoryInUse, DirectoryUnusable, DiskFull, StartFailure

NEEDED_BYTES = 512 * 2**20
_MARK = "lock"


def claim(data_dir: Path) -> Path:
    """Make the directory, or check that it is one of ours; only its owner may look into it. Returns its absolute path.

    Raises:
        DirectoryUnusable: it cannot be made or written, or holds something else.
        DiskFull: not even that fits.
    """
    path = data_dir.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = path.resolve()
        if any(path.iterdir()) and not (path / _MARK).exists():
            raise DirectoryUnusable(f"{path} is not empty and no data directory of the hub: choose another --data-dir")
        (path / _MARK).touch(mode=0o600)
        path.chmod(0o700)
        for name in ("log", "run"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=path / "run"):
            pass
    except OSError as error:
        raise unwritable(error, path) from error
    return path


def unwritable(error: OSError, path: Path) -> StartFailure:
    """What to tell the operator when the system refuses a write below `path`."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"the disk that holds {path} is full: free some space, or choose another --data-dir")
    return DirectoryUnusable(f"{path} cannot be used ({error.strerror or error}): choose another --data-dir")


def check_space(path: Path, needed: int = NEEDED_BYTES) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        DiskFull: less than `needed` bytes are free.
    """
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise DiskFull(
            f"the disk that holds {path} has {free // 2**20} MB left, {needed // 2**20} MB are needed:"
            " free some space, or choose another --data-dir"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory for this process; the lock ends with the process, however that ends.

    Raises:
        DirectoryInUse: another process holds it.
    """
    with (path / _MARK).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read().strip() or "unknown"
            raise DirectoryInUse(
                f"{path} is in use by another hub (process {holder}): stop that one, or choose another --data-dir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    partial = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def keep_private(path: Path, text: str) -> None:
    """Write the file unless an earlier run did."""
    if not path.exists():
        write_private(path, text)
