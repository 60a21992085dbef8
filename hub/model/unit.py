"""Units: what changes on its own, and how a push changes it.

A unit is a Location without its EVSEs, an EVSE with its Connectors, a Tariff or a Token. Its JSON is kept as the slices that were
pushed, so numbers, unknown members and their order survive byte for byte. The rules here are pure: they work on the units that
were read and give the units to write.

Rules OB-01, OB-04, OB-05, OB-06, OB-13, OB-14, RT-15; decisions D-11, D-12, D-28.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from hub.ocpi.parties import PartyId
from hub.ocpi.patch import Members, Slices, merge, read_members, replace_in_list, write_list, write_members
from hub.ocpi.types import parse_datetime

EMPTY_UID: Final = " "
"""The evse_uid of an EVSE whose uid is empty: '' is the Location itself."""


class UnitKey(NamedTuple):
    """The folded key of a unit; `evse_uid` is '' for a root object."""

    module: str
    country_code: str
    party_id: str
    object_id: str
    evse_uid: str = ""

    @property
    def root(self) -> "UnitKey":
        """The key of the object that this unit is a part of."""
        return self._replace(evse_uid="")

    @property
    def owner(self) -> PartyId:
        """The party that owns the object."""
        return PartyId(self.country_code, self.party_id)


def root_key(module: str, owner: PartyId, object_id: str) -> UnitKey:
    """The key of a root object; a Token's `object_id` is `uid:type`."""
    folded = owner.folded
    return UnitKey(module, folded.country_code, folded.party_id, object_id.upper())


def evse_key(root: UnitKey, uid: str) -> UnitKey:
    """The key of an EVSE of a Location."""
    return root._replace(evse_uid=uid.upper() or EMPTY_UID)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands: the log's epoch, its offset, and when the broker appended it."""

    epoch: str
    offset: int
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as stored. `raw` is None for a tombstone and for a unit of which only patches are known (`is_incomplete`)."""

    key: UnitKey
    raw: bytes | None
    last_updated: datetime
    clock: datetime
    epoch: str
    offset: int
    platform_id: str
    is_incomplete: bool = False
    evses_offset: int = -1

    @property
    def is_tombstone(self) -> bool:
        """Whether the object was deleted."""
        return self.raw is None and not self.is_incomplete


class Level(StrEnum):
    """At which depth a push changes its object."""

    ROOT = "root"
    EVSE = "evse"
    CONNECTOR = "connector"


@dataclass(frozen=True, slots=True)
class Change:
    """What one push wants: the members of its body at one level. `target` is the unit, or for a Connector its EVSE."""

    target: UnitKey
    level: Level
    method: str
    members: Members
    platform_id: str
    connector_id: str = ""

    @property
    def evses(self) -> Slices | None:
        """The EVSEs that the body of a Location brings; None where it says nothing about them."""
        if self.level is not Level.ROOT or self.target.module != "locations":
            return None
        if "evses" not in self.members:
            return [] if self.method == "PUT" else None
        return msgspec.json.decode(self.members["evses"], type=Slices | None) or []


class Result(StrEnum):
    """What became of one part of a push."""

    APPLIED = "applied"
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


class State:
    """The units that a batch of pushes touches: as read, then as changed."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units: dict[UnitKey, Unit] = {unit.key: unit for unit in units}
        self.changed: dict[UnitKey, None] = {}
        self.removed: dict[UnitKey, Position] = {}

    def put(self, unit: Unit) -> None:
        """Take a unit as it shall be."""
        self.units[unit.key] = unit
        self.changed[unit.key] = None
        self.removed.pop(unit.key, None)

    def remove(self, key: UnitKey, position: Position) -> None:
        """An EVSE is no longer part of its Location."""
        del self.units[key]
        self.changed.pop(key, None)
        self.removed[key] = position

    def evse_keys(self, root: UnitKey) -> list[UnitKey]:
        """The EVSEs of a Location that are here."""
        return [key for key in self.units if key.evse_uid and key.root == root]


def apply(change: Change, position: Position, state: State) -> tuple[Sending, tuple[Result, ...]]:
    """Apply one push to the state; says what receivers get, and what became of each of its parts."""
    if change.level is Level.ROOT:
        results = _apply_root(change, position, state)
    else:
        results = (_apply_part(change, change.target, change.members, position, state),)
    return sending(results), results


def sending(results: tuple[Result, ...]) -> Sending:
    """What receivers get: the original bytes where they are the newest state, else the current one, or nothing."""
    kinds = set(results)
    if kinds <= {Result.STALE, Result.REPEATED}:
        return Sending.NOTHING
    if Result.STALE in kinds or Result.SUPERSEDED in kinds:
        return Sending.CURRENT
    return Sending.RAW


def _apply_root(change: Change, position: Position, state: State) -> tuple[Result, ...]:
    own = {name: value for name, value in change.members.items() if name != "evses"}
    evses = change.evses
    if evses is None:
        return (
            _apply_part(
                change, change.target, own if change.target.module == "locations" else change.members, position, state
            ),
        )
    first = _apply_part(change, change.target, own, position, state)
    results = [first]
    named: set[UnitKey] = set()
    for piece in evses:
        members = read_members(piece)
        key = evse_key(change.target, _text(members, "uid"))
        named.add(key)
        results.append(_apply_part(replace(change, method="PUT"), key, members, position, state))
    if first in {Result.APPLIED, Result.REPEATED, Result.REDELIVERED, Result.INCOMPLETE}:
        _replace_evses(change.target, named, position, state)
    return tuple(results)


