"""Envelopes, replies and outcomes as records: everything comes back as it went, and nothing else comes back at all."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import UndecodableRecord, UnknownEnvelopeVersion
from hub.messaging.codec import (
    decode,
    decode_outcomes,
    decode_reply,
    encode,
    encode_outcomes,
    encode_reply,
    push_key,
    readable_outcomes,
)
from hub.messaging.records import Record
from hub.model.envelope import Envelope, Reply, Scenario
from hub.model.outcome import Leg, Outcome, Verdict
from hub.model.unit import Place
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId
from tests.unit.routing_objects import an_envelope

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PARTIES = st.builds(
    PartyId,
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/"), min_size=2, max_size=2),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=3),
)
MOMENTS = st.integers(1, 2**50)


def a_record(value: bytes, headers: Any) -> Record:
    """A record as the broker hands it out."""
    return Record("topic", 3, 7, 1_700_000_000_000, b"key", tuple(headers), value)


@given(
    tail=TEXT,
    query=TEXT,
    ids=st.tuples(TEXT, TEXT),
    content_type=TEXT,
    body=st.binary(max_size=60),
    parties=st.tuples(PARTIES, st.none() | PARTIES),
    scenario=st.sampled_from(Scenario),
    interface=st.sampled_from(Interface),
    times=st.tuples(MOMENTS, MOMENTS, MOMENTS),
    partition=st.integers(0, 63),
    traceparent=TEXT,
)
def test_an_envelope_comes_back_as_it_went(
    tail: str,
    query: str,
    ids: tuple[str, str],
    content_type: str,
    body: bytes,
    parties: tuple[PartyId, PartyId | None],
    scenario: Scenario,
    interface: Interface,
    times: tuple[int, int, int],
    partition: int,
    traceparent: str,
) -> None:
    sent = Envelope(
        version="2.2.1",
        module="locations",
        interface=interface,
        method="PUT",
        tail=tail,
        query=query,
        scenario=scenario,
        platform_id="p1",
        from_party=parties[0],
        to_party=parties[1],
        request_id=ids[0],
        correlation_id=ids[1],
        content_type=content_type,
        received_at=times[0],
        body=body,
        nonce="n" * 32,
        reply_partition=partition,
        start_by=times[1],
        deadline=times[2],
        traceparent=traceparent,
    )
    assert decode(a_record(body, encode(sent))) == sent


def test_a_push_that_nobody_waits_for_carries_no_place_to_answer() -> None:
    sent = an_envelope(nonce="", reply_partition=-1, start_by=0, deadline=0)
    headers = encode(sent)
    assert not {"nonce", "reply-partition", "start-by", "deadline", "traceparent"} & {name for name, _ in headers}
    assert decode(a_record(sent.body, headers)) == sent


def test_what_was_fetched_carries_what_was_known_before() -> None:
    sent = an_envelope(known=Place("aö/1", 7))
    assert decode(a_record(sent.body, encode(sent))) == sent


@pytest.mark.parametrize("name", [name for name, _ in encode(an_envelope(nonce=""))])
@pytest.mark.parametrize("content", [None, b"\xff", "left out"])
def test_a_header_that_is_missing_or_no_text_is_no_envelope(name: str, content: Any) -> None:
    headers = dict(encode(an_envelope()))
    if content == "left out":
        del headers[name]
    else:
        headers[name] = content
    with pytest.raises(UndecodableRecord):
        decode(a_record(b"", headers.items()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("envelope", b"one"),
        ("interface", b"SIDE"),
        ("scenario", b"magic"),
        ("from", b""),
        ("from", b"NL-ENE"),
        ("to", b"NL/LONG"),
        ("received-at", b"now"),
        ("start-by", b"1.5"),
        ("deadline", b""),
        ("reply-partition", b"x"),
    ],
)
def test_a_header_of_another_form_is_no_envelope(name: str, content: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode(a_record(b"", (dict(encode(an_envelope())) | {name: content}).items()))


def test_a_newer_envelope_is_told_apart_from_a_broken_one() -> None:
    """The worker stops; nothing is dropped: also when the newer release has changed everything else."""
    with pytest.raises(UnknownEnvelopeVersion):
        decode(a_record(b"", [("envelope", b"2")]))


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12), TEXT),
    body=st.binary(max_size=60),
)
def test_a_reply_comes_back_as_it_went(status: int, headers: dict[str, str], body: bytes) -> None:
    sent = Reply("n" * 32, status, tuple(headers.items()), body)
    assert decode_reply(tuple(encode_reply(sent)), body) == sent


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("nonce", b"x"),),
        (("http-status", b"200"),),
        (("nonce", b"x"), ("http-status", b"fine")),
        (("nonce", b"\xff"), ("http-status", b"200")),
        (("nonce", None), ("http-status", b"200")),
    ],
)
def test_what_is_no_reply_is_told(headers: Any) -> None:
    with pytest.raises(UndecodableRecord):
        decode_reply(headers, b"")


def test_an_outcome_comes_back_as_it_went() -> None:
    sent = Outcome(
        1, "o", "c\u00e9", "r", Leg.RELAY, "delivery.attempted", Verdict.SILENT, detail="\0 ", elapsed_ms=1.5
    )
    bare = msgspec.structs.replace(sent, detail=None)
    assert list(decode_outcomes(encode_outcomes([sent]))) == [sent]
    assert list(decode_outcomes(encode_outcomes([sent, bare]))) == [sent, bare]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[{}]", b"{}", b'{"at": "x"}', b"\xff", b'{"at":1,"detail":"\xff"}']
)
def test_what_is_no_outcome_is_told(content: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode_outcomes(content)


def test_an_outcome_that_cannot_be_read_takes_none_with_it_that_shares_its_record() -> None:
    good = [Outcome(at, "o", "c", "r", Leg.RELAY, "delivery.attempted", Verdict.SILENT) for at in range(3)]
    first, second, third = (encode_outcomes([outcome]) for outcome in good)
    bad = [b'{"at": "x"}', b"7", b'{"at":1,"detail":"\xff"}']
    record = b"[" + b",".join([first, bad[0], second, *bad[1:], third]) + b"]"

    with pytest.raises(UndecodableRecord):
        decode_outcomes(record)
    assert readable_outcomes(record) == good


@pytest.mark.parametrize("content", [b"", b"{}", b'{"at": "x"}', b"[]", b"[{", b"\xff"])
def test_what_holds_no_outcome_has_no_readable_one(content: bytes) -> None:
    assert list(readable_outcomes(content)) == []


def test_a_push_is_keyed_by_its_root_object_without_case() -> None:
    """One partition holds everything about an object, however its ids are written (OB-13)."""
    assert push_key("locations", PartyId("nl", "cp1"), "loc-1") == push_key("locations", PartyId("NL", "CP1"), "LOC-1")
    assert push_key("locations", PartyId("NL", "CP1"), "L") != push_key("tariffs", PartyId("NL", "CP1"), "L")
