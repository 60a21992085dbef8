"""AU: authentication."""

import base64
import re

from tests.conformance.check import rule
from tests.conformance.objects import a_location, tail_of
from tests.conformance.party import encoded, new_id, pair, reply
from tests.conformance.world import World


def decoded(value: str | None) -> str:
    """The token in an Authorization value."""
    return base64.b64decode((value or "").partition(" ")[2]).decode()


async def test_every_request_of_the_hub_shows_the_receivers_token(world: World) -> None:
    await world.push(world.cp1, "locations", a_location(world.cp1.party), to="NL/MS1")
    seen = [(platform, entry) for platform in world.everyone for entry in platform.received]

    rule("AU-01").holds(len(seen) > 10, "too few requests were seen")
    rule("AU-01").equal([e.target for _, e in seen if len(e.all("Authorization")) != 1], [], "requests without it")
    form = re.compile(r"Token [A-Za-z0-9+/]+={0,2}")
    values = {entry.header("Authorization") or "" for _, entry in seen}
    rule("AU-02").equal([value for value in values if not form.fullmatch(value)], [], "values of another form")
    rule("AU-04").equal([v for v in values if decoded(v) != decoded(v).strip()], [], "tokens with white space")


async def test_the_token_of_a_peer_goes_out_in_base64(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        guest.token_b = "example-token"
        await world.register(guest)
        values = {entry.header("Authorization") for entry in guest.received}
        rule("AU-03").equal(values, {"Token ZXhhbXBsZS10b2tlbg=="}, "Authorization that the hub sends")


async def test_tokens_open_the_hub_raw_and_in_base64(world: World) -> None:
    url = world.operator.versions_url
    raw = await world.cp1.ask("GET", url, headers={"Authorization": f"Token {world.cp1.token}"})
    usual = await world.cp1.ask("GET", url)
    line_feed = base64.b64encode(f"{world.cp1.token}\n".encode()).decode()
    printed = await world.cp1.ask("GET", url, headers={"Authorization": f"Token {line_feed}"})

    rule("AU-05").equal((raw.code, usual.code), (1000, 1000), "codes for a raw and an encoded token")
    rule("AM-01").equal((raw.code, usual.code), (1000, 1000), "codes for a raw and an encoded token")
    rule("D-14").equal((raw.code, usual.code), (1000, 1000), "codes for a raw and an encoded token")
    rule("AM-02").equal(printed.code, 1000, "code for a token that decodes with a line feed")
    for platform in world.everyone:
        is_base64 = re.fullmatch(r"[A-Za-z0-9+/=]+", platform.token)
        rule("D-14").holds(not is_base64, "a token made by the hub has only letters of the Base64 alphabet")
        rule("AM-01").holds(not is_base64, "a token made by the hub could be Base64")


async def test_a_peer_that_takes_raw_tokens_only_gets_them(world: World) -> None:
    async with world.guest("EMSP", is_registered=False) as guest:
        guest.wants = f"Token {guest.token_b}"
        answer = await world.register(guest)
        correlation_id = new_id()
        await world.cp1.send(
            "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
        )
        got = [entry.header("Authorization") for entry in guest.got(correlation_id)]
        rule("AU-05").equal((answer.code, got), (1000, [guest.wants]), "code of the handshake, Authorization later")


async def test_without_a_known_token_everything_is_401(world: World) -> None:
    targets = [
        ("GET", world.operator.versions_url),
        ("GET", world.version_url),
        ("GET", world.cp1.hub_endpoints["credentials", "SENDER"]),
        ("GET", world.cp1.hub_endpoints["locations", "SENDER"]),
        ("PUT", world.cp1.hub_endpoints["locations", "RECEIVER"] + "/NL/CP1/L1"),
    ]
    for method, url in targets:
        correlation_id = new_id()
        ids = {"X-Correlation-ID": correlation_id} | pair("from", "NL/CP1") | pair("to", "NL/MS1")
        body: object = {} if method == "PUT" else None
        without = await world.cp1.ask(method, url, headers=ids, body=body, token=None)
        unknown = await world.cp1.ask(method, url, headers=ids, body=body, token="given-to-nobody~")
        basic = await world.cp1.ask(method, url, headers=ids | {"Authorization": "Basic YTpi"}, body=body)
        rule("AU-06").equal(
            (without.status, unknown.status, basic.status), (401, 401, 401), f"HTTP status of {method} {url}"
        )
        rule("FM-05").holds(
            all(isinstance(entry.code, int) and "timestamp" in entry.json for entry in (without, unknown)),
            "an answer 401 has no OCPI body",
        )
        rule("AU-06").equal(world.reached(correlation_id), {}, "platforms reached")


async def test_token_a_opens_versions_and_credentials_only(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        token_a = await world.invite(guest)
        await world.look(guest, token_a)
        rule("AU-07").holds(guest.hub_endpoints, "token A does not open versions")
        for (module, _), url in guest.hub_endpoints.items():
            if module in {"credentials", "version"}:
                continue
            answer = await guest.ask("GET", url, token=token_a, headers=pair("from", guest.party))
            rule("AU-07").equal(answer.status, 401, f"HTTP status of {url} with token A")


async def test_the_hubs_tokens_differ_and_are_printable(world: World) -> None:
    tokens = [platform.token for platform in world.everyone]
    for _ in range(5):
        async with world.guest("CPO", is_registered=False) as guest:
            tokens.append(await world.invite(guest))
            answer = await world.handshake(guest, tokens[-1])
            tokens.append(answer.data["token"])
    rule("AU-08").equal(len(set(tokens)), len(tokens), "number of different tokens")
    rule("AU-11").equal([t for t in tokens if not re.fullmatch(r"[\x21-\x7e]{1,64}", t)], [], "tokens of another form")


async def test_a_token_with_a_space_is_refused(world: World) -> None:
    async with world.guest("CPO", is_registered=False) as guest:
        answer = await world.handshake(guest, await world.invite(guest), token="has a space")
        rule("AU-11").equal(answer.pair, (200, 2001), "answer to credentials whose token has a space")


async def test_the_name_authorization_in_any_case(world: World) -> None:
    for name in ("authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"):
        answer = await world.cp1.ask("GET", world.operator.versions_url, headers={name: encoded(world.cp1.token)})
        rule("AU-09").equal(answer.code, 1000, f"code with {name}")


async def test_what_a_receiver_says_to_the_hubs_token_does_not_reach_the_caller(world: World) -> None:
    async with world.guest("EMSP") as guest:
        for status in (401, 403):
            correlation_id = new_id()
            guest.script(correlation_id, reply(2000, status=status, message="bad token"))
            answer = await world.cp1.send(
                "PUT", "RECEIVER", "locations", "/NL/CP1/L1", body={}, to=guest.party, correlation_id=correlation_id
            )
            if status == 401:
                rule("AU-13").equal(answer.pair, (200, 4003), "answer when the receiver answered 401")
            rule("AM-12").equal(answer.pair, (200, 4003), f"answer when the receiver answered {status}")


async def test_from_must_be_a_party_of_the_platform(world: World) -> None:
    location = a_location("NL/CP1")
    for sender in ("DE/CP2", "NL/MS1", "ZZ/ZZZ"):
        correlation_id = new_id()
        answer = await world.cp1.send(
            "PUT",
            "RECEIVER",
            "locations",
            tail_of(location),
            body=location,
            to="NL/MS1",
            sender=sender,
            correlation_id=correlation_id,
        )
        rule("AU-14").equal((answer.pair, world.reached(correlation_id)), ((200, 2001), {}), f"answer to {sender}")
        rule("AM-04").equal((answer.pair, world.reached(correlation_id)), ((200, 2001), {}), f"answer to {sender}")


async def test_two_parties_of_one_platform_use_one_token(world: World) -> None:
    for sender in ("DE/MS2", "BE/MS3"):
        correlation_id = new_id()
        tail = f"/{sender}/T-shared"
        answer = await world.ms2.send(
            "PUT", "RECEIVER", "tokens", tail, body={}, to="NL/CP1", sender=sender, correlation_id=correlation_id
        )
        got = [entry.party("from") for entry in world.cp1.got(correlation_id)]
        rule("TP-10").equal((answer.code, got), (1000, [sender]), "code, and FROM at the receiver")
