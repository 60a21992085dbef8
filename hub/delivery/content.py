"""What a delivery says: the record's own bytes, or the current state of its unit.

The current state of an object is the PUT of the whole, of an EVSE its PUT, of a tombstone DELETE.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hub.model.delivery import Entry
from hub.model.unit import Unit, assemble
from hub.ocpi.modules import segments

_ROOT_SEGMENTS: Final = 3
_EVSE_SEGMENTS: Final = 4


class Content(NamedTuple):
    """Method, raw path tail below the receiver's endpoint, and body."""

    method: str
    tail: str
    body: bytes


def raw_content(entry: Entry) -> Content:
    """The push as its sender made it (RT-15, D-22)."""
    return Content(entry.envelope.method, entry.envelope.tail, entry.envelope.body)


def current_content(entry: Entry, found: Sequence[Unit]) -> Content | None:
    """The current state of the entry's unit; `found` is the unit, for a root with its parts. None where none is held."""
    if not found or found[0].key != entry.key or found[0].is_incomplete:
        return None
    count = _EVSE_SEGMENTS if entry.key.evse_uid else _ROOT_SEGMENTS
    tail = "/".join(segments(entry.envelope.tail)[:count])
    unit = found[0]
    if unit.raw is None:
        return Content("DELETE", tail, b"")
    return Content("PUT", tail, unit.raw if entry.key.evse_uid else assemble(unit, found[1:]))
