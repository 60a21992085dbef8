"""One call to a partner: sent, noted as evidence for presence, and judged. Every worker calls partners' functional modules so."""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from hub.delivery.judge import Judgement, judge_answer, judge_failure
from hub.delivery.prepare import Attempt
from hub.delivery.presence import is_usable
from hub.errors import PartnerError
from hub.ocpi.modules import TrafficClass
from hub.partners.client import PartnerClient
from workers.evidence import Evidence


class Judged(NamedTuple):
    """What a call came to, when it began in monotonic seconds, and how long it took."""

    judgement: Judgement
    began: float
    seconds: float


async def call(
    partners: PartnerClient,
    evidence: Evidence,
    platform_id: str,
    request: Attempt,
    *,
    traffic: TrafficClass,
    timeout: float,
    start_within: float | None = None,
) -> Judged:
    """Send a request that is ready; nothing is sent later than `start_within` seconds from now."""
    began = time.monotonic()
    evidence.begin(platform_id)
    try:
        came = await partners.send(
            request.method,
            request.url,
            request.headers,
            request.body or None,
            timeout=timeout,
            start_within=start_within,
        )
    except PartnerError as error:
        evidence.note(platform_id, answered=False)
        judgement = judge_failure(error, datetime.now(UTC))
    except BaseException:
        evidence.leave(platform_id)
        raise
    else:
        evidence.note(platform_id, is_usable(came.http_status), time.monotonic() - began)
        judgement = judge_answer(
            http_status=came.http_status,
            headers=came.headers,
            content=came.body,
            method=request.method,
            traffic=traffic,
            now=datetime.now(UTC),
        )
    return Judged(judgement, began, time.monotonic() - began)
