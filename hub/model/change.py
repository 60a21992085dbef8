"""How a push changes units, behind the guard: pure rules over the units that were read, giving the units to write.

The guard per unit: a record that was applied before is not applied again but is sent again; a newer record with an older clock is
stale; everything else is applied. Of one record some parts may be stale and others fresh.

Rules OB-01, OB-04, OB-05, OB-06, OB-13, OB-14; decisions D-11, D-12, D-28.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from hub.model.unit import EVSES, LOCATIONS, Level, Place, Unit, UnitKey, evse_key, newest_clock
from hub.ocpi.patch import Members, Slices, merge, read_members, replace_in_list, write_list, write_members
from hub.ocpi.types import parse_datetime

_NEVER: Final = datetime.fromtimestamp(0, UTC)
_EVER: Final = datetime.max.replace(tzinfo=UTC)
_NO_EVSES: Final = msgspec.Raw(b"[]")
_LARGEST_CLOCK_DIFFERENCE: Final = 400
"""How many bytes a touch may add or take, in fractions and zones of all clocks: more is not looked into."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands: the log's epoch, its partition and offset, and when the broker appended it."""

    epoch: str
    offset: int
    appended_at: datetime
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What one push wants: the members of its body at one level. `target` is the unit, or for a Connector its EVSE.

    A Location's EVSEs stand in `evses`, None where the push says nothing about them; its own members keep an empty list in
    their place. `tail` and `query` are those of the target's URL, raw. `accepts_stale`: its sender's old clocks count (D-11).

    `known` stands in what the hub fetched: the last record applied to the object before its owner was asked. What came later is
    newer than what was fetched.
    """

    target: UnitKey
    level: Level
    method: str
    members: Members
    evses: Slices | None
    platform_id: str
    connector_id: str = ""
    tail: str = ""
    query: str = ""
    accepts_stale: bool = False
    known: Place | None = None

    @classmethod
    def of(
        cls,
        target: UnitKey,
        level: Level,
        method: str,
        body: bytes,
        platform_id: str,
        *,
        connector_id: str = "",
        tail: str = "",
        query: str = "",
        accepts_stale: bool = False,
        known: Place | None = None,
    ) -> "Change":
        """The change of a request.

        Raises:
            msgspec.DecodeError: the body is no JSON object, or its `evses` are no list.
        """
        members = {} if method == "DELETE" else read_members(body)
        evses = None
        if level is Level.ROOT and target.module == LOCATIONS:
            if EVSES in members:
                evses = msgspec.json.decode(members[EVSES], type=Slices | None) or []
                members = {**members, EVSES: _NO_EVSES}
            elif method == "PUT":
                evses = []
        return cls(target, level, method, members, evses, platform_id, connector_id, tail, query, accepts_stale, known)

    @property
    def is_whole(self) -> bool:
        """Whether it says all of its target by itself."""
        return self.method != "PATCH" and self.level is not Level.CONNECTOR

    @property
    def replaces_all(self) -> bool:
        """Whether nothing of its target and its parts outlives it: a receiver that has it needs no earlier one."""
        return self.level is Level.ROOT and (self.method != "PATCH" or self.evses is not None)


class Result(StrEnum):
    """What became of one part of a push."""

    APPLIED = "applied"
    TOUCHED = "touched"
    """Applied, and nothing but clocks differs from what was held (D-28)."""
    REPEATED = "repeated"
    """Equal bytes: nothing changed (D-28)."""
    INCOMPLETE = "incomplete"
    """A patch of something that the hub does not hold: forwarded as it is (D-12)."""
    REDELIVERED = "redelivered"
    """This very record was applied last."""
    SUPERSEDED = "superseded"
    """A later record was applied already: this one is read again after a restart."""
    STALE = "stale"
    """Older than what the hub holds by its own clock (D-11)."""


class Sending(StrEnum):
    """What receivers get of a push."""

    RAW = "raw"
    CURRENT = "current"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a push came to. `is_loose`: the hub holds no state of its target, so only the push itself can be sent."""

    sending: Sending
    results: tuple[Result, ...]
    is_loose: bool = False

    @property
    def is_touch(self) -> bool:
        """Whether nothing but clocks differs from what was held (D-28)."""
        return Result.TOUCHED in self.results and set(self.results) <= {Result.TOUCHED, Result.REPEATED}


