"""The handshake's generators with scripted answers: what they ask, what they learn, what they refuse."""

import json
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import pytest

from hub.errors import AddressRefused, PartnerError, PartnerSilent, PartnerUnreachable
from hub.model.directory import OutboundToken
from hub.ocpi.headers import authorization
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import (
    CONNECT_BACK_FAILED,
    ENDPOINTS_MISSING,
    INVALID_PARAMETER,
    NO_COMMON_VERSION,
    Refusal,
    Status,
)
from hub.partners.client import Answer
from hub.registration.calls import LARGEST_ANSWER_BYTES, Call, Received
from hub.registration.handshake import TheirCredentials, Undecided, exchange, learn, read_credentials
from hub.registration.published import Learnt

T = TypeVar("T")
Scripted = Mapping[str, Received]

BASE = "https://p.test/ocpi"
VERSIONS = f"{BASE}/versions"
DETAILS = f"{BASE}/2.2.1"
TOKEN = OutboundToken("the-token-B")
SENDER, RECEIVER = Interface.SENDER, Interface.RECEIVER
CREDENTIALS_ENTRY = {"identifier": "credentials", "role": "SENDER", "url": f"{DETAILS}/credentials"}


def ok(data: Any) -> Answer:
    """A right answer with this data."""
    return raw({"data": data, "status_code": 1000, "timestamp": "2026-06-01T10:00:00Z"})


def raw(value: Any, http_status: int = 200) -> Answer:
    """An answer whose body is this JSON, or these bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Answer(http_status, {"content-type": "application/json"}, body, 1.0)


def versions(*entries: Any) -> Answer:
    """A list of versions; without entries the one that is spoken."""
    return ok(list(entries) or [{"version": "2.2.1", "url": DETAILS}])


def details(*endpoints: Any, version: str = "2.2.1") -> Answer:
    """Version details with a credentials endpoint beside these."""
    return ok({"version": version, "endpoints": [CREDENTIALS_ENTRY, *endpoints]})


def script(*, at_versions: Received | None = None, at_details: Received | None = None) -> dict[str, Received]:
    """A platform that answers right, except where said otherwise."""
    return {VERSIONS: at_versions or versions(), DETAILS: at_details or details()}


def play(flow: Generator[Call, Received, T], answers: Scripted) -> tuple[T, list[Call]]:
    """Drive a generator; a URL that is not scripted answers 404. A script may tell encodings apart by `raw URL`."""
    calls: list[Call] = []
    try:
        call = next(flow)
        while True:
            calls.append(call)
            own = answers.get(f"{call.token.encoding} {call.url}")
            call = flow.send(own or answers.get(call.url, raw({"status_code": 2000}, 404)))
    except StopIteration as done:
        return done.value, calls


def learnt(
    answers: Scripted, url: str = VERSIONS, *, wanted: str | None = "2.2.1", roles: tuple[Role, ...] = (Role.CPO,)
) -> Learnt:
    """What `learn` learns, which must be something."""
    result, _ = play(learn(url, TOKEN, wanted=wanted, roles=roles), answers)
    assert isinstance(result, Learnt), result
    return result


def refused(answers: Scripted, url: str = VERSIONS, *, wanted: str | None = "2.2.1") -> Refusal:
    """Why `learn` learns nothing."""
    result, _ = play(learn(url, TOKEN, wanted=wanted, roles=(Role.CPO,)), answers)
    assert isinstance(result, Refusal), result
    return result


def credentials(**changes: Any) -> dict[str, Any]:
    """A platform's Credentials object."""
    return {"token": "their-token", "url": VERSIONS, "roles": [role()], **changes}


def role(country_code: Any = "NL", party_id: Any = "ENE", name: Any = "CPO", **changes: Any) -> dict[str, Any]:
    """One entry of its roles."""
    details = {"name": "Example Energy"}
    return {"role": name, "party_id": party_id, "country_code": country_code, "business_details": details, **changes}


def test_versions_come_first_then_the_details_both_with_the_token() -> None:
    result, calls = play(learn(VERSIONS, TOKEN, wanted="2.2.1", roles=()), script())

    assert isinstance(result, Learnt)
    assert [(call.method, call.url, call.token, call.body) for call in calls] == [
        ("GET", VERSIONS, TOKEN, None),
        ("GET", DETAILS, TOKEN, None),
    ]
    assert (result.version, result.versions_url, result.token) == ("2.2.1", VERSIONS, TOKEN)


