"""Replaces the URLs inside messages by the hub's own; every other byte stays.

Rules CB-02, CB-03, CB-07, CB-12, CB-13, PG-09, TP-02, RT-15.
"""

import re
from json import JSONDecoder, dumps
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Final
from urllib.parse import quote, unquote, urljoin

_decoder: Final = JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_LINK: Final = re.compile(r"<([^<>]*)>([^<]*)")
_RELATION: Final = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


def replace_member(body: bytes, name: str, new: str) -> bytes:
    """The body with the value of every top-level member `name` replaced by the string `new`.

    Raises:
        ValueError: the body is not a JSON object in UTF-8, or one that Python cannot read.
    """
    text = body.decode("utf-8")
    pieces: list[str] = []
    position = 0
    for key, start, end in _members(text):
        if key == name:
            pieces += (text[position:start], dumps(new))
            position = end
    return "".join((*pieces, text[position:])).encode("utf-8")


def _members(text: str) -> list[tuple[str, int, int]]:
    """The top-level members as (key, start of the value, end of the value)."""
    position = _after_space(text, 0)
    if text[position : position + 1] != "{":
        raise ValueError("not a JSON object")
    members: list[tuple[str, int, int]] = []
    position = _after_space(text, position + 1)
    while text[position : position + 1] == '"':
        key, position = scanstring(text, position + 1, False)
        position = _after_space(text, _after_space(text, position) + 1)
        try:
            _, end = _decoder.raw_decode(text, position)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        members.append((key, position, end))
        position = _after_space(text, end)
        if text[position : position + 1] == ",":
            position = _after_space(text, position + 1)
    return members


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def query_value(query: str, name: str) -> str | None:
    """The decoded value of the first parameter `name` in a raw query string."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if unquote(key) == name:
            return unquote(value.replace("+", " "))
    return None


def replace_query_value(query: str, name: str, new: str) -> str:
    """The raw query with every value of `name` replaced, percent-encoded; the other parameters stay as they are."""
    return "&".join(
        f"{pair.partition('=')[0]}={quote(new, safe='')}" if unquote(pair.partition("=")[0]) == name else pair
        for pair in query.split("&")
    )


def next_link(header: str) -> str | None:
    """The URL of `rel="next"` in a Link header, which may hold several links, each with several relations (RFC 8288)."""
    for url, parameters in _LINK.findall(header):
        relation = _RELATION.search(parameters)
        if relation and "next" in (relation.group(1) or relation.group(2) or "").lower().split():
            return str(url).strip()
    return None


def link_header(url: str) -> str:
    """A Link header to the next page."""
    return f'<{url}>; rel="next"'


def absolute(url: str, called: str) -> str | None:
    """A URL that a partner gave, resolved against the URL that was called (CB-13); None when it is none."""
    try:
        return urljoin(called, url.strip())
    except ValueError:
        return None


def join(endpoint: str, tail: str, query: str) -> str:
    """An endpoint URL with a raw path tail and query, byte for byte, and exactly one slash between (RT-12, FM-07, D-22).

    A query in the endpoint URL itself is kept in front of the request's.
    """
    base, _, own_query = endpoint.partition("?")
    path = f"{base.rstrip('/')}/{tail.lstrip('/')}" if tail.strip("/") else base
    queries = "&".join(part for part in (own_query, query) if part)
    return f"{path}?{queries}" if queries else path
