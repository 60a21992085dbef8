"""How the receiver is found: scenario, requesting party, owner, destination, open routing and the plan of a call."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from hub.model.directory import PlatformStatus
from hub.model.envelope import Scenario
from hub.model.issued_url import IssuedKind, IssuedUrl
from hub.ocpi.headers import Routing
from hub.ocpi.modules import Interface, find
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import Refusal
from hub.routing.decide import Destination, decide
from hub.routing.incoming import Incoming, examine, find_operation, read_body
from hub.routing.open_keys import Lookup, RouteKind, Side
from hub.routing.plan import IssuedId, Plan, call_url, chosen, destination_now, parse, plan, question
from hub.routing.scenario import classify
from tests.unit.ocpi_objects import a_location, a_token
from tests.unit.routing_objects import CPO, EMSP, EMSP_ENDPOINTS, HUB, OTHER_EMSP, a_directory, a_platform, an_envelope

NOW = datetime(2026, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("module", "interface", "tail", "method", "names_party", "scenario"),
    [
        ("locations", "SENDER", "", "GET", False, Scenario.GET_ALL),
        ("locations", "SENDER", "", "GET", True, Scenario.DIRECT),
        ("locations", "SENDER", "L1", "GET", False, Scenario.OPEN),
        ("locations", "RECEIVER", "NL/CP1/L1", "PUT", False, Scenario.BROADCAST),
        ("locations", "RECEIVER", "NL/CP1/L1", "PUT", True, Scenario.DIRECT),
        ("locations", "RECEIVER", "NL/CP1/L1", "GET", False, Scenario.HELD),
        ("tariffs", "RECEIVER", "NL/CP1/T1", "DELETE", False, Scenario.BROADCAST),
        ("tokens", "SENDER", "U1/authorize", "POST", False, Scenario.OPEN),
        ("sessions", "RECEIVER", "NL/CP1/S1", "PATCH", False, Scenario.OPEN),
        ("sessions", "RECEIVER", "NL/CP1/S1", "GET", False, Scenario.OPEN),
        ("cdrs", "RECEIVER", "", "POST", False, Scenario.OPEN),
        ("cdrs", "RECEIVER", "abc", "GET", True, Scenario.CALLBACK),
        ("commands", "RECEIVER", "STOP_SESSION", "POST", False, Scenario.OPEN),
        ("commands", "SENDER", "STOP_SESSION/abc", "POST", True, Scenario.CALLBACK),
        ("chargingprofiles", "SENDER", "S1", "PUT", False, Scenario.OPEN),
    ],
)
def test_the_scenario_follows_from_url_and_to(
    module: str, interface: str, tail: str, method: str, names_party: bool, scenario: Scenario
) -> None:
    """RT-11, D-01, D-15, D-29, AM-14, AM-45."""
    match = find("2.2.1", module, Interface(interface), tail)
    assert match is not None
    operation = match.resource.operations[method]
    assert classify(operation, Interface(interface), names_party=names_party) is scenario


def _examine(
    module: str, interface: str, tail: str, method: str, value: object, **parties: PartyId
) -> Incoming | Refusal:
    directory = a_directory()
    platform = directory.platforms["p2" if parties.get("sender") in {EMSP} else "p1"]
    found = find_operation("2.2.1", module, interface, tail, method)
    assert not isinstance(found, Refusal)
    routing = Routing(parties.get("to"), parties.get("from_party", CPO))
    return examine(directory, platform, found, routing, {}, value)


def test_a_whole_location_to_the_hub_is_a_broadcast() -> None:
    incoming = _examine(
        "locations", "receiver", "NL/CP1/LOC1", "PUT", a_location(country_code="NL", party_id="CP1"), to=HUB
    )
    assert isinstance(incoming, Incoming), incoming
    assert incoming.scenario is Scenario.BROADCAST
    assert incoming.to_party is None


@pytest.mark.parametrize(
    ("tail", "changes", "said"),
    [
        ("NL/CP1/LOC1", {"country_code": "DE"}, "$.country_code"),
        ("NL/CP1/OTHER", {}, "$.id"),
        ("DE/ZZZ/LOC1", {}, "DE/ZZZ"),
        ("NL/CP1/LOC1", {"address": None}, "$.address"),
    ],
)
def test_a_contradicting_or_broken_broadcast_is_refused_with_its_place(
    tail: str, changes: dict[str, object], said: str
) -> None:
    """OB-07, OB-08, OB-09, D-30."""
    value = a_location(country_code="NL", party_id="CP1", id="LOC1") | changes
    refusal = _examine("locations", "receiver", tail, "PUT", value, to=HUB)
    assert isinstance(refusal, Refusal)
    assert (refusal.status.http, refusal.status.ocpi) == (200, 2001)
    assert said in refusal.message


def test_a_patch_to_all_without_last_updated_is_refused() -> None:
    """OB-03."""
    refusal = _examine("locations", "receiver", "NL/CP1/LOC1", "PATCH", {"name": "x"}, to=HUB)
    assert isinstance(refusal, Refusal)
    assert "$.last_updated" in refusal.message


def test_a_foreign_from_is_refused() -> None:
    """AU-14, D-09."""
    refusal = _examine("locations", "sender", "L1", "GET", None, from_party=OTHER_EMSP)
    assert isinstance(refusal, Refusal)
    assert "FR/MS2" in refusal.message


def test_only_the_owners_role_may_push() -> None:
    """OB-16."""
    refusal = _examine("tokens", "receiver", "NL/CP1/U1", "PUT", a_token(), to=HUB)
    assert isinstance(refusal, Refusal)
    assert "EMSP" in refusal.message


@pytest.mark.parametrize(
    ("token", "is_refused"),
    [
        ({"country_code": "FR", "party_id": "MS2", "uid": "U1"}, True),
        ({"country_code": "de", "party_id": "Ms1", "uid": "U1"}, False),
        ({"country_code": "FR", "uid": "U1"}, False),
        ({"country_code": "FR", "party_id": 7}, False),
        ({"country_code": "", "party_id": "MS2"}, False),
        ("FR/MS2", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("command", ["START_SESSION", "RESERVE_NOW"])
def test_a_command_with_a_token_of_another_party_is_refused_where_that_is_set(
    command: str, token: object, is_refused: bool
) -> None:
    """OB-15: a token that names no owner is for the receiver to judge (D-30)."""
    directory = a_directory()
    found = find_operation("2.2.1", "commands", "receiver", command, "POST")
    assert not isinstance(found, Refusal)
    routing, value = Routing(CPO, EMSP), {"token": token, "location_id": "L1"}
    platform = directory.platforms["p2"]

    usual = examine(directory, platform, found, routing, {}, value)
    strict = examine(directory, platform, found, routing, {}, value, only_own_tokens=True)

    assert isinstance(usual, Incoming)
    assert isinstance(strict, Refusal) is is_refused
    if isinstance(strict, Refusal):
        assert (strict.status.ocpi, "FR/MS2" in strict.message) == (2001, True)


def test_a_missing_from_is_inferred_where_one_party_fits() -> None:
    """AM-05."""
    directory = a_directory()
    found = find_operation("2.2.1", "locations", "sender", "L1", "GET")
    assert not isinstance(found, Refusal)
    incoming = examine(directory, directory.platforms["p2"], found, Routing(None, None), {}, None)
    assert isinstance(incoming, Incoming)
    assert incoming.from_party == EMSP


def test_a_quarantined_party_cannot_speak() -> None:
    """D-09."""
    extra = PartyId("NL", "XTR")
    directory = a_directory(a_platform("p1", (CPO, Role.CPO), quarantined=((extra, Role.CPO),)))
    found = find_operation("2.2.1", "locations", "sender", "L1", "GET")
    assert not isinstance(found, Refusal)
    assert isinstance(examine(directory, directory.platforms["p1"], found, Routing(None, extra), {}, None), Refusal)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"a": "\xff"}', b"", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    """ST-01."""
    found = find_operation("2.2.1", "locations", "receiver", "NL/CP1/L1", "PUT")
    assert not isinstance(found, Refusal)
    refusal = read_body(found[1], body)
    assert isinstance(refusal, Refusal)
    assert (refusal.status.http, refusal.status.ocpi) == (400, 2001)


def test_a_method_that_is_not_offered_says_what_is() -> None:
    refusal = find_operation("2.2.1", "tariffs", "receiver", "NL/CP1/T1", "PATCH")
    assert isinstance(refusal, Refusal)
    assert refusal.status.http == 405
    assert set(refusal.allow) == {"GET", "PUT", "DELETE"}


def test_one_id_with_two_roles_is_found_by_what_it_is_asked_for() -> None:
    """RT-13: NL/ABC is CPO on one platform and eMSP on another."""
    both = PartyId("NL", "ABC")
    directory = a_directory(
        a_platform("p1", (both, Role.CPO)),
        a_platform("p7", (both, Role.EMSP)),
        a_platform("p2", (EMSP, Role.EMSP)),
        a_platform("p4", (CPO, Role.CPO)),
    )
    to_cpo = decide(directory, EMSP, "p2", both, "tokens", Interface.RECEIVER)
    to_emsp = decide(directory, CPO, "p4", both, "sessions", Interface.RECEIVER)
    assert isinstance(to_cpo, Destination)
    assert isinstance(to_emsp, Destination)
    assert (to_cpo.platform_id, to_emsp.platform_id) == ("p1", "p7")


@pytest.mark.parametrize(
    ("to_party", "platform", "code"),
    [
        (PartyId("XX", "YYY"), None, 4001),
        (EMSP, a_platform("p2", (EMSP, Role.EMSP), is_online=False), 4003),
        (EMSP, a_platform("p2", (EMSP, Role.EMSP), status=PlatformStatus.SUSPENDED), 4003),
        (EMSP, a_platform("p2", (EMSP, Role.EMSP), endpoints=(("tokens", Interface.SENDER),)), 4000),
        (PartyId("NL", "CP2"), a_platform("p5", (PartyId("NL", "CP2"), Role.CPO)), 4001),
        (EMSP, a_platform("p2", (OTHER_EMSP, Role.EMSP), unlisted=((EMSP, Role.EMSP),)), 4003),
        (EMSP, a_platform("p2", (EMSP, Role.CPO), unlisted=((EMSP, Role.EMSP),)), 4003),
        (PartyId("NL", "CP2"), a_platform("p5", (EMSP, Role.EMSP), unlisted=((PartyId("NL", "CP2"), Role.CPO),)), 4001),
    ],
    ids=[
        "unknown",
        "offline",
        "suspended",
        "no such module",
        "same role, so not visible",
        "dropped by its platform",
        "dropped in the role that is asked for",
        "dropped, and not visible either",
    ],
)
def test_why_a_party_cannot_be_reached(to_party: PartyId, platform: object, code: int) -> None:
    """OF-03, OF-05, AM-28, CR-30."""
    platforms = [a_platform("p1", (CPO, Role.CPO))] + ([platform] if platform else [])
    refusal = decide(a_directory(*platforms), CPO, "p1", to_party, "locations", Interface.RECEIVER)  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert refusal.status.ocpi == code


def test_a_platform_that_is_suspended_by_now_reaches_nobody() -> None:
    """Its request was taken by a process that had not heard of it yet (D-08)."""
    directory = a_directory(
        a_platform("p1", (CPO, Role.CPO), status=PlatformStatus.SUSPENDED), a_platform("p2", (EMSP, Role.EMSP))
    )
    refusal = decide(directory, CPO, "p1", EMSP, "locations", Interface.RECEIVER)
    assert isinstance(refusal, Refusal)
    assert (refusal.status.http, refusal.status.ocpi) == (403, 2000)


def test_a_party_that_one_platform_drops_is_reached_where_another_lists_it() -> None:
    """CR-30, D-27."""
    directory = a_directory(
        a_platform("p1", (CPO, Role.CPO)),
        a_platform("p2", (OTHER_EMSP, Role.EMSP), unlisted=((EMSP, Role.EMSP),)),
        a_platform("p3", (EMSP, Role.NSP), endpoints=EMSP_ENDPOINTS),
    )
    found = decide(directory, CPO, "p1", EMSP, "locations", Interface.RECEIVER)
    assert isinstance(found, Destination)
    assert found.platform_id == "p3"


def test_addresses_compare_without_case() -> None:
    """RT-06."""
    assert isinstance(decide(a_directory(), CPO, "p1", PartyId("de", "mS1"), "cdrs", Interface.RECEIVER), Destination)


def test_without_an_agreement_nobody_is_known() -> None:
    directory = a_directory(
        a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP)), agreements="explicit"
    )
    refusal = decide(directory, CPO, "p1", EMSP, "locations", Interface.RECEIVER)
    assert isinstance(refusal, Refusal)
    assert refusal.status.ocpi == 4001


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"tail": "START_SESSION"}, Lookup(RouteKind.LOCATION, "L1", Side.OWNER)),
        (
            {"tail": "STOP_SESSION", "body": b'{"session_id": "s1"}'},
            Lookup(RouteKind.SESSION, "S1", Side.OWNER, EMSP),
        ),
        (
            {"tail": "CANCEL_RESERVATION", "body": b'{"reservation_id": "r1"}'},
            Lookup(RouteKind.RESERVATION, "DE/MS1*R1", Side.OWNER),
        ),
        (
            {"module": "tokens", "interface": Interface.SENDER, "tail": "u1/authorize", "query": "type=APP_USER"},
            Lookup(RouteKind.TOKEN, "U1:APP_USER", Side.OWNER),
        ),
        (
            {"module": "tokens", "interface": Interface.SENDER, "tail": "u1/authorize", "body": b""},
            Lookup(RouteKind.TOKEN, "U1:RFID", Side.OWNER),
        ),
        (
            {"module": "sessions", "method": "PATCH", "tail": "NL/CP1/s1", "from_party": CPO, "body": b"{}"},
            Lookup(RouteKind.SESSION, "S1", Side.COUNTERPART, CPO),
        ),
        (
            {"module": "cdrs", "tail": "", "body": b'{"cdr_token": {"country_code": "DE", "party_id": "MS1"}}'},
            EMSP,
        ),
        (
            {"module": "commands", "interface": Interface.SENDER, "tail": "START_SESSION/ab12"},
            IssuedId("ab12"),
        ),
    ],
)
def test_open_routing_asks_for_what_names_the_receiver(changes: dict[str, object], asked: object) -> None:
    """OR-08."""
    scenario = Scenario.CALLBACK if isinstance(asked, IssuedId) else Scenario.OPEN
    envelope = an_envelope(to_party=None, scenario=scenario, **changes)
    assert question(parse(envelope)) == asked


@pytest.mark.parametrize("found", [(), (CPO, PartyId("NL", "CP2"))])
def test_no_party_or_several_is_4001_and_never_a_guess(found: tuple[PartyId, ...]) -> None:
    """OR-09, AM-17."""
    refusal = chosen(Lookup(RouteKind.LOCATION, "L1", Side.OWNER), found)
    assert isinstance(refusal, Refusal)
    assert refusal.status.ocpi == 4001


def _plan(envelope: object, target: object) -> Plan | Refusal:
    return plan(
        parse(envelope),  # type: ignore[arg-type]
        target,  # type: ignore[arg-type]
        a_directory(),
        now=NOW,
        ocpi_url="https://hub.test/ocpi",
        url_id="ab" * 16,
        url_life=timedelta(days=1),
    )


def test_a_commands_response_url_becomes_one_of_the_hub() -> None:
    """CB-02, CB-06, D-24."""
    envelope = an_envelope()
    made = _plan(envelope, CPO)
    assert isinstance(made, Plan)
    assert made.body == envelope.body.replace(
        b"https://p2.test/cb/1", b"https://hub.test/ocpi/2.2.1/sender/commands/START_SESSION/" + b"ab" * 16
    )
    assert made.issued is not None
    assert made.issued.target_url == "https://p2.test/cb/1"
    assert made.issued.bound_platform_id == "p1"
    assert made.issued.target_party == EMSP


def test_a_response_url_in_the_query_is_replaced_there() -> None:
    """CB-03."""
    envelope = an_envelope(
        module="chargingprofiles",
        method="GET",
        tail="S1",
        body=b"",
        query="duration=9&response_url=https%3A%2F%2Fp2.test%2Fcb",
    )
    made = _plan(envelope, CPO)
    assert isinstance(made, Plan)
    assert made.query.startswith(
        "duration=9&response_url=https%3A%2F%2Fhub.test%2Focpi%2F2.2.1%2Fsender%2Fchargingprofiles"
    )


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "https://elsewhere.test/cb", "file:///etc/passwd", "https://x:y@p2.test/", "nonsense"],
)
def test_a_response_url_elsewhere_is_refused(url: str) -> None:
    """CB-15."""
    refusal = _plan(an_envelope(body=json.dumps({"response_url": url, "location_id": "L1"}).encode()), CPO)
    assert isinstance(refusal, Refusal)
    assert refusal.status.ocpi == 2001


def _issued(bound: str) -> IssuedUrl:
    return IssuedUrl("id", IssuedKind.COMMAND, bound, CPO, "p2", EMSP, "https://p2.test/cb/1?x=1", "c-1", None)


def test_a_callback_goes_to_the_original_url() -> None:
    """CB-04."""
    envelope = an_envelope(
        interface=Interface.SENDER,
        tail="START_SESSION/id",
        scenario=Scenario.CALLBACK,
        platform_id="p1",
        from_party=CPO,
    )
    made = _plan(envelope, _issued("p1"))
    assert isinstance(made, Plan)
    destination = destination_now(made, a_directory())
    assert isinstance(destination, Destination)
    assert (destination.party, call_url(made, destination)) == (EMSP, "https://p2.test/cb/1?x=1")


@pytest.mark.parametrize("target", [None, _issued("p3")], ids=["unknown", "of another platform"])
def test_an_issued_url_serves_only_its_platform(target: object) -> None:
    """CB-06, CB-14, PG-10."""
    envelope = an_envelope(
        interface=Interface.SENDER,
        tail="START_SESSION/id",
        scenario=Scenario.CALLBACK,
        platform_id="p1",
        from_party=CPO,
    )
    refusal = _plan(envelope, target)
    assert isinstance(refusal, Refusal)
    assert refusal.status.http == 404


def test_a_session_remembers_its_two_sides() -> None:
    """OR-08: a later PATCH or STOP_SESSION finds them."""
    envelope = an_envelope(
        module="sessions", method="PUT", tail="nl/cp1/s1", from_party=CPO, platform_id="p1", to_party=EMSP, body=b"{}"
    )
    made = _plan(envelope, EMSP)
    assert isinstance(made, Plan)
    (route,) = made.routes
    assert (route.kind, route.key, route.owner, route.counterpart) == (RouteKind.SESSION, "S1", CPO, EMSP)
