"""OCPI's headers: what is read from them, what is written."""

import base64

import pytest

from hub.ocpi.headers import (
    CORRELATION_ID,
    REQUEST_ID,
    Routing,
    authorization,
    message_id,
    read_routing,
    routing_headers,
    text_headers,
    token_candidates,
)
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INVALID_PARAMETER, Refusal


def encoded(text: str) -> str:
    """The Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def test_an_encoded_token_is_tried_decoded_first_and_then_as_it_stands() -> None:
    assert token_candidates(f"Token {encoded('example-token')}") == ("example-token", "ZXhhbXBsZS10b2tlbg==")


def test_a_raw_token_outside_the_alphabet_is_itself_only() -> None:
    assert token_candidates("Token hub-0123") == ("hub-0123",)


@pytest.mark.parametrize("sample", ["ZXhhbXBsZS10b2tlbgo=", encoded("example-token\r\n"), encoded("example-token  ")])
def test_blanks_at_the_end_of_a_decoded_token_do_not_count(sample: str) -> None:
    assert token_candidates(f"Token {sample}")[0] == "example-token"


@pytest.mark.parametrize("word", ["Token", "token", "TOKEN"])
def test_the_scheme_is_read_in_any_case_and_with_more_blanks(word: str) -> None:
    assert token_candidates(f"{word}   hub-0123  ") == ("hub-0123",)


@pytest.mark.parametrize("value", [None, "", "Token", "Token ", "Tokenhub-0123", "Bearer hub-0123", "Basic aHViOg=="])
def test_another_scheme_or_no_parameter_gives_no_token(value: str | None) -> None:
    assert token_candidates(value) == ()


@pytest.mark.parametrize("parameter", ["====", "/w==", encoded("\n"), "a", "ä", "a-b", "YQ"])
def test_what_does_not_decode_to_text_is_itself_only(parameter: str) -> None:
    assert token_candidates(f"Token {parameter}") == (parameter,)


@pytest.mark.parametrize("token", ["example-token", "a", "tök€n", '!"~'])
def test_an_outbound_token_is_written_so_that_it_is_read_back(token: str) -> None:
    assert token_candidates(authorization(token, "base64"))[0] == token
    assert authorization(token, "raw") == f"Token {token}"


def test_an_outbound_token_is_standard_base64_without_a_line_feed() -> None:
    assert authorization("example-token", "base64") == "Token ZXhhbXBsZS10b2tlbg=="
    assert authorization("??>>~~", "base64") == "Token Pz8+Pn5+"


def test_header_names_are_read_in_any_case_and_the_first_of_a_repeated_one_counts() -> None:
    read = text_headers([(b"AUTHORIZATION", b" Token a "), (b"authorization", b"Token b"), (b"X-Request-Id", b"1")])

    assert read == {"authorization": "Token a", "x-request-id": "1"}


def test_header_values_are_utf_8_and_other_bytes_are_kept_as_latin_1() -> None:
    assert text_headers([(b"a", "é".encode()), (b"b", b"\xe9\xff")]) == {"a": "é", "b": "éÿ"}


def test_a_message_id_that_is_missing_empty_or_too_long_is_none() -> None:
    assert message_id({"x-request-id": "1"}, REQUEST_ID) == "1"
    for headers in ({}, {"x-request-id": ""}, {"x-request-id": "a" * 256}):
        assert message_id(headers, REQUEST_ID) is None
    assert message_id({"x-correlation-id": "a" * 255}, CORRELATION_ID) == "a" * 255


def routed(**parts: str) -> Routing | Refusal:
    """What is read from routing headers given as to_country_code and so on."""
    return read_routing({f"ocpi-{name.replace('_', '-')}": value for name, value in parts.items()})


def test_both_pairs_are_read_as_they_were_written() -> None:
    found = routed(to_country_code="De", to_party_id="mS1", from_country_code="NL", from_party_id="CP1")

    assert found == Routing(PartyId("De", "mS1"), PartyId("NL", "CP1"))


def test_pairs_that_are_missing_or_empty_are_none() -> None:
    assert routed() == Routing(None, None)
    assert routed(to_country_code="", to_party_id="") == Routing(None, None)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"to_party_id": "MS1"}, "OCPI-to-country-code"),
        ({"to_country_code": "DE"}, "OCPI-to-party-id"),
        ({"from_party_id": "CP1"}, "OCPI-from-country-code"),
        ({"from_country_code": "NL", "from_party_id": ""}, "OCPI-from-party-id"),
        ({"to_country_code": "DEU", "to_party_id": "MS1"}, "OCPI-to-country-code"),
        ({"to_country_code": "DE", "to_party_id": "MSP1"}, "OCPI-to-party-id"),
        ({"from_country_code": "NL", "from_party_id": "C 1"}, "OCPI-from-party-id"),
        ({"from_country_code": "NL", "from_party_id": "Cé"}, "OCPI-from-party-id"),
    ],
)
def test_half_a_pair_or_an_id_of_another_form_is_refused_by_its_name(parts: dict[str, str], named: str) -> None:
    refusal = routed(**parts)

    assert isinstance(refusal, Refusal)
    assert refusal.status is INVALID_PARAMETER
    assert named in refusal.message


def test_the_headers_of_a_leg_are_read_back() -> None:
    to_party, from_party = PartyId("DE", "MS1"), PartyId("NL", "CP1")
    written = {name.lower(): value for name, value in routing_headers(to_party, from_party).items()}

    assert read_routing(written) == Routing(to_party, from_party)
