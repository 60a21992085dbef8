"""Who is asked, who answers, and what of a message is the hub's: the routing that needs more than one named party."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from tests.integration.exchange_rig import HUB, Came, Exchange, Got, Peer, ocpi
from tests.integration.hub_rig import change, faults, running_exchange
from tests.integration.partner_rig import a_location, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMAND_SECONDS = 1.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    folder = tmp_path_factory.mktemp("ingress")
    settings: dict[str, Any] = {"HUB_COMMAND_SECONDS": str(COMMAND_SECONDS), "HUB_AUTHORIZE_SECONDS": "1"}
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **settings) as rig:
        for peer, party in ((rig.cpo, "NL/CP2"), (rig.emsp, "DE/MS3")):
            role = "CPO" if peer is rig.cpo else "EMSP"
            insert = "insert into party (platform_id, country_code, party_id, role, is_invited) values ($1, $2, $3, $4, true)"
            await change(rig, insert, peer.platform_id, *party.split("/"), role)
        yield rig
        assert not faults(rig, "serve", "relay")


@pytest.fixture
def rig(running: Exchange) -> Exchange:
    """The running parts, with nothing remembered of the test before."""
    running.reset()
    return running


def _fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def _from(party: str) -> dict[str, str | None]:
    country_code, party_id = party.split("/")
    return {"OCPI-from-country-code": country_code, "OCPI-from-party-id": party_id}


def _parties(came: Came) -> tuple[str, str]:
    head = came.headers
    return (
        f"{head['ocpi-to-country-code']}/{head['ocpi-to-party-id']}",
        f"{head['ocpi-from-country-code']}/{head['ocpi-from-party-id']}",
    )


def _sides(got: Got) -> tuple[str, str]:
    return f"{got.headers['ocpi-to-country-code']}/{got.headers['ocpi-to-party-id']}", got.answered_by


async def test_a_token_leads_an_authorization_to_its_emsp(rig: Exchange) -> None:
    """OR-02 … OR-04, OR-08: by uid and type, RFID when the query has none."""
    uid = _fresh("T")
    for kind, emsp in (("RFID", rig.emsp), ("APP_USER", rig.other)):
        pushed = await rig.ask(
            emsp,
            "PUT",
            f"receiver/tokens/{emsp.party}/{uid}?type={kind}",
            to="NL/CPO",
            body={"uid": uid, "type": kind},
        )
        assert pushed.ocpi == 1000
    for query, emsp in (("", rig.emsp), ("?type=RFID", rig.emsp), ("?type=APP_USER", rig.other)):
        got = await rig.ask(rig.cpo, "POST", f"sender/tokens/{uid.lower()}/authorize{query}", to=HUB if query else None)
        assert _sides(got) == ("NL/CPO", emsp.party)
        (came,) = emsp.came
        assert came.target == f"/sender/tokens/{uid.lower()}/authorize{query}"
        assert _parties(came) == (emsp.party, "NL/CPO")
        assert came.body == b""
        assert "content-type" not in came.headers
        emsp.came.clear()


async def test_a_token_without_an_owner_is_asked_of_every_emsp(rig: Exchange) -> None:
    """AM-17, D-06: two of them on one platform, each addressed itself."""

    async def knows_it_not(_: Came) -> web.StreamResponse:
        return ocpi(2004, http=404)

    rig.emsp.script = rig.other.script = knows_it_not
    lost = await rig.ask(rig.cpo, "POST", f"sender/tokens/{_fresh('T')}/authorize?type=OTHER")
    assert (lost.http, lost.ocpi, lost.answered_by) == (404, 2004, HUB)
    asked = sorted(_parties(came) for peer in rig.peers for came in peer.came)
    assert asked == [("DE/MS1", "NL/CPO"), ("DE/MS3", "NL/CPO"), ("FR/MS2", "NL/CPO")]


async def test_a_location_leads_commands_and_questions_to_its_cpo(rig: Exchange) -> None:
    """OR-07, OR-08: learnt from a push to one party; of two owners nobody is guessed (AM-17)."""
    location = _fresh("L")
    path = f"receiver/locations/NL/CPO/{location}"
    assert (await rig.ask(rig.cpo, "PUT", path, to="DE/MS1", body={"id": location})).ocpi == 1000
    assert (await rig.ask(rig.cpo, "PUT", path, to="DE/MS1", body={"id": location})).ocpi == 1000
    body = {"location_id": location, "token": {}}
    for command in ("START_SESSION", "UNLOCK_CONNECTOR"):
        assert _sides(await rig.ask(rig.other, "POST", f"receiver/commands/{command}", body=body)) == (
            "FR/MS2",
            "NL/CPO",
        )
    assert (await rig.ask(rig.emsp, "GET", f"sender/locations/{location}/E1/1")).answered_by == "NL/CPO"
    assert rig.cpo.came[-1].target == f"/sender/locations/{location}/E1/1"

    again = path.replace("NL/CPO", "NL/CP2")
    assert (await rig.ask(rig.cpo, "PUT", again, to="DE/MS1", body={}, headers=_from("NL/CP2"))).ocpi == 1000
    assert (await rig.ask(rig.other, "POST", "receiver/commands/START_SESSION", body=body)).ocpi == 4001


async def test_a_reservation_leads_its_cancellation_to_the_cpo(rig: Exchange) -> None:
    """OR-08: ids of reservations are only unique within the party that reserves."""
    number = _fresh("R")
    body = {"reservation_id": number, "location_id": "L1", "expiry_date": "9999-12-31T23:59:59Z"}
    assert (await rig.ask(rig.emsp, "POST", "receiver/commands/RESERVE_NOW", to="NL/CPO", body=body)).ocpi == 1000
    cancel = {"reservation_id": number}
    assert (
        await rig.ask(rig.emsp, "POST", "receiver/commands/CANCEL_RESERVATION", body=cancel)
    ).answered_by == "NL/CPO"
    assert (await rig.ask(rig.other, "POST", "receiver/commands/CANCEL_RESERVATION", body=cancel)).ocpi == 4001
    assert [came.target for came in rig.cpo.came] == [
        "/receiver/commands/RESERVE_NOW",
        "/receiver/commands/CANCEL_RESERVATION",
    ]


async def test_a_session_leads_preferences_and_profiles_to_its_cpo_and_profiles_back(rig: Exchange) -> None:
    """RT-24, OR-08, CB-03, CB-10: the response_url of a GET or DELETE stands in its query."""
    session = _fresh("S")
    told = {"cdr_token": {"country_code": "DE", "party_id": "MS1"}}
    assert (await rig.ask(rig.cpo, "PUT", f"receiver/sessions/NL/CPO/{session}", body=told)).answered_by == "DE/MS1"
    prefer = await rig.ask(rig.emsp, "PUT", f"sender/sessions/{session}/charging_preferences", body={"x": 1})
    assert prefer.answered_by == "NL/CPO"
    own = f"{rig.emsp.url}/cb?a=1&b=%20"
    profile = {"response_url": own, "charging_profile": {}}
    assert (await rig.ask(rig.emsp, "PUT", f"receiver/chargingprofiles/{session}", body=profile)).ocpi == 1000
    encoded = (
        own.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F").replace("&", "%26").replace("%20", "%2520")
    )
    for method in ("GET", "DELETE"):
        asked = await rig.ask(
            rig.emsp, method, f"receiver/chargingprofiles/{session}?duration=9&response_url={encoded}&z=%2f"
        )
        assert asked.ocpi == 1000
    put, get, delete = rig.cpo.came[-3:]
    given = [json.loads(put.body)["response_url"]]
    for came in (get, delete):
        assert came.target.startswith(
            f"/receiver/chargingprofiles/{session}?duration=9&response_url=http%3A%2F%2F127.0.0.1"
        )
        assert came.target.endswith("&z=%2f")
        given += parse_qs(urlsplit(came.target).query)["response_url"]
    assert len(set(given)) == 3
    for url in given:
        assert url.startswith(f"{rig.url}/ocpi/2.2.1/sender/chargingprofiles/result/")
        assert (await rig.ask(rig.cpo, "POST", url, to="DE/MS1", body={"result": "ACCEPTED"})).ocpi == 1000
    assert [came.target for came in rig.emsp.came[-3:]] == ["/cb?a=1&b=%20"] * 3
    active = await rig.ask(rig.cpo, "PUT", f"sender/chargingprofiles/{session}", body={"start_date_time": "x"})
    assert active.answered_by == "DE/MS1"
    assert rig.emsp.came[-1].target == f"/sender/chargingprofiles/{session}"


async def test_only_the_response_url_of_a_command_is_changed(rig: Exchange) -> None:
    """CB-02, RT-15: every other byte stays, however often and however oddly it is written."""
    own = f"{rig.emsp.url}/cb"
    raw = (
        b'{ "location_id" : "L1", "response_\\u0075rl":"'
        + own.encode()
        + b'" ,\n "n": 0.60, "e": 1e2, "deep":{"response_url":"x"},'
        b' "response_url" : "' + own.replace("/", "\\/").encode() + b'", "caf\xc3\xa9": "\\u00e9\\ud83d\\udd0c" } '
    )
    got = await rig.ask(rig.emsp, "POST", "receiver/commands/START_SESSION", to="NL/CPO", raw=raw)
    assert got.ocpi == 1000
    sent = rig.cpo.came[0].body
    url = json.loads(sent)["response_url"]
    assert url.startswith(f"{rig.url}/ocpi/2.2.1/sender/commands/START_SESSION/")
    assert sent == raw.replace(b'"' + own.encode() + b'"', b'"%s"' % url.encode()).replace(
        b'"' + own.replace("/", "\\/").encode() + b'"', b'"%s"' % url.encode()
    )


async def test_a_result_comes_through_after_the_answer_came_too_late(rig: Exchange) -> None:
    """D-24, CB-05: the caller had 4002; the result still reaches the original URL."""
    seen: list[str] = []

    async def sleeps(came: Came) -> web.StreamResponse:
        seen.append(json.loads(came.body)["response_url"])
        await asyncio.sleep(COMMAND_SECONDS + 1)
        return ocpi()

    rig.cpo.script = sleeps
    body = {"location_id": "L1", "response_url": f"{rig.emsp.url}/cb/late"}
    got = await rig.ask(rig.emsp, "POST", "receiver/commands/START_SESSION", to="NL/CPO", body=body)
    assert (got.http, got.ocpi) == (200, 4002)
    result = await rig.ask(rig.cpo, "POST", seen[0], to="DE/MS1", body={"result": "ACCEPTED"})
    assert (result.ocpi, result.answered_by) == (1000, "DE/MS1")
    assert [came.target for came in rig.emsp.came] == ["/cb/late"]
    assert _parties(rig.emsp.came[0]) == ("DE/MS1", "NL/CPO")


async def test_a_url_of_the_hub_serves_for_what_it_was_made_for_only(rig: Exchange) -> None:
    """CB-06, CB-14, PG-10: the kind of URL, the platform, and for a page the very party."""

    async def answers(came: Came) -> web.StreamResponse:
        if came.method == "POST":
            return ocpi(headers={"Location": "/kept/1"})
        return ocpi(data=[], headers={"Link": f'<{rig.emsp.url}/p2>; rel="next"'})

    rig.emsp.script = answers
    cdr = (await rig.ask(rig.cpo, "POST", "receiver/cdrs", to="DE/MS1", body={"id": "C"})).headers["location"]
    page = (await rig.ask(rig.cpo, "GET", "sender/tokens", to="DE/MS1")).headers["link"].split(">")[0][1:]
    cdr_id, page_id = cdr.rpartition("/")[2], page.rpartition("=")[2]
    known = len(rig.emsp.came)
    wrong: tuple[tuple[str, str, Peer, dict[str, str | None]], ...] = (
        ("POST", f"sender/commands/START_SESSION/{cdr_id}", rig.cpo, {}),
        ("POST", f"sender/chargingprofiles/result/{cdr_id}", rig.cpo, {}),
        ("GET", f"receiver/cdrs/{page_id}", rig.cpo, {}),
        ("GET", f"sender/tokens?hub_page={cdr_id}", rig.cpo, {}),
        ("GET", page, rig.cpo, _from("NL/CP2")),
        ("GET", cdr, rig.emsp, {}),
    )
    for method, path, peer, headers in wrong:
        body = {"result": "ACCEPTED"} if method == "POST" else None
        got = await rig.ask(peer, method, path, to="DE/MS1", body=body, headers=dict(headers))
        assert (got.http, got.ocpi) == (404, 2001), path
    assert len(rig.emsp.came) == known
    for to in ("DE/MS1", HUB, None):
        assert (await rig.ask(rig.cpo, "GET", page, to=to)).answered_by == "DE/MS1"
        assert rig.emsp.came[-1].target == "/p2"
    assert (await rig.ask(rig.cpo, "GET", cdr)).ocpi == 1000
    assert rig.emsp.came[-1].target == "/kept/1"


TARGETS = [
    "sender/locations/a%2Fb",
    "sender/locations/a%2fb/%C3%A9",
    "sender/locations/a%20b?c=%20d&e=+f",
    "sender/locations/L1/",
    "sender/locations/L1//E1///1",
    "sender//locations//L1?",
    "sender/locations/L1?type=X&type=Y&&=&%zz",
    "sender/locations/!$&'()*+,;=:@-._~",
    "sender/locations/.hidden/..both../a.b",
    "sender/locations/100%25/50%",
    'sender/locations/{a}|b^`"<>',
]


@pytest.mark.parametrize("target", TARGETS)
async def test_path_and_query_arrive_byte_for_byte(rig: Exchange, target: str) -> None:
    """RT-12, D-22, AM-44."""
    got = await rig.ask(rig.emsp, "GET", target, to="NL/CPO")
    assert got.ocpi == 1000, got.content
    wanted = "/" + target.replace("sender//locations//", "sender/locations/").removesuffix("?")
    assert rig.cpo.came[0].target == wanted


@pytest.mark.parametrize("endpoint", ["/x/7f/loc?tenant=1", "/x/loc/", "/x/loc"])
async def test_an_endpoint_of_any_form_is_joined_with_one_slash(rig: Exchange, endpoint: str) -> None:
    """FM-07, RT-12."""
    where = f"where platform_id = '{rig.cpo.platform_id}' and module = 'locations' and interface = 'SENDER'"
    await change(rig, f"update endpoint set url = $1 {where}", rig.cpo.url + endpoint)
    await rig.ask(rig.emsp, "GET", "sender/locations/L1?a=b", to="NL/CPO")
    await rig.ask(rig.emsp, "GET", "sender/locations?limit=1", to="NL/CPO")
    await change(rig, f"update endpoint set url = $1 {where}", f"{rig.cpo.url}/sender/locations")
    base, _, own = endpoint.partition("?")
    queries = [f"{own}&a=b", f"{own}&limit=1"] if own else ["a=b", "limit=1"]
    assert [came.target for came in rig.cpo.came] == [
        f"{base.rstrip('/')}/L1?{queries[0]}",
        f"{base}?{queries[1]}",
    ]


async def test_parties_of_one_platform_are_told_apart_and_reach_each_other_not(rig: Exchange) -> None:
    """RT-09, TP-10: two requests over one token, each answered to and by its own party."""
    for sender, receiver in (("NL/CPO", "DE/MS1"), ("NL/CP2", "DE/MS3"), ("NL/CP2", "DE/MS1")):
        path = f"receiver/sessions/{sender}/S1"
        got = await rig.ask(rig.cpo, "PUT", path, to=receiver, body={}, headers=_from(sender))
        assert _sides(got) == (sender, receiver)
        assert _parties(rig.emsp.came[-1]) == (receiver, sender)
    same_role = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="NL/CP2", body={})
    assert same_role.ocpi == 4001


async def test_one_id_in_two_roles_is_found_by_what_it_is_asked_for(rig: Exchange) -> None:
    """RT-13, D-27: a CPO on one platform, an eMSP on another."""
    insert = (
        "insert into party (platform_id, country_code, party_id, role, is_invited) values ($1, 'BE', 'TWO', $2, true)"
    )
    for peer, role in ((rig.cpo, "CPO"), (rig.other, "EMSP")):
        await change(rig, insert, peer.platform_id, role)
    assert (await rig.ask(rig.emsp, "GET", "sender/locations/L1", to="BE/TWO")).answered_by == "BE/TWO"
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="BE/TWO", body={})).answered_by == "BE/TWO"
    assert (len(rig.cpo.came), len(rig.other.came), len(rig.emsp.came)) == (1, 1, 0)
    await change(rig, "delete from party where party_id = 'TWO'")


async def test_ids_are_made_where_the_caller_sends_none_and_kept_where_it_does(rig: Exchange) -> None:
    """ID-01 … ID-05, ID-07, AM-10."""
    without = {"X-Request-ID": None, "X-Correlation-ID": None}
    got = await rig.ask(rig.emsp, "GET", "sender/locations/L1", to="NL/CPO", headers=dict(without))
    came = rig.cpo.came[0]
    assert uuid.UUID(got.headers["x-request-id"]).version == 4
    assert came.headers["x-correlation-id"] == got.headers["x-correlation-id"]
    assert uuid.UUID(came.headers["x-request-id"]).version == 4
    assert came.headers["x-request-id"] != got.headers["x-request-id"]
    given: dict[str, str | None] = {"X-Request-ID": "774321", "X-Correlation-ID": "123456"}
    again = await rig.ask(rig.emsp, "GET", "sender/locations/L1", to="NL/CPO", headers=given)
    assert (again.headers["x-request-id"], again.headers["x-correlation-id"]) == ("774321", "123456")
    assert rig.cpo.came[1].headers["x-correlation-id"] == "123456"


async def test_from_is_inferred_where_only_one_party_fits(rig: Exchange) -> None:
    """AM-05; header names are read in any case (RT-05)."""
    none: dict[str, str | None] = {"OCPI-from-country-code": None, "OCPI-from-party-id": None}
    alone = await rig.ask(rig.other, "GET", "sender/locations/L1", to="NL/CPO", headers=dict(none))
    assert _sides(alone) == ("FR/MS2", "NL/CPO")
    several = await rig.ask(rig.emsp, "GET", "sender/locations/L1", to="NL/CPO", headers=dict(none))
    assert (several.http, several.ocpi) == (200, 2001)
    shouted: dict[str, str | None] = {**none, "OCPI-FROM-COUNTRY-CODE": "fr", "ocpi-from-PARTY-id": "ms2"}
    loud = await rig.ask(rig.other, "GET", "sender/locations/L1", to="nl/cpo", headers=shouted)
    assert loud.ocpi == 1000
    assert _parties(rig.cpo.came[-1])[1].upper() == "FR/MS2"


@pytest.mark.parametrize("interface", ["receiver/locations/NL/CPO/L1", "receiver/tariffs/NL/CPO/T1"])
async def test_the_hubs_own_copy_is_shown_to_its_owner_only(rig: Exchange, interface: str) -> None:
    """D-29, BP-10, AM-13."""
    owner = await rig.ask(rig.cpo, "GET", interface, to=HUB)
    assert (owner.http, owner.ocpi, owner.answered_by) == (404, 2003, HUB)
    stranger = await rig.ask(rig.emsp, "GET", interface, to=HUB)
    assert (stranger.http, stranger.ocpi) == (200, 2001)
    assert not any(peer.came for peer in rig.peers)


async def test_broadcasts_are_answered_by_the_hub_at_once(rig: Exchange) -> None:
    """BP-06, BP-08, D-31: 200, never 201; without TO too (AM-45)."""
    for to in (HUB, "nl/hub", None):
        body = a_location(country_code="NL", party_id="CPO", id="L1")
        got = await rig.ask(rig.cpo, "PUT", "receiver/locations/NL/CPO/L1", to=to, body=body)
        assert (got.http, got.ocpi, _sides(got)) == (200, 1000, ("NL/CPO", HUB))


async def test_sessions_and_cdrs_are_never_spread(rig: Exchange) -> None:
    """BP-11, D-01, D-04: TO = hub is open routing by content."""
    token = {"cdr_token": {"country_code": "FR", "party_id": "MS2"}}
    assert (await rig.ask(rig.cpo, "POST", "receiver/cdrs", to=HUB, body=token)).answered_by == "FR/MS2"
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S7", to=HUB, body=token)).answered_by == "FR/MS2"
    for body in ({}, {"cdr_token": {"country_code": "FR"}}, {"cdr_token": "FR/MS2"}, [token]):
        got = await rig.ask(rig.cpo, "POST", "receiver/cdrs", to=HUB, body=body)
        assert (got.http, got.ocpi) == (200, 2001)
    unknown = {"cdr_token": {"country_code": "XX", "party_id": "YYY"}}
    assert (await rig.ask(rig.cpo, "POST", "receiver/cdrs", to=HUB, body=unknown)).ocpi == 4001
    assert (len(rig.other.came), len(rig.emsp.came)) == (2, 0)


async def test_each_class_has_its_own_deadline(rig: Exchange) -> None:
    """D-07: authorize 1 s here, commands 1.5 s."""

    async def sleeps(_: Came) -> web.StreamResponse:
        await asyncio.sleep(3)
        return ocpi()

    rig.emsp.script = rig.cpo.script = sleeps
    loop = asyncio.get_running_loop()

    async def seconds(peer: Peer, path: str, to: str) -> float:
        begun = loop.time()
        got = await rig.ask(peer, "POST", path, to=to, body={"session_id": "S", "location_id": "L"})
        assert got.ocpi == 4002
        return loop.time() - begun

    authorize, command = await asyncio.gather(
        seconds(rig.cpo, "sender/tokens/U/authorize", "DE/MS1"),
        seconds(rig.emsp, "receiver/commands/STOP_SESSION", "NL/CPO"),
    )
    assert 0.9 < authorize < command
    assert command > COMMAND_SECONDS - 0.1


async def test_an_outcome_tells_each_leg(rig: Exchange) -> None:
    """Whoever asks for the correlation id later finds the legs; no body and no token is in the log of outcomes."""
    correlation_id = _fresh("c")
    got = await rig.ask(
        rig.emsp, "GET", "sender/locations/L1", to="NL/CPO", headers={"X-Correlation-ID": correlation_id}
    )
    assert got.ocpi == 1000
    await rig.start("ledger", "worker", "ledger")

    async def legs() -> bool:
        connection = await asyncpg.connect(rig.database_url)
        rows = await connection.fetch(
            "select leg, kind, verdict from exchange where correlation_id = $1", correlation_id
        )
        await connection.close()
        return {tuple(row) for row in rows} == {
            ("ingress", "request.answered", "answered"),
            ("relay", "delivery.attempted", "delivered"),
        }

    await eventually(legs, 15)
    await rig.end("ledger")
