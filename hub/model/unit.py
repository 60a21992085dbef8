"""Units: what changes on its own, and how an object is put together from them.

A unit is a Location without its EVSEs, an EVSE with its Connectors, a Tariff or a Token. Its JSON is kept as the slices that were
pushed, so numbers, unknown members and their order survive byte for byte. How a push changes units stands in `hub.model.change`.

Rules OB-05, OB-13, OB-14, RT-15.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from hub.ocpi.parties import PartyId
from hub.ocpi.patch import read_members, write_list, write_members
from hub.ocpi.types import parse_datetime

LOCATIONS: Final = "locations"
EVSES: Final = "evses"
EMPTY_UID: Final = " "
"""The evse_uid of an EVSE whose uid is empty: '' is the Location itself."""


class Place(NamedTuple):
    """A record's place in the log of its object; offsets of one epoch compare."""

    epoch: str
    offset: int


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
        return self._replace(evse_uid="") if self.evse_uid else self

    @property
    def owner(self) -> PartyId:
        """The party that owns the object."""
        return PartyId(self.country_code, self.party_id)


class Level(StrEnum):
    """At which depth a URL names something in an object."""

    ROOT = "root"
    EVSE = "evse"
    CONNECTOR = "connector"


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as stored. `raw` is None for a tombstone and for a unit of which only patches are known (`is_incomplete`).

    `last_updated` is the newest clock in the unit (an EVSE's Connectors included), `clock` the earlier of the unit's own
    `last_updated` and its arrival: what a later push is compared with. `epoch`, `partition` and `offset` name the record applied
    last, `evses_offset` on a Location the last record that replaced all its EVSEs. `tail` and `query` are those of the URL that
    it has below a receiver's endpoint, raw as its owner writes it.
    """

    key: UnitKey
    raw: bytes | None
    last_updated: datetime
    clock: datetime
    epoch: str
    offset: int
    platform_id: str
    is_incomplete: bool = False
    evses_offset: int = -1
    partition: int = 0
    tail: str = ""
    query: str = ""

    @property
    def is_tombstone(self) -> bool:
        """Whether the object was deleted."""
        return self.raw is None and not self.is_incomplete


def root_key(module: str, owner: PartyId, object_id: str) -> UnitKey:
    """The key of a root object; a Token's `object_id` is `uid:type`."""
    folded = owner.folded
    return UnitKey(module, folded.country_code, folded.party_id, object_id.upper())


def evse_key(root: UnitKey, uid: str) -> UnitKey:
    """The key of an EVSE of a Location."""
    return root._replace(evse_uid=uid.upper() or EMPTY_UID)


def key_of(module: str, owner: PartyId, parameters: Mapping[str, str], token_key: str = "") -> tuple[UnitKey, Level]:
    """The unit that a Receiver URL names, and at which level."""
    if module == LOCATIONS:
        root = root_key(module, owner, parameters["location_id"])
        if "evse_uid" not in parameters:
            return root, Level.ROOT
        level = Level.CONNECTOR if "connector_id" in parameters else Level.EVSE
        return evse_key(root, parameters["evse_uid"]), level
    object_id = token_key if module == "tokens" else parameters["tariff_id"]
    return root_key(module, owner, object_id), Level.ROOT


class _Clock(msgspec.Struct):
    last_updated: Any = None


class _Clocks(msgspec.Struct):
    last_updated: Any = None
    connectors: list[_Clock] | None = None


_clocks = msgspec.json.Decoder(_Clocks)


def newest_clock(raw: bytes) -> tuple[str, datetime] | None:
    """The newest `last_updated` in a unit, as its text was pushed and as a time; None where it has none that can be read."""
    found = _clocks.decode(raw)
    texts = [found.last_updated, *(connector.last_updated for connector in found.connectors or ())]
    times = [(text, moment) for text in texts if isinstance(text, str) and (moment := parse_datetime(text)) is not None]
    return max(times, key=lambda entry: entry[1], default=None)


def assemble(root: Unit, evses: Iterable[Unit], *, roll_up: bool = False) -> bytes:
    """The whole object: a root with its EVSEs in the order given, where its own `evses` stood.

    With `roll_up`, a Location's `last_updated` is the newest in its tree, as its text was pushed (OB-05): for reading only.
    """
    assert root.raw is not None
    if root.key.module != LOCATIONS:
        return root.raw
    members = dict(read_members(root.raw))
    parts = [unit.raw for unit in evses if unit.raw is not None]
    if parts or EVSES in members:
        members[EVSES] = write_list([msgspec.Raw(part) for part in parts])
    if roll_up:
        newest = max((unit for unit in evses if unit.raw is not None), key=lambda unit: unit.last_updated, default=root)
        if newest.raw is not None and newest.last_updated > root.last_updated:
            rolled = newest_clock(newest.raw)
            if rolled is not None:
                members["last_updated"] = msgspec.Raw(msgspec.json.encode(rolled[0]))
    return write_members(members)
