"""The page of what the hub lets pass names tests that exist; answers of odd forms that no other test shows."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.delivery.judge import Judgement, judge_answer
from hub.model.directory import OutboundToken
from hub.model.outcome import Verdict
from hub.ocpi.modules import TrafficClass
from hub.partners.client import Answer
from hub.registration.calls import Call, read_answer

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "infra/docs/tolerance.md"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def judge(content: bytes) -> Judgement:
    """What an answer to a push with HTTP 200 means."""
    return judge_answer(http_status=200, headers={}, content=content, method="PUT", traffic=TrafficClass.PUSH, now=NOW)


def test_every_habit_on_the_page_names_a_test_that_exists() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| habit |" not in line]
    named = [re.search(r"`([\w/]+/test_\w+\.py)::(test_\w+)` \|$", row) for row in rows]

    missing = [
        row
        for row, test in zip(rows, named, strict=True)
        if test is None or f"def {test[2]}(" not in (TESTS / test[1]).read_text()
    ]

    assert len(rows) > 40
    assert missing == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"status_code":1000}',
        b'{"status_code":1000,"data":null}',
        b'{"status_code":1000,"data":{}}',
        b'{"status_code":1000,"data":{"id":"L1"}}',
        b'{"status_code":1000,"data":[],"timestamp":"2025-03-13T04:59:09.838579335Z","languages":["nl"]}',
    ],
)
def test_what_an_answer_holds_beside_its_code_does_not_matter(content: bytes) -> None:
    judgement = judge(content)

    assert (judgement.verdict, judgement.body) == (Verdict.DELIVERED, content)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"data":[]}', b'{"data":[],"status_code":null}', b'{"data":[],"status_code":"Success"}']
)
def test_an_answer_that_says_no_code_is_4000(content: bytes) -> None:
    judgement = judge(content)

    assert judgement.verdict is Verdict.TROUBLED
    assert b'"status_code":4000' in judgement.body


def test_a_byte_order_mark_before_an_answer_of_a_handshake_is_passed_over() -> None:
    call = Call("GET", "https://p.test/versions", OutboundToken("b~token"))
    answer = Answer(200, {}, b'\xef\xbb\xbf{"status_code":1000,"data":[1]}', 1.0)

    assert read_answer(call, answer) == [1]
