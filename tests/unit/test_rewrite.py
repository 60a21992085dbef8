"""Rewriting URLs inside messages leaves every other byte as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.routing.rewrite import absolute, join, next_link, query_value, replace_member, replace_query_value


def test_only_the_value_of_response_url_changes() -> None:
    """CB-02, RT-15: numbers, spacing and unknown fields stay byte for byte."""
    body = (
        b'{ "response_url" :\t"https://a.test/x",\n "price": 0.60, "n": 1e2,'
        b' "e": "\\u00e9\xc3\xa9", "response_urls": "response_url"}'
    )
    assert replace_member(body, "response_url", "https://hub/1") == body.replace(b"https://a.test/x", b"https://hub/1")


def test_a_nested_member_of_that_name_is_not_touched() -> None:
    body = b'{"token": {"response_url": "keep"}, "list": [{"response_url": "keep"}]}'
    assert replace_member(body, "response_url", "new") == body


def test_every_duplicate_is_replaced() -> None:
    body = b'{"response_url":"a","response_url":"b"}'
    assert replace_member(body, "response_url", "n") == b'{"response_url":"n","response_url":"n"}'


@given(
    st.dictionaries(
        st.text(max_size=8), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists), max_size=5
    )
)
def test_a_body_without_it_is_returned_unchanged(value: dict[str, object]) -> None:
    import json

    value.pop("response_url", None)
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert replace_member(body, "response_url", "x") == body


@pytest.mark.parametrize(
    ("endpoint", "tail", "query", "url"),
    [
        ("https://p.test/x", "NL/CP1/L1", "", "https://p.test/x/NL/CP1/L1"),
        ("https://p.test/x/", "NL/CP1/L1", "a=1", "https://p.test/x/NL/CP1/L1?a=1"),
        ("https://p.test/x/", "", "", "https://p.test/x/"),
        ("https://p.test/x", "/", "", "https://p.test/x"),
        (
            "https://p.test/x/7f?tenant=1",
            "a%2Fb/",
            "type=APP_USER",
            "https://p.test/x/7f/a%2Fb/?tenant=1&type=APP_USER",
        ),
    ],
)
def test_an_endpoint_is_joined_with_one_slash(endpoint: str, tail: str, query: str, url: str) -> None:
    """RT-12, FM-07, D-22."""
    assert join(endpoint, tail, query) == url


def test_the_query_keeps_its_other_parameters() -> None:
    """CB-03."""
    query = "duration=900&response_url=https%3A%2F%2Fa.test%2Fx%3Fy%3D1&z=%20"
    assert query_value(query, "response_url") == "https://a.test/x?y=1"
    replaced = replace_query_value(query, "response_url", "https://hub/1?a=b&c")
    assert replaced == "duration=900&response_url=https%3A%2F%2Fhub%2F1%3Fa%3Db%26c&z=%20"


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('<https://p.test/l?offset=50>; rel="next"', "https://p.test/l?offset=50"),
        ("<https://p.test/l?offset=50>;rel=next", "https://p.test/l?offset=50"),
        ('<https://p.test/a>; rel="prev", <https://p.test/b>; rel="next"', "https://p.test/b"),
        ('<https://p.test/a>; rel="last"', None),
        ('<https://p.test/a>; rel="last", <https://p.test/b>; title="next, please"; REL="up next"', "https://p.test/b"),
        (
            '<https://p.test/a?x=1,2>; rel="nextcloud", <https://p.test/b?x=1,2>; rel=next; type="a"',
            "https://p.test/b?x=1,2",
        ),
        ("", None),
    ],
)
def test_the_next_page_is_found_in_a_link(header: str, url: str | None) -> None:
    assert next_link(header) == url


def test_a_relative_location_is_resolved_against_the_called_url() -> None:
    """CB-13."""
    assert absolute("/cdrs/7", "https://p.test/ocpi/cdrs") == "https://p.test/cdrs/7"
