"""What a partner's answer means, and what the requester is told."""

import json
from datetime import UTC, datetime

import pytest

from hub.delivery.judge import Judgement, judge_answer, judge_failure
from hub.errors import AddressRefused, AnswerTooLarge, PartnerSilent, PartnerUnreachable
from hub.model.outcome import Verdict
from hub.ocpi.modules import TrafficClass

NOW = datetime(2026, 6, 2, tzinfo=UTC)
OK = b'{"status_code": 1000, "timestamp": "2026-06-02T00:00:00Z"}'


def _judge(
    http_status: int, content: bytes, method: str = "PUT", traffic: TrafficClass = TrafficClass.PUSH
) -> Judgement:
    headers = {"content-type": "application/json", "set-cookie": "x", "retry-after": "7", "location": "/cdrs/1"}
    return judge_answer(
        http_status=http_status, headers=headers, content=content, method=method, traffic=traffic, now=NOW
    )


@pytest.mark.parametrize("http_status", [200, 201])
def test_success_is_relayed_as_it_is(http_status: int) -> None:
    """RT-15, RT-16, ST-04."""
    judgement = _judge(http_status, OK)
    assert (judgement.verdict, judgement.http_status, judgement.body) == (Verdict.DELIVERED, http_status, OK)
    assert "set-cookie" not in judgement.headers


@pytest.mark.parametrize(("http_status", "code"), [(200, 2001), (200, 2003), (404, 2004), (400, 2001)])
def test_a_partners_refusal_is_relayed(http_status: int, code: int) -> None:
    """ST-10, ST-12, AM-12."""
    content = json.dumps({"status_code": code}).encode()
    judgement = _judge(http_status, content)
    assert (judgement.verdict, judgement.http_status, judgement.body) == (Verdict.REFUSED, http_status, content)


@pytest.mark.parametrize(("http_status", "code"), [(200, 3000), (200, 3001), (500, 3000), (200, 4003)])
def test_a_receivers_own_fault_is_relayed_but_judges_nothing(http_status: int, code: int) -> None:
    """ST-10; a broadcast is tried again."""
    content = json.dumps({"status_code": code}).encode()
    judgement = _judge(http_status, content)
    assert (judgement.verdict, judgement.http_status, judgement.body) == (Verdict.TROUBLED, http_status, content)


@pytest.mark.parametrize("http_status", [401, 403])
def test_trouble_with_our_own_token_is_not_passed_on(http_status: int) -> None:
    """AU-13."""
    judgement = _judge(http_status, OK)
    assert (judgement.verdict, judgement.http_status) == (Verdict.TROUBLED, 200)
    assert json.loads(judgement.body)["status_code"] == 4003


@pytest.mark.parametrize("http_status", [200, 302, 407, 421, 500, 502])
def test_what_is_not_ocpi_is_4000(http_status: int) -> None:
    """AM-12."""
    judgement = _judge(http_status, b"<html>")
    assert judgement.http_status == 200
    assert json.loads(judgement.body)["status_code"] == 4000


@pytest.mark.parametrize("http_status", [0, 99, 101, 199, 302, 407, 600, 999])
def test_a_status_that_no_requester_can_be_given_is_4000_even_with_an_ocpi_body(http_status: int) -> None:
    """AM-12: a server cannot send it, or it means something else on the way to the requester."""
    judgement = _judge(http_status, OK)
    assert (judgement.verdict, judgement.http_status) == (Verdict.TROUBLED, 200)
    assert json.loads(judgement.body)["status_code"] == 4000
    assert judgement.partner_http_status == http_status


@pytest.mark.parametrize("http_status", [200, 201, 204])
def test_an_empty_success_of_a_write_becomes_1000(http_status: int) -> None:
    """D-03."""
    judgement = _judge(http_status, b"")
    assert judgement.verdict is Verdict.DELIVERED
    assert json.loads(judgement.body)["status_code"] == 1000


def test_an_empty_success_of_a_read_is_none() -> None:
    assert _judge(200, b"", method="GET").verdict is Verdict.TROUBLED


@pytest.mark.parametrize(("traffic", "code"), [(TrafficClass.AUTHORIZE, 2004), (TrafficClass.SINGLE, 2001)])
def test_a_bare_404_gets_a_body(traffic: TrafficClass, code: int) -> None:
    """D-03."""
    judgement = _judge(404, b"", traffic=traffic)
    assert judgement.http_status == 404
    assert json.loads(judgement.body)["status_code"] == code


def test_too_many_requests_is_relayed_with_retry_after() -> None:
    """D-21."""
    judgement = _judge(429, b"slow down")
    assert judgement.http_status == 429
    assert judgement.headers["retry-after"] == "7"


@pytest.mark.parametrize("content", [b'\xef\xbb\xbf{"status_code":1000}', b'{"status_code":"1000"}'])
def test_a_byte_order_mark_or_a_quoted_code_is_tolerated(content: bytes) -> None:
    assert _judge(200, content).verdict is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("error", "verdict", "code"),
    [
        (PartnerSilent("x"), Verdict.SILENT, 4002),
        (PartnerUnreachable("x"), Verdict.UNREACHABLE, 4003),
        (AddressRefused("10.0.0.1"), Verdict.UNREACHABLE, 4003),
        (AnswerTooLarge("x"), Verdict.TROUBLED, 4000),
    ],
)
def test_no_answer_says_whether_the_receiver_may_have_acted(error: Exception, verdict: Verdict, code: int) -> None:
    """OF-04, OF-05."""
    judgement = judge_failure(error, NOW)  # type: ignore[arg-type]
    assert judgement.verdict is verdict
    assert json.loads(judgement.body)["status_code"] == code
    assert "10.0.0.1" not in judgement.body.decode()
