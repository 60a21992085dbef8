"""How envelopes, replies and outcomes become Kafka records and come back.

Envelope headers are UTF-8 text under short fixed names; the record's value is the body as the partner sent it.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec

from hub.errors import UndecodableRecord, UnknownEnvelopeVersion
from hub.messaging.records import Record
from hub.model.envelope import ENVELOPE_VERSION, Envelope, Reply, Scenario
from hub.model.outcome import Outcome
from hub.model.unit import Place
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId

Headers = list[tuple[str, bytes]]

_VERSION: Final = "envelope"
_NONCE: Final = "nonce"
_STATUS: Final = "http-status"
_KNOWN_EPOCH: Final = "known-epoch"
_KNOWN_OFFSET: Final = "known-offset"
_ANSWER_PREFIX: Final = "h:"

_outcome_encoder = msgspec.json.Encoder()
_outcome_decoder = msgspec.json.Decoder(Outcome | list[Outcome])
_one_outcome_decoder = msgspec.json.Decoder(Outcome)
_slices_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_NO_OUTCOME: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode(envelope: Envelope) -> Headers:
    """The record headers of an envelope; its value is `envelope.body`."""
    fields = [
        (_VERSION, b"%d" % ENVELOPE_VERSION),
        ("version", envelope.version.encode()),
        ("module", envelope.module.encode()),
        ("interface", envelope.interface.encode()),
        ("method", envelope.method.encode()),
        ("tail", envelope.tail.encode()),
        ("query", envelope.query.encode()),
        ("scenario", envelope.scenario.encode()),
        ("platform", envelope.platform_id.encode()),
        ("from", str(envelope.from_party).encode()),
        ("to", str(envelope.to_party).encode() if envelope.to_party else b""),
        ("request-id", envelope.request_id.encode()),
        ("correlation-id", envelope.correlation_id.encode()),
        ("content-type", envelope.content_type.encode()),
        ("received-at", b"%d" % envelope.received_at),
    ]
    if envelope.nonce:
        fields += [
            (_NONCE, envelope.nonce.encode()),
            ("reply-partition", b"%d" % envelope.reply_partition),
            ("start-by", b"%d" % envelope.start_by),
            ("deadline", b"%d" % envelope.deadline),
        ]
    if envelope.traceparent:
        fields.append(("traceparent", envelope.traceparent.encode()))
    if envelope.known is not None:
        fields += [(_KNOWN_EPOCH, envelope.known.epoch.encode()), (_KNOWN_OFFSET, b"%d" % envelope.known.offset)]
    return fields


def decode(record: Record) -> Envelope:
    """The envelope in a record.

    Raises:
        UnknownEnvelopeVersion: written by a newer release.
        UndecodableRecord: no envelope; the message names the fault.
    """
    try:
        fields = {name: value.decode() for name, value in record.headers}
        version = int(fields[_VERSION])
    except (KeyError, ValueError, AttributeError) as error:
        raise UndecodableRecord(f"no envelope in the headers: {error!r}") from error
    if version > ENVELOPE_VERSION:
        raise UnknownEnvelopeVersion(f"envelope version {version}, this release knows {ENVELOPE_VERSION}")
    try:
        return _envelope(fields, record.value)
    except (KeyError, ValueError) as error:
        raise UndecodableRecord(f"a header is missing or wrong: {error!r}") from error


def _envelope(fields: dict[str, str], body: bytes) -> Envelope:
    to_party = fields["to"]
    return Envelope(
        version=fields["version"],
        module=fields["module"],
        interface=Interface(fields["interface"]),
        method=fields["method"],
        tail=fields["tail"],
        query=fields["query"],
        scenario=Scenario(fields["scenario"]),
        platform_id=fields["platform"],
        from_party=PartyId.parse(fields["from"]),
        to_party=PartyId.parse(to_party) if to_party else None,
        request_id=fields["request-id"],
        correlation_id=fields["correlation-id"],
        content_type=fields["content-type"],
        received_at=int(fields["received-at"]),
        body=body,
        nonce=fields.get(_NONCE, ""),
        reply_partition=int(fields.get("reply-partition", -1)),
        start_by=int(fields.get("start-by", 0)),
        deadline=int(fields.get("deadline", 0)),
        traceparent=fields.get("traceparent", ""),
        known=Place(fields[_KNOWN_EPOCH], int(fields[_KNOWN_OFFSET])) if _KNOWN_EPOCH in fields else None,
    )


def encode_reply(reply: Reply) -> Headers:
    """The record headers of a reply; its value is `reply.body`."""
    fixed = [(_NONCE, reply.nonce.encode()), (_STATUS, str(reply.http_status).encode())]
    return fixed + [(_ANSWER_PREFIX + name, value.encode()) for name, value in reply.headers]


def decode_reply(headers: tuple[tuple[str, bytes], ...], value: bytes) -> Reply:
    """The reply in a record.

    Raises:
        UndecodableRecord: it is none.
    """
    try:
        fields = {name: text.decode() for name, text in headers}
        return Reply(
            nonce=fields[_NONCE],
            http_status=int(fields[_STATUS]),
            headers=tuple(
                (name.removeprefix(_ANSWER_PREFIX), text)
                for name, text in fields.items()
                if name.startswith(_ANSWER_PREFIX)
            ),
            body=value,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise UndecodableRecord(f"not a reply: {error!r}") from error


def encode_outcomes(outcomes: Sequence[Outcome]) -> bytes:
    """The JSON of outcomes that share a record: of one an object, of several an array."""
    return _outcome_encoder.encode(outcomes[0] if len(outcomes) == 1 else outcomes)


def decode_outcomes(value: bytes) -> Sequence[Outcome]:
    """The outcomes in a record's value, at least one.

    Raises:
        UndecodableRecord: it holds anything else.
    """
    try:
        found = _outcome_decoder.decode(value)
    except _NO_OUTCOME as error:
        raise UndecodableRecord(f"not an outcome: {error}") from error
    if not found:
        raise UndecodableRecord("no outcome")
    return found if isinstance(found, list) else [found]


def readable_outcomes(value: bytes) -> Sequence[Outcome]:
    """The good ones among the outcomes of a record that `decode_outcomes` refuses."""
    try:
        slices = _slices_decoder.decode(value)
    except _NO_OUTCOME:
        return []
    found = []
    for part in slices:
        with contextlib.suppress(*_NO_OUTCOME):
            found.append(_one_outcome_decoder.decode(part))
    return found


def push_key(module: str, owner: PartyId, object_id: str) -> bytes:
    """The key of a push: its root object, case folded, so that one partition holds everything about it.

    A Token's `object_id` is `uid:type`.
    """
    folded = owner.folded
    return f"{module}:{folded.country_code}:{folded.party_id}:{object_id.upper()}".encode()