class State:
    """The units that a batch of pushes touches: as read, then as changed."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self.changed: dict[UnitKey, None] = {}
        self.removed: dict[UnitKey, Position] = {}
        self._units: dict[UnitKey, Unit] = {}
        self._parts: dict[UnitKey, dict[UnitKey, None]] = {}
        for unit in units:
            self._add(unit)

    def get(self, key: UnitKey) -> Unit | None:
        """A unit as it is now."""
        return self._units.get(key)

    def put(self, unit: Unit) -> None:
        """Take a unit as it shall be."""
        self._add(unit)
        self.changed[unit.key] = None
        self.removed.pop(unit.key, None)

    def remove(self, key: UnitKey, position: Position) -> None:
        """An EVSE is no longer part of its Location."""
        del self._units[key]
        del self._parts[key.root][key]
        self.changed.pop(key, None)
        self.removed[key] = position

    def evses(self, root: UnitKey) -> list[Unit]:
        """The EVSEs of a Location that are here."""
        return [self._units[key] for key in self._parts.get(root, ())]

    def _add(self, unit: Unit) -> None:
        self._units[unit.key] = unit
        if unit.key.evse_uid:
            self._parts.setdefault(unit.key.root, {})[unit.key] = None


def apply(change: Change, position: Position, state: State) -> Applied:
    """Apply one push to the state; says what receivers get, and what became of each of its parts."""
    results = _apply_parts(change, position, state)
    target = state.get(change.target)
    is_loose = Result.INCOMPLETE in results or (target is not None and target.is_incomplete)
    return Applied(_sending(change, set(results), is_loose=is_loose), results, is_loose)


def _sending(change: Change, results: set[Result], *, is_loose: bool) -> Sending:
    """What receivers get: the original bytes where they are the newest state, else the current one, or nothing.

    A patch that is read again may stand for an earlier record whose place it took, so its bytes alone do not say all. What was
    fetched and left a later patch as it is is older than that: it is fetched again.
    """
    if results <= {Result.STALE, Result.REPEATED}:
        return Sending.NOTHING
    if is_loose:
        return Sending.RAW if change.known is None else Sending.NOTHING
    if results & {Result.STALE, Result.SUPERSEDED} or (Result.REDELIVERED in results and not change.is_whole):
        return Sending.CURRENT
    return Sending.RAW


def _apply_parts(change: Change, position: Position, state: State) -> tuple[Result, ...]:
    """The named unit, and of a Location the EVSEs that it brings; those that it does not name go."""
    before = state.get(change.target)
    first = _apply_part(change, position, state)
    if change.evses is None:
        return (first,)
    floor = _floor(first, before)
    results = [first]
    named = _by_key(change.target, change.evses)
    for key, members in named.items():
        part = replace(
            change,
            target=key,
            level=Level.EVSE,
            method="PUT",
            members=members,
            evses=None,
            tail=f"{change.tail}/{quote(_text(members, 'uid'), safe='')}",
            query="",
        )
        results.append(_apply_part(part, position, state, floor))
    if first not in {Result.STALE, Result.SUPERSEDED}:
        results += _replace_evses(change, named, position, state)
    return tuple(results)


def _by_key(root: UnitKey, pieces: Slices) -> dict[UnitKey, Members]:
    """The EVSEs of a Location's body; of several with one uid the first counts."""
    found: dict[UnitKey, Members] = {}
    for piece in pieces:
        members = read_members(piece)
        found.setdefault(evse_key(root, _text(members, "uid")), members)
    return found


def _floor(first: Result, before: Unit | None) -> datetime | None:
    """How old an EVSE that is not held may not be. A newer Location left it out: then or, when read again, already before."""
    if first is Result.STALE and before is not None:
        return before.clock
    return _EVER if first is Result.SUPERSEDED else None


def _replace_evses(change: Change, named: Collection[UnitKey], position: Position, state: State) -> list[Result]:
    """EVSEs that a Location no longer names go, unless a later record made them."""
    results = []
    root = change.target
    for unit in state.evses(root):
        if unit.key in named:
            continue
        if _is_later(unit, position) or _came_meanwhile(unit, change, position):
            results.append(Result.SUPERSEDED)
        else:
            state.remove(unit.key, position)
            results.append(Result.APPLIED)
    held = state.get(root)
    if held is not None and held.evses_offset < position.offset:
        state.put(replace(held, evses_offset=position.offset))
    return results


def _is_later(unit: Unit, position: Position) -> bool:
    return unit.epoch == position.epoch and unit.offset > position.offset


def _came_meanwhile(unit: Unit, change: Change, position: Position) -> bool:
    """Whether a unit was pushed after its owner had been asked for what the change holds."""
    known = change.known
    if known is None or unit.epoch != position.epoch:
        return False
    return unit.epoch != known.epoch or unit.offset > known.offset