def test_endpoints_are_kept_by_module_and_interface() -> None:
    found = learnt(
        script(
            at_details=details(
                {"identifier": "locations", "role": "SENDER", "url": f"{DETAILS}/s/locations"},
                {"identifier": "locations", "role": "RECEIVER", "url": f"{DETAILS}/r/locations"},
            )
        )
    )

    assert found.endpoints == {
        ("credentials", SENDER): f"{DETAILS}/credentials",
        ("locations", SENDER): f"{DETAILS}/s/locations",
        ("locations", RECEIVER): f"{DETAILS}/r/locations",
    }


@pytest.mark.parametrize(
    "at_versions",
    [
        ok({"versions": [{"version": "2.2.1", "url": DETAILS}]}),
        raw([{"version": "2.2.1", "url": DETAILS}]),
        raw({"versions": [{"version": "2.2.1", "url": DETAILS}]}),
        raw({"data": [{"version": "2.2.1", "url": DETAILS}]}),
        raw({"data": [{"version": "2.2.1", "url": DETAILS}], "status_code": None}),
        raw({"data": [{"version": "2.2.1", "url": DETAILS}], "status_code": "Success"}),
        raw({"data": [{"version": "2.2.1", "url": DETAILS}], "status_code": "1000"}),
        raw({"data": [{"version": "2.2.1", "url": DETAILS}], "status_code": 1001, "languages": ["nl"]}),
        raw(b"\xef\xbb\xbf" + json.dumps({"data": [{"version": "2.2.1", "url": DETAILS}]}).encode()),
        raw({"data": [{"version": " 2.2.1", "url": f"  {DETAILS}\n"}], "status_code": 1000}),
    ],
    ids=[
        "wrapped",
        "bare list",
        "bare wrapped",
        "data only",
        "code null",
        "Success",
        "text",
        "vendor",
        "BOM",
        "blanks",
    ],
)
def test_lists_of_versions_of_every_form_in_the_field_are_read(at_versions: Answer) -> None:
    assert learnt(script(at_versions=at_versions)).version == "2.2.1"


@pytest.mark.parametrize("bare", [False, True])
def test_details_are_read_wrapped_or_bare(bare: bool) -> None:
    data = {"version": "2.2.1", "endpoints": [CREDENTIALS_ENTRY]}

    assert learnt(script(at_details=raw(data) if bare else ok(data))).endpoints


@pytest.mark.parametrize(
    "entry",
    [
        {"version": "3.0", "url": f"{BASE}/3.0"},
        {"version": "2.2.1-d2", "url": f"{BASE}/x"},
        {"version": 2.2, "url": f"{BASE}/x"},
        {"version": "2.2"},
        {"url": BASE},
        {"version": "2.2.1", "url": 5},
        {"version": "2.2.1", "url": "https://[broken"},
        {"version": "2.2.1", "url": "ftp://p.test/"},
        {"version": "2.2.1", "url": "https://p.test/\x00"},
        "2.2.1",
        None,
        [],
    ],
)
def test_entries_that_cannot_be_used_are_passed_over(entry: Any) -> None:
    assert learnt(script(at_versions=versions(entry, {"version": "2.2.1", "url": DETAILS}))).version == "2.2.1"


def test_of_a_version_listed_twice_the_first_counts() -> None:
    twice = versions({"version": "2.2.1", "url": DETAILS}, {"version": "2.2.1", "url": f"{BASE}/other"})

    assert learnt(script(at_versions=twice)).endpoints


def test_as_sender_the_newest_version_that_both_speak_is_chosen() -> None:
    offered = versions(
        {"version": "2.1.1", "url": f"{BASE}/2.1.1"},
        {"version": "2.2.1", "url": DETAILS},
        {"version": "9.9", "url": f"{BASE}/9.9"},
    )

    assert learnt(script(at_versions=offered), wanted=None).version == "2.2.1"


@pytest.mark.parametrize("wanted", ["2.2.1", None])
def test_a_platform_without_a_common_version_is_3002(wanted: str | None) -> None:
    offered = versions({"version": "2.1.1", "url": f"{BASE}/2.1.1"})

    assert refused(script(at_versions=offered), wanted=wanted).status is NO_COMMON_VERSION


@pytest.mark.parametrize("data", [[], {}, None, "2.2.1", {"versions": {}}])
def test_a_list_of_versions_that_is_none_is_3002(data: Any) -> None:
    assert refused(script(at_versions=ok(data))).status is NO_COMMON_VERSION


