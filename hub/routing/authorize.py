"""Who is asked whether a token may charge, what several answers come to, and when the hub may speak for an owner: pure.

A token that the hub knows is judged by its owner, except that whitelist ALWAYS is the owner's word already given. A token that
nobody has told the hub of is known to one eMSP at most, so all are asked side by side. Whoever is named in OCPI-to-* is asked
itself, whatever the hub holds.

Rules AM-17, OR-09, ST-11, ST-12; decisions D-05, D-06. Source: OCPI 2.2.1, mod_tokens § POST Method, § WhitelistType enum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from hub.model.directory import Directory, PlatformStatus
from hub.model.envelope import Envelope
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import RECEIVER_NOT_CONNECTED, RECEIVER_SILENT, TOKEN_NOT_FOUND, Refusal
from hub.routing.decide import reachable
from hub.routing.plan import Plan

MOST_ASKED: Final = 20
"""How many eMSPs are asked about one unknown token."""
ALWAYS: Final = frozenset({"ALWAYS"})
"""Whitelists with which the owner need not be asked."""
OFFLINE: Final = frozenset({"ALWAYS", "ALLOWED", "ALLOWED_OFFLINE"})
"""Whitelists with which a token may charge while its owner cannot be asked."""
_ALLOWED: Final = "ALLOWED"
_BOM: Final = b"\xef\xbb\xbf"
_ABOUT_LOCATION: Final = frozenset({2002, 2003})
_AWAY: Final = frozenset({RECEIVER_SILENT.ocpi, RECEIVER_NOT_CONNECTED.ocpi})
T = TypeVar("T")


class Owned(msgspec.Struct, frozen=True):
    """A token whose owner is known: the call to it, or why there is none, and the Token itself where the hub holds it."""

    owner: PartyId
    made: Plan | Refusal
    token: bytes | None


class Poll(msgspec.Struct, frozen=True):
    """A token of which it is not known whose it is: the calls to all that may know it."""

    plans: tuple[Plan, ...]


class Heard(IntEnum):
    """What an answer says about a token; of several the highest counts."""

    REFUSED = 0
    """The request is none that this eMSP takes."""
    UNKNOWN = 1
    SILENT = 2
    """No answer, or none that says anything about the token: it may well be known there."""
    ASKS_MORE = 3
    """A location is missing, or not known there."""
    KNOWN = 4
    """Known, and it may not charge."""
    ALLOWED = 5


@dataclass(frozen=True, slots=True)
class Tally(Generic[T]):
    """What has been heard so far of those that were asked; of equal answers the first one stays."""

    unheard: int
    best: Heard | None = None
    answer: T | None = None

    def hear(self, said: Heard, answer: T) -> "Tally[T]":
        """With one more answer."""
        if self.best is None or said > self.best:
            return Tally(self.unheard - 1, said, answer)
        return Tally(self.unheard - 1, self.best, self.answer)

    @property
    def is_settled(self) -> bool:
        """Whether nothing that is still to come could change the result."""
        return self.unheard == 0 or self.best is Heard.ALLOWED

    def result(self) -> T | Refusal:
        """What the requester gets if nobody else answers: an answer that knows the token, or the hub's own."""
        best = self.best if self.best is not None else Heard.SILENT
        if self.unheard:
            best = max(best, Heard.SILENT)
        if best is Heard.SILENT:
            return Refusal(
                RECEIVER_SILENT, "Not every eMSP that may know this token has answered, and none that did knows it"
            )
        if best is Heard.UNKNOWN:
            return Refusal(TOKEN_NOT_FOUND, "No eMSP knows this token")
        assert self.answer is not None
        return self.answer


def heard(http_status: int, content: bytes) -> Heard:
    """What an answer to an authorization says, whether an eMSP gave it or the hub in its place."""
    answer = _read(content)
    code = _code(answer)
    if code is None or http_status >= 500 or http_status == 429 or code >= 3000:
        return Heard.SILENT
    if code >= 2000:
        return _refusal(http_status, code)
    data = answer.get("data")
    allowed = data.get("allowed") if isinstance(data, dict) else None
    if http_status >= 300 or not isinstance(allowed, str):
        return Heard.SILENT
    return Heard.ALLOWED if allowed == _ALLOWED else Heard.KNOWN


def _refusal(http_status: int, code: int) -> Heard:
    if code in _ABOUT_LOCATION:
        return Heard.ASKS_MORE
    return Heard.UNKNOWN if code == TOKEN_NOT_FOUND.ocpi or http_status == 404 else Heard.REFUSED


def says_away(content: bytes) -> bool:
    """Whether an answer that the hub made says that the receiver is away or silent."""
    return _code(_read(content)) in _AWAY


def _read(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _code(answer: dict[str, Any]) -> int | None:
    """The status code; one in quotes counts."""
    code = answer.get("status_code")
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) and code >= 1000 else None


def eligible(directory: Directory, from_party: PartyId, from_platform: str) -> tuple[PartyId, ...]:
    """The eMSPs that a party may ask, whether they are there or not."""
    found = []
    for party in directory.by_party:
        seen = reachable(directory, from_party, from_platform, party)
        found += [entry.party for entry in seen if entry.role is Role.EMSP][:1]
    return tuple(found)


def poll(envelope: Envelope, made: Sequence[Plan | Refusal], nobody: Refusal, turn: int) -> Poll | Refusal:
    """The calls to those of the eMSPs that can be asked now, at most `MOST_ASKED`: which ones is a matter of `turn`.

    The requester's own platform is not asked, it knows its own tokens. Where nobody can be asked, an eMSP that is away is the
    reason, or `nobody` where there is none.
    """
    plans = [
        entry for entry in made if isinstance(entry, Plan) and entry.destination.platform_id != envelope.platform_id
    ]
    if not plans:
        away = [entry for entry in made if isinstance(entry, Refusal) and entry.status is RECEIVER_NOT_CONNECTED]
        return Refusal(RECEIVER_NOT_CONNECTED, "No eMSP that may know this token is connected") if away else nobody
    first = turn % len(plans) if len(plans) > MOST_ASKED else 0
    return Poll(tuple([*plans[first:], *plans[:first]][:MOST_ASKED]))


class _Token(msgspec.Struct):
    valid: Any = None
    whitelist: Any = None


_tokens: Final = msgspec.json.Decoder(_Token)


def permits(token: bytes | None, whitelists: frozenset[str]) -> bool:
    """Whether a Token as its owner pushed it is valid and on one of these whitelists."""
    if token is None:
        return False
    found = _tokens.decode(token)
    return found.valid is True and isinstance(found.whitelist, str) and found.whitelist in whitelists


def may_speak_for(directory: Directory, envelope: Envelope, owner: PartyId) -> bool:
    """Whether the hub may answer in place of an owner: the requester may reach it, and it is registered and not suspended."""
    seen = reachable(directory, envelope.from_party, envelope.platform_id, owner)
    statuses = {directory.platforms[entry.platform_id].status for entry in seen if entry.role is Role.EMSP}
    return PlatformStatus.CONNECTED in statuses


def allowed_info(token: bytes, references: bytes) -> dict[str, Any]:
    """The AuthorizationInfo of a token that the hub lets charge: the whole Token, and the LocationReferences that were asked."""
    info: dict[str, Any] = {"allowed": _ALLOWED, "token": msgspec.Raw(token)}
    if "location_id" in _read(references):
        info["location"] = msgspec.Raw(references)
    return info
