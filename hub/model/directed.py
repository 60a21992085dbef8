"""Sessions and CDRs as their one addressee confirmed them: what a push makes of what is held of one. Pure.

Pushes of one object may be confirmed in another order than they were sent in, and twice when a partner repeats one. So each has
its place by its own clock: an older one takes nothing away from a newer one, and a charging period that is there already is not
added again. What is larger than a real Session or CDR is not kept, so that nobody can make it costly to tell its periods apart.

Source: OCPI 2.2.1, mod_sessions § PATCH. Rules OB-04, OB-06; decision D-04.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from hub.ocpi.parties import PartyId
from hub.ocpi.patch import Members, Slices, merge, read_members, write_list, write_members
from hub.ocpi.types import parse_datetime

DIRECTED_MODULES: Final = frozenset({"sessions", "cdrs"})
LARGEST_BYTES: Final = 2**20
MOST_PERIODS: Final = 10_000
"""A week by the minute."""
_LAST_STATES: Final = ("COMPLETED", "INVALID")
_PERIODS: Final = "charging_periods"
_EXACT_FLOAT: Final = 2.0**53


class DirectedKey(NamedTuple):
    """An object and its addressee, both folded."""

    platform_id: str
    addressee: PartyId
    module: str
    owner: PartyId
    object_id: str


class _Clocked(msgspec.Struct):
    last_updated: Any = None


class _Stated(msgspec.Struct):
    status: Any = None


_clocked: Final = msgspec.json.Decoder(_Clocked)
_stated: Final = msgspec.json.Decoder(_Stated)


@dataclass(frozen=True, slots=True)
class Held:
    """An object as it is held. `whole_at`: the clock of the last push that said all of it, None while only patches are known."""

    raw: bytes
    last_updated: datetime
    whole_at: datetime | None


@dataclass(frozen=True, slots=True)
class DirectedPush:
    """One confirmed push. `body` is as it was sent; `received_at` stands for a clock that the body does not have."""

    key: DirectedKey
    is_patch: bool
    body: bytes
    received_at: datetime


def apply_push(push: DirectedPush, held: Held | None) -> Held | None:
    """What is held after a push; the same value where it changes nothing, None where that is more than is kept.

    Raises:
        msgspec.DecodeError: the body is no JSON object, or its charging periods are no list.
    """
    if len(push.body) > LARGEST_BYTES:
        return None
    after = _applied(push, held)
    return after if after is not None and len(after.raw) <= LARGEST_BYTES else None


def ends_session(body: bytes) -> bool:
    """Whether a push of a Session says that there will be no other.

    Source: OCPI 2.2.1, mod_sessions, SessionStatus.
    """
    try:
        return _stated.decode(body).status in _LAST_STATES
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _applied(push: DirectedPush, held: Held | None) -> Held | None:
    if push.is_patch:
        return _patched(read_members(push.body), _clock(push), held)
    whole = whole_of(push)
    if held is None:
        return whole
    if held.whole_at is None:
        return _patched(read_members(held.raw), held.last_updated, whole)
    return held if whole.last_updated < held.last_updated else whole


def whole_of(push: DirectedPush) -> Held:
    """What is held after a push that says all of its object, where nothing newer is.

    Raises:
        msgspec.DecodeError: the body is no JSON object.
    """
    clock = _clock(push)
    return Held(push.body, clock, clock)


def _patched(patch: Members, clock: datetime, held: Held | None) -> Held | None:
    """A patch from before the last whole object is part of that; one that newer patches overtook only adds its periods."""
    if held is None:
        return Held(write_members(patch), clock, None)
    if held.whole_at is not None and clock < held.whole_at:
        return held
    base = read_members(held.raw)
    changed = merge(base, patch) if clock >= held.last_updated else base
    if _PERIODS in patch:
        known, given = _periods(base), _periods(patch)
        if len(known) + len(given) > MOST_PERIODS:
            return None
        new = _unknown(given, known)
        changed = {**changed, _PERIODS: write_list([*known, *new]) if new or _PERIODS not in base else base[_PERIODS]}
    return Held(write_members(changed), max(clock, held.last_updated), held.whole_at)


def _unknown(given: Slices, known: Slices) -> Slices:
    """Those given that are not among the known ones, each once; how a value is written does not count."""
    seen = {_sorted.encode(_value.decode(period)) for period in known}
    new: Slices = []
    for period in given:
        content = _sorted.encode(_value.decode(period))
        if content not in seen:
            seen.add(content)
            new.append(period)
    return new


def _number(text: str) -> int | float:
    """So that 1.0 is written as 1 is."""
    value = float(text)
    return int(value) if abs(value) < _EXACT_FLOAT and value.is_integer() else value


_value: Final = msgspec.json.Decoder(float_hook=_number)
_sorted: Final = msgspec.json.Encoder(order="sorted")


def _periods(members: Members) -> Slices:
    return msgspec.json.decode(members[_PERIODS], type=Slices | None) or [] if _PERIODS in members else []


def _clock(push: DirectedPush) -> datetime:
    value = _clocked.decode(push.body).last_updated
    return (parse_datetime(value) if isinstance(value, str) else None) or push.received_at