def test_a_details_url_in_place_of_the_versions_url_is_taken() -> None:
    found = learnt({DETAILS: details()}, DETAILS)

    assert (found.version, found.versions_url) == ("2.2.1", DETAILS)


def test_a_details_url_of_another_version_is_3002() -> None:
    assert refused({DETAILS: details(version="2.1.1")}, DETAILS).status is NO_COMMON_VERSION


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
@pytest.mark.parametrize("answer", [raw({"status_code": 2000}, 404), raw(b"<html>", 200), raw(b"", 302)])
def test_a_roles_base_in_place_of_the_versions_url_is_taken(base: str, answer: Answer) -> None:
    found = learnt({base: answer, **script()}, base)

    assert found.versions_url == VERSIONS


def test_a_versions_url_that_is_missing_is_not_looked_for_below_itself() -> None:
    _, calls = play(learn(f"{VERSIONS}/", TOKEN, wanted="2.2.1", roles=()), {})

    assert [call.url for call in calls] == [f"{VERSIONS}/"]


@pytest.mark.parametrize("http_status", [401, 403])
def test_a_raw_token_is_learnt_where_the_encoded_one_is_refused(http_status: int) -> None:
    refusing = raw({"status_code": 2001}, http_status)
    answers = {f"base64 {VERSIONS}": refusing, f"base64 {DETAILS}": refusing, **script()}

    found = learnt(answers)

    assert found.token == OutboundToken(TOKEN.value, "raw")
    assert authorization(found.token.value, found.token.encoding) == "Token the-token-B"


def test_a_raw_token_is_learnt_below_a_roles_base_too() -> None:
    answers = {BASE: raw(b"", 404), f"base64 {VERSIONS}": raw(b"", 401), **script()}

    assert learnt(answers, BASE).token.encoding == "raw"


def test_a_token_that_is_refused_in_both_forms_is_tried_no_further() -> None:
    result, calls = play(learn(BASE, TOKEN, wanted="2.2.1", roles=()), {BASE: raw({"status_code": 2000}, 401)})

    assert isinstance(result, Refusal)
    assert "401" in result.message
    assert [(call.url, call.token.encoding) for call in calls] == [(BASE, "base64"), (BASE, "raw")]


def test_blanks_in_urls_are_taken_out() -> None:
    spaced = {"identifier": "locations", "role": "SENDER", "url": " https:// p.test/ocpi/locations "}

    found = learnt(script(at_details=details(spaced)), f"  {VERSIONS} ")

    assert found.versions_url == VERSIONS
    assert found.endpoints["locations", SENDER] == "https://p.test/ocpi/locations"


def test_slashes_at_the_end_of_urls_stay() -> None:
    entry = {"identifier": "locations", "role": "SENDER", "url": f"{DETAILS}/locations/?tenant=1"}

    assert learnt(script(at_details=details(entry))).endpoints["locations", SENDER] == entry["url"]


def test_relative_urls_are_read_from_where_they_stand() -> None:
    answers = {
        VERSIONS: versions({"version": "2.2.1", "url": "/deep/2.2.1/"}),
        "https://p.test/deep/2.2.1/": details({"identifier": "tokens", "role": "RECEIVER", "url": "tokens"}),
    }

    assert learnt(answers).endpoints["tokens", RECEIVER] == "https://p.test/deep/2.2.1/tokens"


@pytest.mark.parametrize(
    ("role_of_platform", "expected"),
    [
        (Role.CPO, {("locations", SENDER), ("tokens", RECEIVER), ("commands", RECEIVER)}),
        (Role.EMSP, {("locations", RECEIVER), ("tokens", SENDER), ("commands", SENDER)}),
    ],
)
@pytest.mark.parametrize("word", [None, "", "OWNER", 5])
def test_an_endpoint_without_a_role_gets_the_usual_one_of_its_platform(
    role_of_platform: Role, expected: set[Any], word: Any
) -> None:
    plain = [
        {"identifier": module, "url": f"{DETAILS}/{module}", "role": word}
        for module in ("locations", "tokens", "commands")
    ]

    found = learnt(script(at_details=details(*plain)), roles=(role_of_platform,))

    assert set(found.endpoints) == expected | {("credentials", SENDER)}


