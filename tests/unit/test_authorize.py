"""Whom an authorization is asked of, what several answers come to, and when the hub speaks for an owner."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model.directory import PlatformStatus
from hub.model.envelope import Envelope, Scenario
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import RECEIVER_UNKNOWN, Refusal
from hub.routing.authorize import (
    ALWAYS,
    MOST_ASKED,
    OFFLINE,
    Heard,
    Poll,
    Tally,
    allowed_info,
    eligible,
    heard,
    may_speak_for,
    permits,
    poll,
    says_away,
)
from hub.routing.decide import Destination
from hub.routing.plan import Plan, parse, resolve
from tests.unit.routing_objects import CPO, EMSP, OTHER_EMSP, a_directory, a_platform, an_envelope

NOBODY = Refusal(RECEIVER_UNKNOWN, "nobody")
TOKEN = {"uid": "U1", "valid": True, "whitelist": "ALLOWED"}


def an_answer(code: Any = 1000, **data: Any) -> bytes:
    return json.dumps({"status_code": code} | ({"data": data} if data else {})).encode()


@pytest.mark.parametrize(
    ("http_status", "content", "said"),
    [
        (200, an_answer(allowed="ALLOWED"), Heard.ALLOWED),
        (200, b"\xef\xbb\xbf" + an_answer(allowed="ALLOWED"), Heard.ALLOWED),
        (201, an_answer("1000", allowed="ALLOWED"), Heard.ALLOWED),
        (200, an_answer(allowed="BLOCKED"), Heard.KNOWN),
        (200, an_answer(allowed="NO_CREDIT"), Heard.KNOWN),
        (200, an_answer(allowed="SOMETHING_NEW"), Heard.KNOWN),
        (200, an_answer(2002), Heard.ASKS_MORE),
        (404, an_answer(2003), Heard.ASKS_MORE),
        (404, an_answer(2004), Heard.UNKNOWN),
        (200, an_answer(2004), Heard.UNKNOWN),
        (404, an_answer(2000), Heard.UNKNOWN),
        (200, an_answer(2001), Heard.REFUSED),
        (400, an_answer(2001), Heard.REFUSED),
        (200, an_answer(), Heard.SILENT),
        (200, an_answer(allowed=True), Heard.SILENT),
        (302, an_answer(allowed="ALLOWED"), Heard.SILENT),
        (500, an_answer(allowed="ALLOWED"), Heard.SILENT),
        (429, an_answer(2000), Heard.SILENT),
        (200, an_answer(3000), Heard.SILENT),
        (200, an_answer(4002), Heard.SILENT),
        (200, an_answer(4003), Heard.SILENT),
        (200, an_answer(True, allowed="ALLOWED"), Heard.SILENT),
        (200, b"[]", Heard.SILENT),
        (200, b"<html>", Heard.SILENT),
        (200, b"", Heard.SILENT),
    ],
)
def test_an_answer_knows_the_token_or_not_or_says_nothing(http_status: int, content: bytes, said: Heard) -> None:
    """AM-17, ST-11, ST-12."""
    assert heard(http_status, content) is said


def _tally(unheard: int, *said: Heard) -> Tally[Heard]:
    tally: Tally[Heard] = Tally(unheard + len(said))
    for one in said:
        tally = tally.hear(one, one)
    return tally


@pytest.mark.parametrize(
    ("unheard", "said", "result"),
    [
        (0, (Heard.UNKNOWN, Heard.ALLOWED), Heard.ALLOWED),
        (2, (Heard.KNOWN, Heard.ALLOWED), Heard.ALLOWED),
        (0, (Heard.UNKNOWN, Heard.KNOWN, Heard.SILENT), Heard.KNOWN),
        (1, (Heard.UNKNOWN, Heard.KNOWN), Heard.KNOWN),
        (1, (Heard.UNKNOWN, Heard.ASKS_MORE), Heard.ASKS_MORE),
        (0, (Heard.UNKNOWN, Heard.UNKNOWN), (404, 2004)),
        (0, (Heard.UNKNOWN, Heard.REFUSED), (404, 2004)),
        (0, (Heard.REFUSED,), Heard.REFUSED),
        (0, (Heard.UNKNOWN, Heard.SILENT), (200, 4002)),
        (1, (Heard.UNKNOWN, Heard.UNKNOWN), (200, 4002)),
        (1, (Heard.REFUSED,), (200, 4002)),
        (3, (), (200, 4002)),
    ],
)
def test_the_best_answer_counts(unheard: int, said: tuple[Heard, ...], result: Heard | tuple[int, int]) -> None:
    """D-06."""
    found = _tally(unheard, *said).result()
    assert (found if isinstance(found, Heard) else (found.status.http, found.status.ocpi)) == result


@given(st.lists(st.sampled_from(Heard), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_the_answers_changes_nothing(said: list[Heard], random: Any) -> None:
    """D-06: and once it is settled nothing that comes does."""
    tally: Tally[Heard] = Tally(len(said))
    settled: list[Heard | Refusal] = []
    for one in said:
        tally = tally.hear(one, one)
        if tally.is_settled:
            settled.append(tally.result())
    shuffled = list(said)
    random.shuffle(shuffled)
    assert tally.is_settled
    assert set(map(str, settled)) == {str(tally.result())} == {str(_tally(0, *shuffled).result())}


def test_of_equal_answers_the_first_stays() -> None:
    first: Tally[str] = Tally(2)
    assert first.hear(Heard.KNOWN, "BLOCKED").hear(Heard.KNOWN, "EXPIRED").result() == "BLOCKED"


def test_only_allowed_is_settled_before_all_have_answered() -> None:
    assert [said for said in Heard if _tally(1, said).is_settled] == [Heard.ALLOWED]


def test_emsps_whom_the_requester_may_reach_are_eligible() -> None:
    """AM-17, AM-28: in the role that owns tokens, present or not."""
    nsp = PartyId("BE", "NS1")
    directory = a_directory(
        a_platform("p1", (CPO, Role.CPO), (nsp, Role.NSP)),
        a_platform("p2", (EMSP, Role.EMSP), is_online=False),
        a_platform("p3", (OTHER_EMSP, Role.EMSP), (OTHER_EMSP, Role.NSP)),
        a_platform("p4", (PartyId("FR", "NOT"), Role.CPO), quarantined=((PartyId("FR", "NEW"), Role.EMSP),)),
    )
    assert eligible(directory, CPO, "p1") == (EMSP, OTHER_EMSP)
    assert eligible(directory, EMSP, "p2") == ()


def _envelope(**changes: Any) -> Envelope:
    fields: dict[str, Any] = {"module": "tokens", "interface": Interface.SENDER, "tail": "U1/authorize"}
    fields |= {"from_party": CPO, "platform_id": "p1", "to_party": None, "scenario": Scenario.OPEN, "body": b""}
    return an_envelope(**(fields | changes))


def _plan(number: int) -> Plan:
    destination = Destination(PartyId("DE", f"{number:03}"), f"e{number}", f"https://e{number}.test/tokens")
    return Plan(parse(_envelope()), destination, 7, None, "", b"")


def _asked(found: Poll | Refusal) -> list[str]:
    assert isinstance(found, Poll)
    return [made.destination.platform_id for made in found.plans]


def test_all_who_are_there_are_asked_but_not_the_requesters_own_platform() -> None:
    away = Refusal(RECEIVER_UNKNOWN, "")
    assert _asked(poll(_envelope(platform_id="e1"), [_plan(0), _plan(1), away, _plan(2)], NOBODY, 5)) == ["e0", "e2"]


@given(st.integers(0, 2**16))
def test_beyond_the_cap_everybody_has_a_turn(turn: int) -> None:
    """D-06: at most twenty."""
    plans = [_plan(number) for number in range(MOST_ASKED + 5)]
    asked = _asked(poll(_envelope(), plans, NOBODY, turn))
    assert len(set(asked)) == len(asked) == MOST_ASKED == 20
    assert asked[0] == f"e{turn % len(plans)}"


def test_where_nobody_can_be_asked_the_reason_is_told() -> None:
    directory = a_directory(a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP), is_online=False))
    away = resolve(parse(_envelope()), EMSP, None, directory)
    assert isinstance(away, Refusal)
    found = poll(_envelope(), [away], NOBODY, 0)
    assert isinstance(found, Refusal)
    assert found.status.ocpi == 4003
    assert poll(_envelope(), [], NOBODY, 0) is NOBODY
    assert poll(_envelope(platform_id="e0"), [_plan(0)], NOBODY, 0) is NOBODY


@pytest.mark.parametrize(
    ("token", "always", "offline"),
    [
        (TOKEN | {"whitelist": "ALWAYS"}, True, True),
        (TOKEN, False, True),
        (TOKEN | {"whitelist": "ALLOWED_OFFLINE"}, False, True),
        (TOKEN | {"whitelist": "NEVER"}, False, False),
        (TOKEN | {"whitelist": "SOMETHING_NEW"}, False, False),
        (TOKEN | {"whitelist": ["ALWAYS"]}, False, False),
        (TOKEN | {"whitelist": "ALWAYS", "valid": False}, False, False),
        (TOKEN | {"whitelist": "ALWAYS", "valid": "true"}, False, False),
        ({"whitelist": "ALWAYS"}, False, False),
        (None, False, False),
    ],
)
def test_a_whitelist_counts_of_valid_tokens_only(token: dict[str, Any] | None, always: bool, offline: bool) -> None:
    """D-05."""
    raw = None if token is None else json.dumps(token).encode()
    assert (permits(raw, ALWAYS), permits(raw, OFFLINE)) == (always, offline)


@pytest.mark.parametrize(
    ("owner", "may"),
    [
        (a_platform("p2", (EMSP, Role.EMSP)), True),
        (a_platform("p2", (EMSP, Role.EMSP), is_online=False), True),
        (a_platform("p2", (EMSP, Role.EMSP), status=PlatformStatus.SUSPENDED), False),
        (a_platform("p2", (EMSP, Role.EMSP), status=PlatformStatus.UNREGISTERED), False),
        (a_platform("p2", (EMSP, Role.NSP)), False),
        (a_platform("p2", quarantined=((EMSP, Role.EMSP),)), False),
    ],
)
def test_the_hub_speaks_for_an_owner_that_is_registered(owner: Any, may: bool) -> None:
    """D-05, D-08, D-09."""
    assert may_speak_for(a_directory(a_platform("p1", (CPO, Role.CPO)), owner), _envelope(), EMSP) is may


def test_the_hub_does_not_speak_for_an_owner_without_an_agreement() -> None:
    platforms = a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP))
    assert not may_speak_for(a_directory(*platforms, agreements="explicit"), _envelope(), EMSP)


def test_what_the_hub_allows_has_the_whole_token_and_the_location() -> None:
    token, references = b'{"uid": "U1",  "x": 0.60}', b'{"location_id":"L1", "evse_uids":["E1"]}'
    info = allowed_info(token, references)
    assert {name: bytes(raw) for name, raw in info.items() if name != "allowed"} == {
        "token": token,
        "location": references,
    }
    for other in (b"", b"  ", b"{}", b"[]", b'"location_id"'):
        assert set(allowed_info(token, other)) == {"allowed", "token"}


def test_away_is_4002_and_4003() -> None:
    assert [code for code in (1000, 2004, 3000, 4000, 4001, 4002, 4003) if says_away(an_answer(code))] == [4002, 4003]
    assert not says_away(b"")
