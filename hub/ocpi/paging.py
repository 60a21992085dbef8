"""Paging parameters of a list GET.

Source: OCPI 2.2.1, transport_and_format § Pagination. Rules PG-01 … PG-06, AM-40.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.ocpi.status import INVALID_PARAMETER, Refusal
from hub.ocpi.types import parse_datetime

TOTAL_COUNT: Final = "X-Total-Count"
LIMIT: Final = "X-Limit"
LINK: Final = "Link"


@dataclass(frozen=True, slots=True)
class Page:
    """What a client asked for. `limit` is already cut to the server's maximum; dates are UTC, from inclusive, to exclusive."""

    offset: int
    limit: int
    date_from: datetime | None
    date_to: datetime | None


def read_page(query: Mapping[str, str], largest: int) -> Page | Refusal:
    """Read `offset`, `limit`, `date_from` and `date_to`; nonsense is a refusal that names the parameter."""
    offset = _count(query, "offset", 0)
    if isinstance(offset, Refusal):
        return offset
    limit = _count(query, "limit", largest)
    if isinstance(limit, Refusal):
        return limit
    date_from = _moment(query, "date_from")
    if isinstance(date_from, Refusal):
        return date_from
    date_to = _moment(query, "date_to")
    if isinstance(date_to, Refusal):
        return date_to
    return Page(offset, min(limit, largest), date_from, date_to)


def _count(query: Mapping[str, str], name: str, default: int) -> int | Refusal:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        return Refusal(INVALID_PARAMETER, f"{name} must be a whole number, 0 or more")
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> datetime | Refusal | None:
    text = query.get(name)
    if text is None:
        return None
    moment = parse_datetime(text)
    if moment is None:
        return Refusal(INVALID_PARAMETER, f"{name} must be a date and time such as 2026-01-31T12:00:00Z")
    return moment
