"""Reads what a broadcast push wants of the store.

Rules RT-14, OB-13; decision D-22.
"""

from typing import Final
from urllib.parse import parse_qsl

import msgspec

from hub.errors import UndecodableRecord
from hub.model.change import Change
from hub.model.envelope import Envelope
from hub.model.unit import key_of
from hub.ocpi.modules import find, segments
from hub.routing.admit import url_owner
from hub.routing.open_keys import token_key

_OF_DRIVERS: Final = "tokens"
"""Its URLs hold uids, which no error and no log may show."""
_ROOT_SEGMENTS: Final = 3
_EVSE_SEGMENTS: Final = 4


def read_push(envelope: Envelope, *, accepts_stale: bool = False) -> Change:
    """The change that a push makes; `accepts_stale` is its sender's setting (D-11).

    Raises:
        UndecodableRecord: its URL is none of a push, or its body no object that could be taken apart.
    """
    match = find(envelope.version, envelope.module, envelope.interface, envelope.tail)
    owner = url_owner(match) if match else None
    if match is None or owner is None or envelope.method not in match.resource.operations:
        where = "…" if envelope.module == _OF_DRIVERS else envelope.tail
        raise UndecodableRecord(f"{envelope.method} {envelope.interface}/{envelope.module}/{where} is no push")
    parameters = match.parameters
    tokens = ""
    if "token_uid" in parameters:
        tokens = token_key(parameters["token_uid"], dict(parse_qsl(envelope.query, keep_blank_values=True)))
    target, level = key_of(envelope.module, owner, parameters, tokens)
    try:
        return Change.of(
            target,
            level,
            envelope.method,
            envelope.body,
            envelope.platform_id,
            connector_id=parameters.get("connector_id", ""),
            tail="/".join(segments(envelope.tail)[: _EVSE_SEGMENTS if target.evse_uid else _ROOT_SEGMENTS]),
            query=envelope.query,
            accepts_stale=accepts_stale,
            known=envelope.known,
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableRecord(f"the body cannot be taken apart: {error}") from error
