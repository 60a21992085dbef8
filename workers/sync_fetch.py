"""Asks an owner for one of its objects: by the object's own URL, or along the pages of the owner's list.

What an owner answers is hostile until checked: a Link is followed at the owner's platform only, never to a page read before, and
through so many pages at most. An owner without Link is read by `offset`.

Decision D-12; rules AM-36, AM-42.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from hub.delivery.health import retry_after_seconds
from hub.delivery.judge import Judgement
from hub.delivery.prepare import prepare
from hub.model.directory import Platform, PlatformStatus
from hub.model.outcome import Verdict
from hub.ocpi.modules import Interface, TrafficClass, find
from hub.ocpi.parties import PartyId
from hub.routing.pull import names, next_page, read_page, read_single
from hub.routing.rewrite import join
from hub.store.incomplete import Lacking
from workers.app import WorkerContext
from workers.calls import call
from workers.evidence import Evidence

PAGE_LIMIT: Final = 500
_MOST_PAGES: Final = 5_000
_UNKNOWN: Final = 2003


class NotThere(Exception):
    """The owner does not have it, or does not offer it: the message says which."""


class WrongAnswer(Exception):
    """The owner answered with something that is not what was asked for."""


class NotNow(Exception):
    """It may be had later, not before `seconds` if the owner says so."""

    def __init__(self, detail: str, seconds: float | None = None) -> None:
        super().__init__(detail)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Question:
    """What is wanted of whom. All requests of one fetch share its correlation id."""

    lacking: Lacking
    platform: Platform
    owner: PartyId
    object_id: str
    correlation_id: str


async def fetch(context: WorkerContext, evidence: Evidence, question: Question) -> bytes:
    """The object as its owner sent it.

    Raises:
        NotThere: the owner says that there is none.
        NotNow: no usable answer this time.
        WrongAnswer: no OCPI answer of this kind.
    """
    module = question.lacking.root.module
    endpoint = question.platform.endpoints.get((module, Interface.SENDER), "")
    if not endpoint:
        raise NotThere(f"the owner offers no {module} as SENDER")
    single = find(question.platform.version or "", module, Interface.SENDER, question.object_id)
    try:
        if single is not None and "GET" in single.resource.operations:
            url = join(endpoint, question.object_id, "")
            return read_single((await _ask(context, evidence, question, url, TrafficClass.SINGLE)).body)
        return await _search(context, evidence, question, endpoint)
    except msgspec.DecodeError as error:
        raise WrongAnswer(f"the answer cannot be read: {error}") from error


async def _search(context: WorkerContext, evidence: Evidence, question: Question, endpoint: str) -> bytes:
    """The object out of its owner's list."""
    url: str | None = join(endpoint, "", f"offset=0&limit={PAGE_LIMIT}")
    seen: set[str] = set()
    read = 0
    before: list[bytes] = []
    while url is not None and len(seen) < _MOST_PAGES:
        seen.add(url)
        judged = await _ask(context, evidence, question, url, TrafficClass.LIST)
        entries = read_page(judged.body)
        for entry in entries:
            if names(question.lacking.root, entry):
                return entry
        read += len(entries)
        by_offset = join(endpoint, "", f"offset={read}&limit={PAGE_LIMIT}") if entries and entries != before else None
        url = next_page(judged.headers, url, question.platform, read, by_offset)
        before = entries
        if url in seen:
            raise WrongAnswer("the Link of the owner's list leads back to a page read before")
    if url is not None:
        raise WrongAnswer(f"the owner's list has more than {_MOST_PAGES} pages")
    raise NotThere("the owner's list does not have it")


async def _ask(
    context: WorkerContext, evidence: Evidence, question: Question, url: str, traffic: TrafficClass
) -> Judgement:
    platform = context.keeper.current.platforms.get(question.platform.platform_id)
    is_there = platform is not None and platform.status is PlatformStatus.CONNECTED
    if platform is None or not is_there or platform.token is None or not context.keeper.may_send:
        raise NotNow("the owner cannot be asked now")
    request = prepare(
        method="GET",
        url=url,
        body=b"",
        content_type="",
        token=platform.token,
        to_party=question.owner,
        from_party=context.keeper.current.hub_party,
        request_id=str(uuid.uuid4()),
        correlation_id=question.correlation_id,
    )
    judged, _, _ = await call(
        context.partners,
        evidence,
        platform.platform_id,
        request,
        traffic=traffic,
        timeout=context.settings.deadline_seconds(traffic),
    )
    if judged.verdict is Verdict.DELIVERED:
        return judged
    answer = f"HTTP {judged.http_status}, OCPI {judged.ocpi_status}"
    if judged.partner_http_status == 404 or judged.ocpi_status == _UNKNOWN:
        raise NotThere(f"the owner does not know it: {answer}")
    raise NotNow(judged.detail or answer, retry_after_seconds(judged.headers.get("retry-after"), datetime.now(UTC)))
