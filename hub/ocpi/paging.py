"""Paging of a list GET: its parameters, and the cursor that a `Link` carries.

Source: OCPI 2.2.1, transport_and_format § Pagination. Rules PG-01 … PG-06, AM-40; decision D-13.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hub.ocpi.status import INVALID_PARAMETER, Refusal
from hub.ocpi.types import parse_datetime

TOTAL_COUNT: Final = "X-Total-Count"
LIMIT: Final = "X-Limit"
LINK: Final = "Link"
CURSOR: Final = "cursor"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_BIGINT: Final = 2**63 - 1
_CURSOR_FORM: Final = re.compile(r"1\.(\d{1,19})\.(\d{1,16}|-)\.(.+)", re.ASCII | re.DOTALL)
_LONGEST_CURSOR: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """What a client asked for. `limit` is already cut to the server's maximum; dates are UTC, from inclusive, to exclusive."""

    offset: int
    limit: int
    date_from: datetime | None
    date_to: datetime | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a crawl goes on: behind the object numbered `after`.

    `began_at` is the moment before its first page, None unless the crawl began at the first object and without dates: only such a
    crawl shows everything. `scope` names what is crawled and by whom, so that no cursor is followed elsewhere.
    """

    after: int
    began_at: datetime | None
    scope: str

    def text(self) -> str:
        """How a URL carries it; clients are to take it as it is."""
        began = "-" if self.began_at is None else str((self.began_at - _EPOCH) // timedelta(microseconds=1))
        return base64.urlsafe_b64encode(f"1.{self.after}.{began}.{self.scope}".encode()).decode().rstrip("=")


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


def read_cursor(query: Mapping[str, str], scope: str) -> Cursor | Refusal | None:
    """The cursor of a `Link` that was made for this scope; None on a first page."""
    text = query.get(CURSOR)
    if text is None:
        return None
    found = _CURSOR_FORM.fullmatch(_plain(text))
    if found is None or int(found[1]) > _LARGEST_BIGINT or found[3] != scope:
        return Refusal(INVALID_PARAMETER, f"{CURSOR}: follow the Link of the previous page as it is")
    began = None if found[2] == "-" else _EPOCH + timedelta(microseconds=int(found[2]))
    return Cursor(int(found[1]), began, scope)


def _plain(text: str) -> str:
    if len(text) > _LONGEST_CURSOR or not text.isascii():
        return ""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""


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
