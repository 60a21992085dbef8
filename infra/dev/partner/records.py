"""What arrived, and what was wrong with it: two rings of bounded memory.

A record keeps headers as one byte string and its body only while the bodies of all records fit the budget; the digest
stays.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from infra.dev.partner.wire import shortened

MOST_RECORDS: Final = 200_000
MOST_DEVIATIONS: Final = 20_000
MOST_UNKNOWN_FIELDS: Final = 10_000
BODY_BYTES: Final = 64 * 1024
BODY_BUDGET_BYTES: Final = 256 * 1024 * 1024
_SEPARATOR: Final = b"\r\n"


@dataclass(slots=True)
class Record:
    """One inbound request. Times are unix seconds; `http_status` stays None until it was answered."""

    at: float
    method: str
    module: str
    interface: str | None
    path: str
    query: str
    headers: bytes
    body: bytes | None
    body_bytes: int
    body_sha256: str | None
    correlation_id: str | None
    http_status: int | None = None
    status_code: int | None = None
    answered_at: float | None = None
    outcome: str = "open"

    def answered(self, at: float, http_status: int, status_code: int | None) -> None:
        """Note the answer that was given."""
        self.answered_at, self.http_status, self.status_code, self.outcome = at, http_status, status_code, "answered"

    def shown(self, *, bodies: bool) -> dict[str, Any]:
        """Give the record as JSON values. The Authorization header is shortened."""
        shown = {
            "at": self.at,
            "method": self.method,
            "module": self.module,
            "interface": self.interface,
            "path": self.path,
            "query": self.query,
            "headers": unpacked_headers(self.headers),
            "correlation_id": self.correlation_id,
            "body_bytes": self.body_bytes,
            "body_sha256": self.body_sha256,
            "outcome": self.outcome,
            "answer": {
                "at": self.answered_at,
                "http_status": self.http_status,
                "status_code": self.status_code,
            },
        }
        if bodies:
            shown["body"] = None if self.body is None else self.body.decode("utf-8", "replace")
        return shown


def packed_headers(raw_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Keep headers in one small value."""
    return _SEPARATOR.join([part for pair in raw_headers for part in pair])


def unpacked_headers(packed: bytes) -> dict[str, str]:
    """Give headers by lower-case name; a repeated name is joined with commas, a token is shortened."""
    parts = [part.decode("utf-8", "replace") for part in packed.split(_SEPARATOR)]
    headers: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=False):
        shown = _hidden(value) if name.lower() == "authorization" else value
        headers[name.lower()] = f"{headers[name.lower()]}, {shown}" if name.lower() in headers else shown
    return headers


def _hidden(value: str) -> str:
    scheme, space, parameter = value.partition(" ")
    return f"{scheme} {shortened(parameter)}" if space else str(shortened(value))


class RecordRing:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._with_body: deque[Record] = deque()
        self._body_bytes = 0
        self.total = 0

    def add(self, record: Record) -> None:
        """Take a record; the oldest bodies, and then the oldest records, go."""
        self.total += 1
        self._records.append(record)
        if len(self._records) > MOST_RECORDS:
            self._drop_body(self._records.popleft())
        if record.body is None:
            return
        if len(record.body) > BODY_BYTES:
            record.body = record.body[:BODY_BYTES]
        self._with_body.append(record)
        self._body_bytes += len(record.body)
        while self._body_bytes > BODY_BUDGET_BYTES:
            self._drop_body(self._with_body.popleft())

    def since(self, at: float) -> Iterator[Record]:
        """Walk over what arrived at that time or later, oldest first."""
        late: list[Record] = []
        for record in reversed(self._records):
            if record.at < at:
                break
            late.append(record)
        return reversed(late)

    def clear(self) -> None:
        """Forget everything, the count as well."""
        self._records.clear()
        self._with_body.clear()
        self._body_bytes = self.total = 0

    def _drop_body(self, record: Record) -> None:
        if record.body is not None:
            self._body_bytes -= len(record.body)
            record.body = None
        while self._with_body and self._with_body[0].body is None:
            self._with_body.popleft()


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that was not as OCPI has it. `path` is a JSON path or a header name; `where` is request or answer."""

    at: float
    rule: str
    path: str
    message: str
    request_id: str | None
    method: str
    url: str
    where: str


class Deviations:
    """The latest deviations, a count per rule, and the unknown fields met."""

    def __init__(self) -> None:
        self._latest: deque[Deviation] = deque(maxlen=MOST_DEVIATIONS)
        self.counts: Counter[str] = Counter()
        self.unknown_fields: Counter[str] = Counter()

    def add(self, deviation: Deviation) -> None:
        """Note one."""
        self._latest.append(deviation)
        self.counts[deviation.rule] += 1

    def count_unknown(self, names: Sequence[str]) -> None:
        """Count fields that the tables do not have. They are allowed, so nothing more is kept."""
        for name in names:
            if name in self.unknown_fields or len(self.unknown_fields) < MOST_UNKNOWN_FIELDS:
                self.unknown_fields[name] += 1

    def shown(self) -> list[dict[str, Any]]:
        """Give the latest as JSON values, oldest first."""
        return [asdict(deviation) for deviation in self._latest]

    def clear(self) -> None:
        """Forget everything."""
        self._latest.clear()
        self.counts.clear()
        self.unknown_fields.clear()


class SeenIds:
    """The latest request ids, to find one that comes twice."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, request_id: str) -> bool:
        """Remember an id; False when it was here before."""
        if request_id in self._ids:
            return False
        self._ids[request_id] = None
        if len(self._ids) > MOST_RECORDS:
            self._ids.popitem(last=False)
        return True