def test_an_endpoint_without_a_role_serves_both_interfaces_of_a_platform_of_both_roles() -> None:
    plain = {"identifier": "locations", "url": f"{DETAILS}/locations"}

    found = learnt(script(at_details=details(plain)), roles=(Role.CPO, Role.EMSP))

    assert {key for key in found.endpoints if key[0] == "locations"} == {("locations", SENDER), ("locations", RECEIVER)}


def test_a_role_that_is_said_wins_over_one_that_is_not() -> None:
    plain = {"identifier": "locations", "url": f"{DETAILS}/old"}
    said = {"identifier": "locations", "role": "SENDER", "url": f"{DETAILS}/new"}

    assert learnt(script(at_details=details(plain, said))).endpoints["locations", SENDER] == said["url"]


def test_of_an_endpoint_listed_twice_the_first_counts() -> None:
    first, second = (
        {"identifier": "locations", "role": "SENDER", "url": f"{DETAILS}/{name}"} for name in ("first", "second")
    )

    assert learnt(script(at_details=details(first, second))).endpoints["locations", SENDER] == first["url"]


def test_roles_and_identifiers_are_read_without_case() -> None:
    odd = {"identifier": " Locations ", "role": "sender", "url": f"{DETAILS}/x"}

    assert ("locations", SENDER) in learnt(script(at_details=details(odd))).endpoints


@pytest.mark.parametrize("word", ["RECEIVER", "SENDER", None])
def test_the_role_of_the_credentials_endpoint_does_not_matter(word: str | None) -> None:
    entry = {**CREDENTIALS_ENTRY, "role": word}
    answer = ok({"version": "2.2.1", "endpoints": [entry]})

    assert learnt(script(at_details=answer)).endpoints == {("credentials", SENDER): CREDENTIALS_ENTRY["url"]}


def test_unknown_modules_are_kept() -> None:
    custom = {"identifier": "nltnm-tokens", "role": "SENDER", "url": f"{DETAILS}/x"}

    assert ("nltnm-tokens", SENDER) in learnt(script(at_details=details(custom))).endpoints


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "locations",
        {"identifier": "locations"},
        {"identifier": 5, "role": "SENDER", "url": DETAILS},
        {"identifier": "loca\x00tions", "role": "SENDER", "url": DETAILS},
        {"identifier": "x" * 65, "role": "SENDER", "url": DETAILS},
        {"identifier": "", "role": "SENDER", "url": DETAILS},
        {"identifier": "locations", "role": "SENDER", "url": "https://[broken"},
        {"identifier": "locations", "role": "SENDER", "url": "https://p.test/\x00"},
        {"identifier": "locations", "role": "SENDER", "url": "javascript:alert(1)"},
        {"identifier": "locations", "role": "SENDER", "url": "https://p.test/" + "a" * 3000},
    ],
)
def test_endpoints_that_cannot_be_used_are_passed_over(entry: Any) -> None:
    assert list(learnt(script(at_details=details(entry))).endpoints) == [("credentials", SENDER)]


def test_a_list_of_endpoints_without_end_is_read_to_a_limit() -> None:
    many = [{"identifier": f"m{number}", "role": "SENDER", "url": DETAILS} for number in range(3000)]

    assert len(learnt(script(at_details=details(*many))).endpoints) == 500


def test_details_without_credentials_are_3003() -> None:
    assert refused(script(at_details=ok({"version": "2.2.1", "endpoints": []}))).status is ENDPOINTS_MISSING


@pytest.mark.parametrize("data", [None, [], {}, {"version": "2.2.1"}, {"version": "2.2.1", "endpoints": {}}])
def test_details_that_are_none_are_3001(data: Any) -> None:
    assert refused(script(at_details=ok(data))).status is CONNECT_BACK_FAILED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (PartnerUnreachable("no connection in time"), "no connection in time"),
        (PartnerSilent("no answer within 10.0 s"), "no answer within"),
        (raw(b"", 500), "HTTP 500"),
        (raw({"status_code": 3000, "status_message": "Sorry"}, 503), "HTTP 503 (Sorry)"),
        (raw(b"<html>", 200), "not JSON"),
        (raw(b"\xff\xfe", 200), "not JSON"),
        (raw(b'{"data": "\xe9"}', 200), "not JSON"),
        (raw(b"[" * 100_000, 200), "not JSON"),
        (raw(b'"2.2.1"', 200), "neither an OCPI answer nor a list"),
        (raw({"status_code": 2001, "status_message": "No"}), "OCPI status 2001 (No)"),
        (raw({"status_code": {"a": ["b"] * 100}}), "OCPI status"),
        (raw(b"[" + b"1," * LARGEST_ANSWER_BYTES + b"1]"), "more than"),
    ],
)
@pytest.mark.parametrize("at", ["at_versions", "at_details"])
def test_a_platform_that_cannot_be_used_is_3001_with_the_call_and_the_reason(
    answer: Received, said: str, at: str
) -> None:
    refusal = refused(script(**{at: answer}))

    assert refusal.status is CONNECT_BACK_FAILED
    assert said in refusal.message
    assert refusal.message.startswith(f"GET {VERSIONS if at == 'at_versions' else DETAILS}: ")
    assert len(refusal.message) < 400


