"""What the hub keeps of a push to one party that this party has confirmed.

Sessions and CDRs are kept whole, for their addressee. Of objects that may also go to all, it is only noted that the receiver has
a copy of its own, and that of whole objects only: the state of an EVSE is the same for everybody.

Rules RT-18, RT-19, OB-06; decision D-04.
"""

from datetime import UTC, datetime

import msgspec

from hub.model.delivery import Receiver
from hub.model.directed import DirectedKey, DirectedPush
from hub.model.unit import Level, UnitKey, key_of
from hub.routing.admit import url_owner
from hub.routing.decide import Destination
from hub.routing.open_keys import LONGEST_KEY, token_key
from hub.routing.plan import Parsed


class _Identified(msgspec.Struct):
    id: str


def is_directed_push(parsed: Parsed) -> bool:
    """Whether something is kept of it once it is confirmed: the objects of an owner, pushed at a Receiver interface."""
    return parsed.operation.owner_role is not None


def directed_push(parsed: Parsed, destination: Destination) -> DirectedPush | None:
    """What is kept of a Session or CDR; None of one that has no id which could be kept."""
    envelope = parsed.envelope
    owner = url_owner(parsed.match) or envelope.from_party
    object_id = parsed.match.parameters.get("session_id") or _id_in(envelope.body)
    if not object_id or len(object_id) > LONGEST_KEY or "\0" in object_id:
        return None
    key = DirectedKey(
        destination.platform_id, destination.party.folded, envelope.module, owner.folded, object_id.upper()
    )
    received_at = datetime.fromtimestamp(envelope.received_at / 1000, UTC)
    return DirectedPush(key, envelope.method == "PATCH", envelope.body, received_at)


def directed_copy(parsed: Parsed, destination: Destination) -> tuple[Receiver, UnitKey] | None:
    """The whole object of which the receiver now has a copy of its own; None where a part was pushed."""
    owner = url_owner(parsed.match)
    assert owner is not None, "objects that may go to all are pushed to URLs with their owner"
    parameters = parsed.match.parameters
    tokens = token_key(parameters["token_uid"], parsed.query) if "token_uid" in parameters else ""
    key, level = key_of(parsed.envelope.module, owner, parameters, tokens)
    if level is not Level.ROOT or len(key.object_id) > LONGEST_KEY or "\0" in key.object_id:
        return None
    return Receiver(destination.platform_id, destination.party.folded), key


def _id_in(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Identified).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