def _apply_part(change: Change, position: Position, state: State, floor: datetime | None = None) -> Result:
    """Apply to one unit, behind the guard. `floor`: what is not held and older than this was left out by a newer push."""
    key = change.target
    held = state.get(key)
    seen = _seen_before(held, state.get(key.root), key, position)
    if seen is not None:
        return seen
    if change.method == "DELETE":
        state.put(_tombstone(change, held, position))
        return Result.REPEATED if held is not None and held.is_tombstone else Result.APPLIED
    own = parse_datetime(_text(change.members, "last_updated")) or position.appended_at
    clock = min(own, position.appended_at)
    if (
        held is not None
        and _came_meanwhile(held, change, position)
        and not (held.is_incomplete and clock >= held.clock)
    ):
        return Result.SUPERSEDED
    oldest = _oldest_allowed(change, held, floor)
    if oldest is not None and clock < oldest and not (change.accepts_stale and floor is None):
        return Result.STALE
    raw = _new_raw(change, held)
    if raw is None and held is not None and held.raw is not None:
        state.put(replace(held, epoch=position.epoch, offset=position.offset, evses_offset=-1))
        return Result.INCOMPLETE
    newest = newest_clock(raw) if raw is not None else None
    evses_offset = held.evses_offset if held is not None and held.epoch == position.epoch else -1
    state.put(
        Unit(
            key=key,
            raw=raw,
            last_updated=newest[1] if newest else own,
            clock=clock,
            epoch=position.epoch,
            offset=position.offset,
            platform_id=change.platform_id,
            is_incomplete=raw is None,
            evses_offset=evses_offset,
            partition=position.partition,
            tail=change.tail,
            query=change.query,
        )
    )
    if raw is None:
        return Result.INCOMPLETE
    return _compare(held.raw if held is not None else None, raw)


def _compare(held: bytes | None, raw: bytes) -> Result:
    """What a change came to: equal bytes are a repetition, equal but for clocks a touch."""
    if held is None:
        return Result.APPLIED
    if held == raw:
        return Result.REPEATED
    is_touch = len(held) == len(raw) or abs(len(held) - len(raw)) <= _LARGEST_CLOCK_DIFFERENCE
    return Result.TOUCHED if is_touch and _timeless(held) == _timeless(raw) else Result.APPLIED


def _timeless(raw: bytes) -> Any:
    """The content of a unit without its clocks; the bytes themselves where they hold what cannot be read."""
    try:
        content = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw
    for part in (content, *(content.get("connectors") or ())):
        if isinstance(part, dict):
            part.pop("last_updated", None)
    return content


def _seen_before(held: Unit | None, root: Unit | None, key: UnitKey, position: Position) -> Result | None:
    """Whether this record was applied before: the row says so, or a later Location that replaced all its EVSEs."""
    if held is not None and held.epoch == position.epoch and position.offset <= held.offset:
        return Result.REDELIVERED if position.offset == held.offset else Result.SUPERSEDED
    if key.evse_uid and root is not None and root.epoch == position.epoch and position.offset < root.evses_offset:
        return Result.SUPERSEDED
    return None


def _oldest_allowed(change: Change, held: Unit | None, floor: datetime | None) -> datetime | None:
    """The clock that a change must at least have. Patches alone do not make the whole object stale."""
    if held is None or (held.is_incomplete and change.is_whole):
        return floor
    return held.clock


def _tombstone(change: Change, held: Unit | None, position: Position) -> Unit:
    """A deleted object keeps its clock, so that the same version may be pushed again later."""
    clock = held.clock if held is not None else _NEVER
    return Unit(
        key=change.target,
        raw=None,
        last_updated=clock,
        clock=clock,
        epoch=position.epoch,
        offset=position.offset,
        platform_id=change.platform_id,
        partition=position.partition,
        tail=change.tail,
        query=change.query,
    )


def _new_raw(change: Change, held: Unit | None) -> bytes | None:
    """The unit's JSON after the change, or None where there is no base to change."""
    base = held.raw if held is not None else None
    if change.level is Level.CONNECTOR:
        return None if base is None else _with_connector(change, read_members(base))
    if change.method == "PUT":
        return write_members(change.members)
    return None if base is None else write_members(merge(read_members(base), change.members))


def _with_connector(change: Change, evse: Members) -> bytes | None:
    """The EVSE with one Connector put or patched, and its clock moved to the pushed value (OB-05)."""
    held: Slices = msgspec.json.decode(evse["connectors"], type=Slices | None) or [] if "connectors" in evse else []
    is_patch = change.method == "PATCH"
    connectors = replace_in_list(held, "id", change.connector_id, change.members, is_patch=is_patch)
    if connectors is None:
        return None
    moved = {"connectors": write_list(connectors)}
    if "last_updated" in change.members:
        moved["last_updated"] = change.members["last_updated"]
    return write_members(merge(evse, moved))


def _text(members: Members, name: str) -> str:
    value = msgspec.json.decode(members[name]) if name in members else ""
    return value if isinstance(value, str) else ""