def test_what_a_refused_address_resolved_to_is_not_told() -> None:
    refusal = refused(script(at_versions=AddressRefused("10.1.2.3 is not a public address")))

    assert refusal.status is CONNECT_BACK_FAILED
    assert "10.1.2.3" not in refusal.message
    assert "may not call this URL" in refusal.message


def test_a_message_of_the_platform_is_quoted_without_tokens_and_control_characters() -> None:
    encoded = authorization(TOKEN.value, "base64").removeprefix("Token ")
    said = f"\x1b[31m{TOKEN.value} or {encoded} is wrong\n"

    refusal = refused(script(at_versions=raw({"status_code": 2001, "status_message": said}, 500)), VERSIONS)

    assert TOKEN.value not in refusal.message
    assert encoded not in refusal.message
    assert refusal.message.isprintable()
    assert "the… or the… is wrong" in refusal.message


def test_queries_of_urls_are_not_quoted() -> None:
    refusal = refused({f"{VERSIONS}?key=secret": raw(b"", 500)}, f"{VERSIONS}?key=secret")

    assert "secret" not in refusal.message


def a_platform(answer: Received) -> tuple[TheirCredentials | Refusal | Undecided, Call]:
    """What comes of PUTting credentials at a platform that answers so, and the call."""
    published = Learnt("2.2.1", VERSIONS, {("credentials", SENDER): CREDENTIALS_ENTRY["url"]}, TOKEN)
    result, calls = play(
        exchange("PUT", published, {"token": "offered-token", "url": "https://hub.test/versions"}),
        {CREDENTIALS_ENTRY["url"]: answer},
    )
    [call] = calls
    return result, call


def test_the_hubs_credentials_go_to_the_platforms_endpoint_and_its_own_come_back() -> None:
    result, call = a_platform(ok(credentials()))

    assert (call.method, call.url, call.token) == ("PUT", CREDENTIALS_ENTRY["url"], TOKEN)
    assert call.body == {"token": "offered-token", "url": "https://hub.test/versions"}
    assert isinstance(result, TheirCredentials)
    assert (result.token, result.url) == ("their-token", VERSIONS)


@pytest.mark.parametrize("http_status", [200, 201])
def test_created_is_as_good_as_ok(http_status: int) -> None:
    answer = raw({"data": credentials(), "status_code": 1000}, http_status)

    assert isinstance(a_platform(answer)[0], TheirCredentials)


def test_credentials_without_an_envelope_are_read() -> None:
    assert isinstance(a_platform(raw(credentials()))[0], TheirCredentials)


@pytest.mark.parametrize(
    "answer",
    [
        raw({"status_code": 2001}, 400),
        raw({"status_code": 2000}, 405),
        raw(b"", 404),
        raw({"status_code": 3001}),
        raw({"status_code": 2001}),
        PartnerUnreachable("no connection"),
        AddressRefused("10.0.0.1"),
    ],
)
def test_a_platform_that_has_refused_or_was_never_asked_has_not_switched(answer: Received) -> None:
    result, _ = a_platform(answer)

    assert isinstance(result, Refusal)
    assert result.status is CONNECT_BACK_FAILED


@pytest.mark.parametrize(
    "answer",
    [
        PartnerSilent("no answer within 10.0 s"),
        raw(b"", 500),
        raw({"status_code": 3000}, 502),
        raw(b"OK", 200),
        raw(b"", 204),
        ok(None),
        ok(credentials(token="has a blank")),
        ok(credentials(roles=[])),
        ok({key: value for key, value in credentials().items() if key != "token"}),
    ],
)
def test_a_platform_that_may_have_switched_is_undecided(answer: Received) -> None:
    result, _ = a_platform(answer)

    assert isinstance(result, Undecided)
    assert result.refusal.status is CONNECT_BACK_FAILED


