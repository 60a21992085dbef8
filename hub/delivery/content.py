"""What a delivery says: the record's own bytes, or the current state of its unit.

The current state of an object is the PUT of the whole, of an EVSE its PUT, of a tombstone DELETE.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hub.model.delivery import Entry
from hub.model.unit import Unit, UnitKey, assemble


class Content(NamedTuple):
    """Method, raw path tail below the receiver's endpoint and raw query, and body. `origin`: the platform that pushed it."""

    method: str
    tail: str
    query: str
    body: bytes
    origin: str


def raw_content(entry: Entry) -> Content:
    """The push as its sender made it (RT-15, D-22)."""
    envelope = entry.envelope
    assert envelope is not None, "only a record has bytes of its own"
    return Content(envelope.method, envelope.tail, envelope.query, envelope.body, envelope.platform_id)


def current_content(key: UnitKey, found: Sequence[Unit]) -> Content | None:
    """The current state of a unit; `found` is the unit, for a root with its parts. None where none is held."""
    if not found or found[0].key != key or found[0].is_incomplete:
        return None
    unit = found[0]
    if unit.raw is None:
        return Content("DELETE", unit.tail, unit.query, b"", unit.platform_id)
    body = unit.raw if key.evse_uid else assemble(unit, found[1:])
    return Content("PUT", unit.tail, unit.query, body, unit.platform_id)
