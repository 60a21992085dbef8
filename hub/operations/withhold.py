"""What of a dead letter's record an operator is shown: never a Token, nor another body in which a driver could stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hub.messaging.dead_letters import Header, Letter
from hub.messaging.topics import BULK_REQUESTS, REQUESTS, Topics
from hub.ocpi.parties import PartyId

LONGEST_BODY_BYTES: Final = 64 * 2**10
_TOKENS: Final = "tokens"
_OF_DRIVERS: Final = frozenset({_TOKENS, "sessions", "cdrs", "commands", "chargingprofiles"})
_SHOWN_OF_ID: Final = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as text. `body` is None where it was not asked for or is withheld, which `body_note` then says."""

    key: str | None
    headers: tuple[tuple[str, str], ...]
    body: str | None
    body_note: str


def shown_record(letter: Letter, topics: Topics, *, with_body: bool) -> Shown:
    """The key and headers of a letter's record, and its body if it may be shown; bytes that are no text are escaped."""
    is_token = _TOKENS in _modules(letter)
    key = None if letter.key is None else _text(letter.key)
    headers = tuple(
        (name, _shorten(_text(value)) if name == "tail" and is_token else _text(value))
        for name, value in letter.headers
    )
    body, note = _body(letter, topics) if with_body else (None, "")
    return Shown(_shorten_key(key) if key else key, headers, body, note)


def shown_error(letter: Letter) -> str:
    """Why nobody could understand it, without a Token's uid."""
    tail = _fields(letter.headers).get("tail", "")
    if _TOKENS in _modules(letter) and tail:
        return letter.error.replace(tail, _shorten(tail))
    return letter.error


def _body(letter: Letter, topics: Topics) -> tuple[str | None, str]:
    is_request = letter.source is not None and letter.source.topic in {
        topics.name(REQUESTS),
        topics.name(BULK_REQUESTS),
    }
    if is_request or _modules(letter) & _OF_DRIVERS:
        return None, "withheld: a driver may stand in it"
    text = _text(letter.value[:LONGEST_BODY_BYTES])
    return text, f"the first {LONGEST_BODY_BYTES} bytes" if letter.size > LONGEST_BODY_BYTES else ""


def _modules(letter: Letter) -> frozenset[str]:
    """The modules that a record's header and key name; a broken record may lack one of them, or both."""
    key = _text(letter.key or b"").partition(":")[0]
    return frozenset({_fields(letter.headers).get("module", ""), key})


def _fields(headers: tuple[Header, ...]) -> Mapping[str, str]:
    return {name: _text(value) for name, value in headers}


def _shorten_key(key: str) -> str:
    module, *parts = key.split(":")
    return ":".join((module, *_shortened(parts))) if module == _TOKENS else key


def _shorten(tail: str) -> str:
    return "/".join(_shortened(tail.split("/")))


def _shortened(parts: list[str]) -> list[str]:
    """The parts of a Token's name: its owner, then only the beginning of its uid."""
    known = 2 if len(parts) > 2 and PartyId.well_formed(*parts[:2]) else 0
    return parts[:known] + [f"{part[:_SHOWN_OF_ID]}…" if part else part for part in parts[known:]]


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")
