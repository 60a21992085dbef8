"""What is delivered to one receiver: who it is, and what waits for it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from hub.model.envelope import Envelope
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId


class Receiver(NamedTuple):
    """A party on a platform: OCPI addresses parties, so each of a platform's parties has its own lane (AM-16)."""

    platform_id: str
    party: PartyId


class Place(NamedTuple):
    """A record in the log: what is released once every receiver is done with it."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What waits for one receiver: one record's own bytes (`is_raw`), or the current state of its unit, read when it is sent.

    `envelope` is the latest record of the unit: it gives the ids of the delivery, and its body while `is_raw`. What a dirty mark
    asks for has neither record nor place in the log. An entry that `replaces_all` leaves nothing of what the receiver holds of
    the whole object. A patch of something that the hub does not hold (`is_loose`) is never merged with another, since no current
    state could stand for both. `tried_at`: monotonic seconds of the first attempt that met trouble.
    """

    key: UnitKey
    place: Place | None
    envelope: Envelope | None
    is_raw: bool
    replaces_all: bool
    is_loose: bool = False
    tried_at: float | None = None

    @classmethod
    def of_mark(cls, key: UnitKey) -> "Entry":
        """What a dirty mark asks for: the current state of its unit."""
        return cls(key, None, None, is_raw=False, replaces_all=not key.evse_uid)

    @property
    def body_bytes(self) -> int:
        """What its own bytes weigh."""
        return len(self.envelope.body) if self.envelope is not None else 0

    def as_current(self) -> "Entry":
        """The same entry, to be sent as the current state; the record's bytes are given up."""
        if not self.is_raw:
            return self
        assert self.envelope is not None, "only a record has bytes of its own"
        envelope = msgspec.structs.replace(self.envelope, body=b"")
        return replace(self, envelope=envelope, is_raw=False, replaces_all=self.replaces_all or not self.key.evse_uid)

    def as_whole(self) -> "Entry":
        """The same entry, to be sent as the current state of the whole object."""
        current = self.as_current()
        return replace(current, key=self.key.root, replaces_all=True)

    def covers(self, earlier: "Entry") -> bool:
        """Whether this entry brings all that an earlier one of the same root object would bring."""
        if self.is_loose or earlier.is_loose:
            return False
        return self.replaces_all or self.key == earlier.key
