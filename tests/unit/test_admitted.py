"""Callers are remembered by the header that they showed: briefly, and within a bound that no caller can stretch."""

from datetime import UTC, datetime, timedelta

from hub.api.auth import Admitted, Caller
from hub.model.directory import InboundToken, TokenKind
from tests.unit.routing_objects import a_directory, a_platform


def _a_caller(expires_at: datetime | None = None) -> Caller:
    return Caller(a_platform("p1"), InboundToken("p1", TokenKind.ACCESS, expires_at), b"hash", "token")


def _remembers(shown: str, caller: Caller) -> bool:
    admitted, directory = Admitted(), a_directory()
    admitted.find(shown, directory)
    admitted.keep(shown, caller)
    return admitted.find(shown, directory) is caller


def test_a_caller_is_remembered_by_the_header_that_it_showed() -> None:
    assert _remembers("Token abc", _a_caller())
    assert _remembers(f"Token {'x' * 1366}", _a_caller()), "the longest token, in Base64"


def test_a_header_that_is_padded_is_not_remembered() -> None:
    """A token may stand behind any number of spaces: ten thousand such headers would fill the memory."""
    assert not _remembers(f"Token {' ' * 60_000}abc", _a_caller())


def test_a_token_that_ends_is_not_remembered() -> None:
    assert not _remembers("Token abc", _a_caller(datetime.now(UTC) + timedelta(minutes=10)))


def test_another_directory_forgets_whom_the_one_before_admitted() -> None:
    admitted, directory = Admitted(), a_directory()
    admitted.find("Token abc", directory)
    admitted.keep("Token abc", _a_caller())
    assert admitted.find("Token abc", a_directory()) is None
    assert admitted.find("Token abc", directory) is None
