"""OCPI's HTTP headers: routing pairs, message ids and the Authorization parameter.

Header values travel as text. Bytes that are not UTF-8 are carried as Latin-1 text, so nothing is lost and nothing raises.

Source: OCPI 2.2.1, transport_and_format § Authorization header, § Message Routing Headers, § Unique message IDs.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hub.ocpi.parties import PartyId
from hub.ocpi.status import INVALID_PARAMETER, Refusal

TO_COUNTRY_CODE: Final = "OCPI-to-country-code"
TO_PARTY_ID: Final = "OCPI-to-party-id"
FROM_COUNTRY_CODE: Final = "OCPI-from-country-code"
FROM_PARTY_ID: Final = "OCPI-from-party-id"
REQUEST_ID: Final = "X-Request-ID"
CORRELATION_ID: Final = "X-Correlation-ID"

_LOWER: Final = {
    name: name.lower()
    for name in (TO_COUNTRY_CODE, TO_PARTY_ID, FROM_COUNTRY_CODE, FROM_PARTY_ID, REQUEST_ID, CORRELATION_ID)
}

LONGEST_ID: Final = 255
"""Longest message id that is carried; the specification gives no limit, every header needs one."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The two pairs of a request, either may be missing."""

    to_party: PartyId | None
    from_party: PartyId | None


def text_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI headers by lower-case name; of a repeated header the first one counts."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        if key not in headers:
            headers[key] = _text(value)
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def read_routing(headers: Mapping[str, str], *, half_is_none: bool = False) -> Routing | Refusal:
    """The routing pairs of a request (lower-case header names).

    A half pair, or an id of another form than CiString(2)/CiString(3), is a refusal that names the header (RT-02, RT-22).
    With `half_is_none` a half pair counts as missing (D-15).
    """
    to_party = _pair(headers, TO_COUNTRY_CODE, TO_PARTY_ID, half_is_none)
    if isinstance(to_party, Refusal):
        return to_party
    from_party = _pair(headers, FROM_COUNTRY_CODE, FROM_PARTY_ID, half_is_none)
    if isinstance(from_party, Refusal):
        return from_party
    return Routing(to_party, from_party)


def _pair(
    headers: Mapping[str, str], country_name: str, party_name: str, half_is_none: bool
) -> PartyId | Refusal | None:
    country_code = headers.get(_LOWER[country_name])
    party_id = headers.get(_LOWER[party_name])
    if not country_code and not party_id:
        return None
    if not country_code or not party_id:
        if half_is_none:
            return None
        missing = party_name if country_code else country_name
        present = country_name if country_code else party_name
        return Refusal(INVALID_PARAMETER, f"{present} is given without {missing}: both or neither")
    if not PartyId.well_formed(country_code, party_id):
        return Refusal(
            INVALID_PARAMETER, f"{country_name} must have 2 and {party_name} 1 to 3 printable ASCII characters"
        )
    return PartyId(country_code, party_id)


def routing_headers(to_party: PartyId, from_party: PartyId) -> dict[str, str]:
    """The four headers for one leg."""
    return {
        TO_COUNTRY_CODE: to_party.country_code,
        TO_PARTY_ID: to_party.party_id,
        FROM_COUNTRY_CODE: from_party.country_code,
        FROM_PARTY_ID: from_party.party_id,
    }


def message_id(headers: Mapping[str, str], name: str) -> str | None:
    """The message id in `name`, or None where it is missing, empty or too long to carry (AM-10: the hub makes one)."""
    value = headers.get(_LOWER[name])
    return value if value and len(value) <= LONGEST_ID else None


def token_candidates(authorization: str | None) -> tuple[str, ...]:
    """The credentials tokens that an Authorization header may mean, likeliest first (AU-02, AU-03, AM-01, AM-02, D-14).

    The decoded Base64 comes first, then the parameter as it stands. Empty when the header is not of the `Token` scheme.
    """
    if not authorization:
        return ()
    scheme, _, parameter = authorization.partition(" ")
    parameter = parameter.strip()
    if scheme.lower() != "token" or not parameter:
        return ()
    decoded = _base64_text(parameter)
    return (decoded, parameter) if decoded else (parameter,)


def _base64_text(parameter: str) -> str | None:
    try:
        text = base64.b64decode(parameter, validate=True).decode("utf-8").rstrip()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return text or None


@lru_cache(maxsize=1024)
def authorization(token: str, encoding: str) -> str:
    """The Authorization value for an outbound token; `encoding` is `base64` or `raw` (AU-02, AU-03, AU-05)."""
    if encoding == "raw":
        return f"Token {token}"
    return "Token " + base64.b64encode(token.encode()).decode("ascii")
