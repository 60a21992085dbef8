"""Becomes another program that dies with its parent, and that does not run as root.

Run as a script (`launch.py PARENT SIGNAL UID:GID|- PROGRAM ARGUMENT…`) between the supervisor and a part, because both
things can only be done by the process itself after the fork. It imports the standard library only, so that it costs some
milliseconds.

On Linux the kernel sends SIGNAL when the thread that started us ends, however it ends. Elsewhere the next start finds
what was left.

Postgres refuses to run as root. Run by root we become an ordinary account, but keep the one capability that lets a
process pass directories that are not its own (CAP_DAC_OVERRIDE): the data directory and the programs may lie below a home
with mode 0700, and no permission outside the data directory is ever changed. The bit NO_SETUID_FIXUP makes `access()`
respect the capability too.
"""

import ctypes
import os
import sys

_SET_PARENT_DEATH_SIGNAL = 1
_SET_SECUREBITS = 28
_AMBIENT = 47
_AMBIENT_RAISE = 2
_NO_SETUID_FIXUP = 1 << 2
_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522
_CANNOT_LAUNCH = 126


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def main(parent: int, signal_number: int, account: str, argv: list[str]) -> None:
    """Never returns: becomes `argv`, or exits when the parent has gone already or the account cannot be taken."""
    try:
        if account != "-":
            uid, gid = account.split(":")
            _become(int(uid), int(gid))
        if sys.platform == "linux":
            _call("prctl", _SET_PARENT_DEATH_SIGNAL, signal_number, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(_CANNOT_LAUNCH)
        os.execv(argv[0], argv)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error}")


def _become(uid: int, gid: int) -> None:
    _call("prctl", _SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    sets = (_Sets * 2)()
    sets[0] = _Sets(1 << _DAC_OVERRIDE, 1 << _DAC_OVERRIDE, 1 << _DAC_OVERRIDE)
    _call("capset", ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), sets)
    _call("prctl", _AMBIENT, _AMBIENT_RAISE, _DAC_OVERRIDE, 0, 0)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
