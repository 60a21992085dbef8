"""The outcomes of pushes and of their deliveries, for the ledger."""

import time
import uuid

from hub.model.delivery import Entry, Receiver
from hub.model.envelope import Envelope
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.model.trace import trace_id
from hub.ocpi.modules import Interface, segments


def push_outcome(envelope: Envelope, kind: str, verdict: Verdict, detail: str) -> Outcome:
    """What became of a push as a whole."""
    return Outcome(
        at=int(time.time() * 1000),
        outcome_id=str(uuid.uuid4()),
        correlation_id=envelope.correlation_id,
        request_id=envelope.request_id,
        leg=Leg.FANOUT,
        kind=kind,
        verdict=verdict,
        platform_id=envelope.platform_id,
        from_party=str(envelope.from_party),
        ocpi_version=envelope.version,
        module=envelope.module,
        interface=envelope.interface.value,
        method=envelope.method,
        object=object_name(envelope.module, *segments(envelope.tail)),
        detail=detail,
        trace_id=trace_id(envelope.traceparent),
    )


def delivery_outcome(
    receiver: Receiver,
    entry: Entry,
    kind: str,
    verdict: Verdict,
    *,
    correlation_id: str,
    request_id: str = "",
    version: str | None = None,
    method: str | None = None,
    http_status: int | None = None,
    ocpi_status: int | None = None,
    detail: str | None = None,
    elapsed_ms: float | None = None,
) -> Outcome:
    """What one step for one receiver came to."""
    envelope, key = entry.envelope, entry.key
    ids = segments(envelope.tail) if envelope else tuple(part for part in key[1:] if part)
    return Outcome(
        at=int(time.time() * 1000),
        outcome_id=str(uuid.uuid4()),
        correlation_id=correlation_id,
        request_id=request_id or (envelope.request_id if envelope else ""),
        leg=Leg.FANOUT,
        kind=kind,
        verdict=verdict,
        platform_id=receiver.platform_id,
        from_party=str(envelope.from_party if envelope else key.owner),
        to_party=str(receiver.party),
        ocpi_version=envelope.version if envelope else version,
        module=key.module,
        interface=Interface.RECEIVER.value,
        method=method or (envelope.method if envelope else None),
        object=object_name(key.module, *ids),
        http_status=http_status,
        ocpi_status=ocpi_status,
        detail=detail or None,
        elapsed_ms=elapsed_ms,
        trace_id=trace_id(envelope.traceparent) if envelope else None,
    )
