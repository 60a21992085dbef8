"""How the command line finds the admin API and talks to it, and which exit code each failure has.

The address and the token come from `HUB_ADMIN_URL` / `HUB_OPERATOR_TOKEN` (or `HUB_OPERATOR_TOKEN_FILE`), else from `hub.json`
in the data directory of `hub up`. Every failure is one line on stderr.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from enum import IntEnum
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NoReturn

import typer

PREFIX: Final = "/admin/v1"
FOUND_IN: Final = "hub.json"
TIMEOUT_SECONDS: Final = 60.0
"""Longer than the slowest use case that calls no partner: suspending waits for the leases of processes that do not answer."""
HANDSHAKE_SECONDS: Final = 150.0
"""The same where the hub calls a partner, which may be slow at each step, and tells of a token that is shown once."""


class Exit(IntEnum):
    """The exit codes of the `hub` command."""

    OK = 0
    FAILED = 1
    """Refused or failed; the message says why."""
    USAGE = 2
    UNREACHABLE = 3
    """No hub answers at the admin URL, or none is known."""
    NOT_FOUND = 4
    NOT_AUTHORISED = 5
    DEGRADED = 6
    """The hub answers, but its database or Kafka does not."""


EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 hub not reachable, 4 not found, "
    "5 operator token refused, 6 the hub lacks its database or Kafka."
)

_EXIT_BY_HTTP: Final[Mapping[int, Exit]] = {
    401: Exit.NOT_AUTHORISED,
    404: Exit.NOT_FOUND,
    422: Exit.USAGE,
    503: Exit.DEGRADED,
}


def fail(code: Exit, message: str) -> NoReturn:
    """End with one line on stderr."""
    typer.echo(f"hub: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def local_metrics(data_dir: Path) -> dict[str, str]:
    """The pages of metrics of the processes of `hub up`; empty where the environment names another hub."""
    path = data_dir / FOUND_IN
    if os.environ.get("HUB_ADMIN_URL") or not path.is_file():
        return {}
    return dict(_read_hub_file(data_dir, needs_url=False).get("metrics", {}))


class AdminClient:
    """Calls to one hub. A call that fails ends the command."""

    def __init__(self, url: str, token: str) -> None:
        self._base = url.removesuffix("/").removesuffix(PREFIX) + PREFIX
        self._token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def find(cls, data_dir: Path) -> "AdminClient":
        """The hub of the environment, else of the data directory."""
        url, token = os.environ.get("HUB_ADMIN_URL", ""), _token_from_environment()
        if url and not url.startswith(("http://", "https://")):
            fail(Exit.USAGE, f"HUB_ADMIN_URL={url!r} is not a URL such as http://127.0.0.1:8080")
        if url and token:
            return cls(url, token)
        known = _read_hub_file(data_dir, needs_url=not url)
        return cls(url or str(known["admin_url"]), token or _token_from_file(data_dir, known))

    def get(self, path: str, **query: str) -> Any:
        """The answer's JSON."""
        return self._or_fail("GET", _with_query(path, query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, patience: float | None = None) -> Any:
        """The answer's JSON; `patience` is how many seconds to wait for it where the usual ones are too few."""
        return self._or_fail("POST", path, json.dumps(body or {}).encode(), patience)

    def has(self, path: str, **query: str) -> bool:
        """Whether there is something to `get`; any other failure ends the command."""
        try:
            self._call("GET", _with_query(path, query))
        except _CallFailedError as error:
            if error.code is not Exit.NOT_FOUND:
                fail(error.code, str(error))
            return False
        return True

    def _or_fail(self, method: str, path: str, body: bytes | None = None, patience: float | None = None) -> Any:
        try:
            return self._call(method, path, body, patience)
        except _CallFailedError as error:
            fail(error.code, str(error))

    def _call(self, method: str, path: str, body: bytes | None = None, patience: float | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(self._base + path, body, headers, method=method)  # noqa: S310
            with self._opener.open(request, timeout=patience or TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise _CallFailedError(_EXIT_BY_HTTP.get(error.code, Exit.FAILED), _message(error)) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = f"no hub answers at {self._base}: {reason}; is it running? (`hub up`)"
            raise _CallFailedError(Exit.UNREACHABLE, message) from error
        except ValueError as error:
            raise _CallFailedError(Exit.FAILED, f"{self._base} is not a hub's admin API: {error}") from error


class _CallFailedError(Exception):
    """One call did not give its answer; `code` is what the command ends with."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def _message(error: urllib.error.HTTPError) -> str:
    try:
        message = json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError, OSError):
        return f"{error.url} answered HTTP {error.code} without a reason: is it a hub's admin API?"
    return str(message)


def _token_from_environment() -> str:
    token = os.environ.get("HUB_OPERATOR_TOKEN", "")
    path = os.environ.get("HUB_OPERATOR_TOKEN_FILE", "")
    return token or (_read_token(Path(path)) if path else "")


def _read_hub_file(data_dir: Path, *, needs_url: bool) -> Mapping[str, Any]:
    path = data_dir / FOUND_IN
    wanted = "the hub's address is not known" if needs_url else "no operator token is known"
    try:
        known = json.loads(path.read_text())
        known["admin_url"], known["operator_token_file"]
    except FileNotFoundError:
        fail(
            Exit.UNREACHABLE,
            f"{wanted}: {path} is not there; start a hub with `hub up`, name its --data-dir, or set HUB_ADMIN_URL and"
            " HUB_OPERATOR_TOKEN",
        )
    except OSError as error:
        fail(Exit.UNREACHABLE, f"{wanted}: {path} cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        fail(Exit.UNREACHABLE, f"{wanted}: {path} is damaged; `hub up` writes it anew")
    assert isinstance(known, dict)
    return known


def _token_from_file(data_dir: Path, known: Mapping[str, Any]) -> str:
    return _read_token(data_dir / str(known["operator_token_file"]))


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        fail(Exit.NOT_AUTHORISED, f"the operator token file {path} cannot be read: {error.strerror}")
