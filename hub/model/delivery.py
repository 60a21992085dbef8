"""What is delivered to one receiver: who it is, and what waits for it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

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
    """What waits for one receiver: one record's own bytes, or the current state of its unit, read when it is sent.

    `envelope` is the latest record of the unit: it gives the ids of the delivery, and its body while `is_raw`. A patch of
    something that the hub does not hold (`is_loose`) is never merged with another, since no current state could stand for both.
    """

    key: UnitKey
    place: Place
    envelope: Envelope
    is_raw: bool
    is_loose: bool = False

    @property
    def root(self) -> UnitKey:
        """The object within which order is kept."""
        return self.key.root

    def as_current(self) -> "Entry":
        """The same entry, to be sent as the current state."""
        return replace(self, is_raw=False)

    def covers(self, other: "Entry") -> bool:
        """Whether this entry, which is later, brings all that the other would bring.

        The same unit does, and a whole Location does for its EVSEs; a patch of a Location does not, its body lacks them.
        """
        if self.is_loose or other.is_loose:
            return False
        if self.key == other.key:
            return True
        brings_parts = not self.is_raw or self.envelope.method in {"PUT", "DELETE"}
        return not self.key.evse_uid and self.root == other.root and brings_parts
