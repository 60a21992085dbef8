"""Bytes and meanings: JSON without loss of numbers, the OCPI envelope, answers, and the Authorization header.

Numbers with a fraction become `Decimal` and are written back digit for digit, so `0.60` stays `0.60`.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class NotJsonError(ValueError):
    """Bytes that are not one JSON value in UTF-8."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before the headers that every answer carries. `status_code` is OCPI's, None where the body has none."""

    http_status: int = 200
    body: bytes = b""
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    content_type: str | None = "application/json"


def decode(raw: bytes) -> Any:
    """Read one JSON value.

    Raises:
        NotJsonError: with the reason.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from error


def encode(value: Any) -> bytes:
    """Write JSON; `msgspec.Raw` values are placed as they are."""
    return _encoder.encode(value)


def timestamp() -> str:
    """Give the moment as OCPI writes it, in milliseconds."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def parse_time(text: object) -> datetime | None:
    """Read an OCPI DateTime; none of a zone means UTC. None where it is not a time."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def accepted(data: Any = msgspec.UNSET, http_status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """Answer 1000. Without `data` the envelope has no such field."""
    envelope = {"status_code": 1000, "status_message": "Success", "timestamp": timestamp()}
    body = envelope if data is msgspec.UNSET else {"data": data, **envelope}
    return Reply(http_status, encode(body), 1000, headers)


def refused(status_code: int, message: str, http_status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """Answer an OCPI error in an envelope without data."""
    body = {"status_code": status_code, "status_message": message, "timestamp": timestamp()}
    return Reply(http_status, encode(body), status_code, headers)


def new_token() -> str:
    """Make a credentials token. The tilde stands outside the Base64 alphabet, so raw and encoded forms never collide."""
    return f"sim~{secrets.token_urlsafe(32)}"


def authorization(token: str) -> str:
    """Write the header value for a token (Base64, as OCPI 2.2.1 has it)."""
    return f"Token {base64.b64encode(token.encode()).decode()}"


def presented_tokens(header: str) -> tuple[str, ...]:
    """List the tokens that a header value can mean: Base64-decoded first, then the raw parameter."""
    scheme, _, parameter = header.partition(" ")
    if scheme.lower() != "token" or not parameter.strip():
        return ()
    raw = parameter.strip()
    try:
        decoded = base64.b64decode(raw, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return (raw,)
    return (decoded, raw)


def shortened(token: str | None) -> str | None:
    """Show a token without giving it away."""
    return None if token is None else f"{token[:3]}…"