def _replace_evses(root: UnitKey, named: set[UnitKey], position: Position, state: State) -> None:
    """EVSEs that a Location no longer names go, unless a later record made them."""
    for key in state.evse_keys(root):
        if key not in named and not _is_later(state.units[key], position):
            state.remove(key, position)
    unit = state.units[root]
    if unit.evses_offset < position.offset or unit.epoch != position.epoch:
        state.put(replace(unit, evses_offset=position.offset))


def _is_later(unit: Unit, position: Position) -> bool:
    return unit.epoch == position.epoch and unit.offset > position.offset


def _apply_part(change: Change, key: UnitKey, members: Members, position: Position, state: State) -> Result:
    """Apply to one unit, behind the guard."""
    held = state.units.get(key)
    seen = _seen_before(held, state.units.get(key.root), key, position)
    if seen is not None:
        return seen
    if change.method == "DELETE":
        state.put(_tombstone(change, key, held, position))
        return Result.APPLIED
    pushed = _clock(members, position)
    clock = min(pushed, position.appended_at)
    if held is not None and clock < held.clock:
        return Result.STALE
    raw = _new_raw(change, members, held)
    base = Unit(key, raw, pushed, clock, position.epoch, position.offset, change.platform_id)
    evses_offset = held.evses_offset if held is not None and held.epoch == position.epoch else -1
    state.put(replace(base, is_incomplete=raw is None, evses_offset=evses_offset))
    if raw is None:
        return Result.INCOMPLETE
    return Result.REPEATED if held is not None and held.raw == raw else Result.APPLIED


def _seen_before(held: Unit | None, root: Unit | None, key: UnitKey, position: Position) -> Result | None:
    """Whether this record was applied before: the row says so, or a later Location that replaced all its EVSEs."""
    if held is not None and held.epoch == position.epoch and position.offset <= held.offset:
        return Result.REDELIVERED if position.offset == held.offset else Result.SUPERSEDED
    if key.evse_uid and root is not None and root.epoch == position.epoch and position.offset < root.evses_offset:
        return Result.SUPERSEDED
    return None


def _tombstone(change: Change, key: UnitKey, held: Unit | None, position: Position) -> Unit:
    """A deleted object keeps its clock, so that the same version may be pushed again later."""
    clock = held.clock if held is not None else datetime.fromtimestamp(0, position.appended_at.tzinfo)
    return Unit(key, None, clock, clock, position.epoch, position.offset, change.platform_id)


def _new_raw(change: Change, members: Members, held: Unit | None) -> bytes | None:
    """The unit's JSON after the change, or None where there is no base to change."""
    base = held.raw if held is not None else None
    if change.level is Level.CONNECTOR:
        return _with_connector(change, base)
    if change.method == "PUT":
        return write_members(members)
    return None if base is None else write_members(merge(read_members(base), members))


def _with_connector(change: Change, base: bytes | None) -> bytes | None:
    """The EVSE with one Connector put or patched, and its clock moved to the pushed value (OB-05)."""
    if base is None:
        return None
    evse = read_members(base)
    held: Slices = msgspec.json.decode(evse["connectors"], type=Slices | None) or [] if "connectors" in evse else []
    is_patch = change.method == "PATCH"
    connectors = replace_in_list(held, "id", change.connector_id, change.members, is_patch=is_patch)
    if connectors is None:
        return None
    moved = {"connectors": write_list(connectors)}
    if "last_updated" in change.members:
        moved["last_updated"] = change.members["last_updated"]
    return write_members(merge(evse, moved))


def _clock(members: Members, position: Position) -> datetime:
    """`last_updated` as pushed; a part without one counts as of its arrival."""
    return parse_datetime(_text(members, "last_updated")) or position.appended_at


def _text(members: Members, name: str) -> str:
    value = msgspec.json.decode(members[name]) if name in members else ""
    return value if isinstance(value, str) else ""


def assemble(root: Unit, evses: Iterable[Unit], *, roll_up: bool = False) -> bytes:
    """The whole object: a root with its EVSEs in the order given.

    With `roll_up`, a Location's `last_updated` is the newest in its tree, as its text was pushed (OB-05): for reading only.
    """
    assert root.raw is not None
    members = dict(read_members(root.raw))
    if root.key.module != "locations":
        return root.raw
    parts = [unit for unit in evses if unit.raw is not None]
    if roll_up and parts:
        newest = max(parts, key=lambda unit: unit.last_updated)
        if newest.last_updated > root.last_updated:
            assert newest.raw is not None
            members["last_updated"] = read_members(newest.raw).get("last_updated", members["last_updated"])
    members.pop("evses", None)
    members["evses"] = write_list([msgspec.Raw(unit.raw) for unit in parts if unit.raw is not None])
    return write_members(members)


def key_of(module: str, owner: PartyId, parameters: Mapping[str, str], token_key: str = "") -> tuple[UnitKey, Level]:
    """The unit that a Receiver URL names, and at which level."""
    if module == "locations":
        root = root_key(module, owner, parameters["location_id"])
        if "evse_uid" not in parameters:
            return root, Level.ROOT
        level = Level.CONNECTOR if "connector_id" in parameters else Level.EVSE
        return evse_key(root, parameters["evse_uid"]), level
    object_id = token_key if module == "tokens" else parameters["tariff_id"]
    return root_key(module, owner, object_id), Level.ROOT