def test_neither_token_is_quoted_from_an_answer_to_the_hubs_credentials() -> None:
    result, _ = a_platform(raw({"status_code": 2001, "status_message": "offered-token and the-token-B"}))

    assert isinstance(result, Refusal)
    assert "offered-token" not in result.message
    assert TOKEN.value not in result.message


def test_tokens_do_not_show_when_a_call_or_credentials_are_printed() -> None:
    result, call = a_platform(ok(credentials()))

    for shown in (repr(result), repr(call), str(call)):
        assert "their-token" not in shown
        assert "offered-token" not in shown
        assert TOKEN.value not in shown


def test_credentials_are_read_with_folded_parties_and_their_business_details() -> None:
    found = read_credentials("2.2.1", credentials(roles=[role("nl", "ene", "CPO"), role("NL", "ENE", " emsp ")]))

    assert isinstance(found, TheirCredentials)
    assert [(entry.party, entry.role) for entry in found.roles] == [
        (PartyId("NL", "ENE"), Role.CPO),
        (PartyId("NL", "ENE"), Role.EMSP),
    ]
    assert json.loads(found.roles[0].business_details) == {"name": "Example Energy"}
    assert found.roles[0].name == "Example Energy"


def test_a_name_of_a_party_is_one_printable_line() -> None:
    name = "\x1b[1m  Example\n\tEnergy \u2028 " + "x" * 200
    found = read_credentials("2.2.1", credentials(roles=[role(business_details={"name": name})]))

    assert isinstance(found, TheirCredentials)
    assert found.roles[0].name.startswith("[1m Example Energy x")
    assert found.roles[0].name.isprintable()
    assert len(found.roles[0].name) == 100


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, "$"),
        ([], "$"),
        ({}, "$.token"),
        (credentials(token=None), "$.token"),
        (credentials(token=5), "$.token"),
        (credentials(token=""), "$.token"),
        (credentials(token="two words"), "$.token"),
        (credentials(token="tab\t"), "$.token"),
        (credentials(token="newline\n"), "$.token"),
        (credentials(token="é"), "$.token"),
        (credentials(token="x" * 65), "$.token"),
        (credentials(url=None), "$.url"),
        (credentials(url="/versions"), "$.url"),
        (credentials(url="ftp://p.test/"), "$.url"),
        (credentials(url="https://[broken"), "$.url"),
        (credentials(url="https://p.test/" + "a" * 3000), "$.url"),
        (credentials(roles=None), "$.roles"),
        (credentials(roles=[]), "$.roles"),
        (credentials(roles={}), "$.roles"),
        (credentials(roles=["CPO"]), "$.roles[0]"),
        (credentials(roles=[role(name="DRIVER")]), "$.roles[0].role"),
        (credentials(roles=[role("NLD")]), "$.roles[0]"),
        (credentials(roles=[role("N")]), "$.roles[0]"),
        (credentials(roles=[role("NL", "ENEC")]), "$.roles[0]"),
        (credentials(roles=[role("NL", "")]), "$.roles[0]"),
        (credentials(roles=[role("NL", "É")]), "$.roles[0]"),
        (credentials(roles=[role(business_details=None)]), "$.roles[0].business_details"),
        (credentials(roles=[role(business_details={})]), "$.roles[0].business_details.name"),
        (credentials(roles=[role(business_details={"name": "a\x00b"})]), "$.roles[0].business_details.name"),
        (credentials(roles=[role(), role()]), "$.roles[1]"),
        (credentials(roles=[role("NL", "ENE"), role("nl", "ene")]), "$.roles[1]"),
    ],
)
def test_credentials_that_cannot_be_used_are_2001_with_the_place(value: Any, place: str) -> None:
    found = read_credentials("2.2.1", value)

    assert isinstance(found, Refusal)
    assert found.status is INVALID_PARAMETER
    assert found.message.startswith(place)


def test_a_token_of_every_permitted_character_and_length_is_taken() -> None:
    for token in ("!", "~" * 64, "abc==", '"quoted\\'):
        assert isinstance(read_credentials("2.2.1", credentials(token=token)), TheirCredentials)


@pytest.mark.parametrize("error", [PartnerUnreachable("x"), PartnerSilent("x"), AddressRefused("x")])
def test_every_error_of_the_client_is_an_answer_to_the_generator(error: PartnerError) -> None:
    status: Status = refused(script(at_versions=error)).status

    assert status is CONNECT_BACK_FAILED
