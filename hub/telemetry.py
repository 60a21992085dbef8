"""Logs and metrics of every process, in one place.

One wide JSON event per unit of work on stderr, named in dotted past tense. Every metric of the hub stands in the catalogue
below with bounded labels. Never a token, a body or driver data.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

_JSON: Final = "application/json"
_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS_RECEIVED: Final = Counter(
    "hub_requests_received", "OCPI requests received, by module and the scenario found", ["module", "scenario"]
)
REQUESTS_REFUSED: Final = Counter(
    "hub_requests_refused", "Requests that the hub refused, by OCPI status", ["ocpi_status"]
)
REQUEST_SECONDS: Final = Histogram(
    "hub_request_seconds", "Time from a request's arrival to its answer", ["scenario"], buckets=_LATENCY_BUCKETS
)
GET_ALL_SECONDS: Final = Histogram(
    "hub_get_all_seconds", "Time to read and assemble one page of a list for all", ["module"], buckets=_LATENCY_BUCKETS
)
ANSWERS_WAITED_FOR: Final = Gauge("hub_answers_waited_for", "Callers that wait for a receiver's answer")
PARTNER_CALLS: Final = Counter("hub_partner_calls", "Calls to partners, by module and verdict", ["module", "verdict"])
PARTNER_SECONDS: Final = Histogram(
    "hub_partner_seconds", "Time of a call to a partner", ["module"], buckets=_LATENCY_BUCKETS
)
DIRECTED_PUSHES: Final = Counter(
    "hub_directed_pushes", "Confirmed pushes to one party, by what was kept of them: held, noted or nothing", ["kept"]
)
OUTCOMES_DROPPED: Final = Counter("hub_outcomes_dropped", "Outcomes that found no room in the buffer")
OUTCOMES_STORED: Final = Counter("hub_outcomes_stored", "Outcomes written by the ledger")
STORE_BATCH_PUSHES: Final = Histogram(
    "hub_store_batch_pushes", "Pushes that were stored together", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
STORE_BATCH_SECONDS: Final = Histogram(
    "hub_store_batch_seconds", "Time to store pushes together", buckets=_LATENCY_BUCKETS
)
PUSHES_STORED: Final = Counter("hub_pushes_stored", "Pushes by what the store made of them", ["result"])
DELIVERIES: Final = Counter("hub_deliveries", "Deliveries to one receiver, by verdict", ["verdict"])
DELIVERIES_COALESCED: Final = Counter(
    "hub_deliveries_coalesced", "Deliveries saved since a newer state took their place"
)
DELIVERIES_PACED: Final = Counter("hub_deliveries_paced", "Waits of a lane for the rate that is set for its receiver")
DELIVERIES_IN_FLIGHT: Final = Gauge("hub_deliveries_in_flight", "Deliveries under way in this process")
DELIVERIES_WAITING: Final = Gauge("hub_deliveries_waiting", "Deliveries that wait in the lanes of this process")
DELIVERIES_WAITING_BYTES: Final = Gauge("hub_deliveries_waiting_bytes", "What the bodies of waiting deliveries weigh")
MARKS_WRITTEN: Final = Counter("hub_marks_written", "Units that receivers missed, to be sent as they are later")
MARKS_CLEARED: Final = Counter("hub_marks_cleared", "Marks that a delivery of the current state has done away with")
RECEIVERS_PARKED: Final = Gauge(
    "hub_receivers_parked", "Receivers that get nothing now: breaker, paused or asked_to_wait", ["reason"]
)
BREAKERS_OPENED: Final = Counter("hub_breakers_opened", "Receivers in trouble for so long that their breaker opened")
CONSUMED_OFFSET: Final = Gauge("hub_consumed_offset", "The offset that a worker reads next", ["topic", "partition"])
CONSUMER_BEHIND: Final = Gauge(
    "hub_consumer_behind", "Records in the log that a worker has not read yet", ["topic", "partition"]
)
DEVIATIONS: Final = Counter("hub_deviations", "Deviations from the specification that were accepted", ["module"])
DEAD_LETTERS_WRITTEN: Final = Counter("hub_dead_letters", "Records that nobody could understand", ["topic"])
LOOKS: Final = Counter("hub_looks", "Still-alive checks of platforms, by what they have shown", ["look"])
PLATFORM_TURNS: Final = Counter("hub_platform_turns", "Platforms that were found online or offline", ["to"])
CLIENT_INFOS_SENT: Final = Counter(
    "hub_client_infos_sent", "ClientInfo objects sent to platforms, by verdict", ["verdict"]
)
OBJECTS_FETCHED: Final = Counter(
    "hub_objects_fetched", "Attempts to fetch what is known by patches only, by what they came to", ["result"]
)
DIRECTORY_VERSION: Final = Gauge("hub_directory_version", "Version of the directory that this process holds")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(code=name)
    return logger


def configure(level: str, process: str) -> None:
    """Write JSON lines to stderr from this level up, each with the process' name."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def is_logged(level: int) -> bool:
    """Whether this process writes events of this level: to be asked before an event of every message is put together."""
    return bool(structlog.get_logger().is_enabled_for(level))


Health = Callable[[], Mapping[str, object] | None]
"""What a process tells about its health; None while it is not ready."""


def serve_metrics(port: int, host: str, health: Health) -> None:
    """Serve `/metrics`, `/health/live` and `/health/ready` from a thread of its own; port 0 means none."""
    if port:
        server = ThreadingHTTPServer((host, port), partial(_Pages, health))
        server.daemon_threads = True
        Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Pages(BaseHTTPRequestHandler):
    """The pages of a process that has no door of its own."""

    def __init__(self, health: Health, *arguments: Any) -> None:
        self._health = health
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer one request."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
            case "/health/live":
                self._send(200, _JSON, b'{"status": "live"}')
            case "/health" | "/health/ready":
                found = self._health()
                answer = {"status": "not ready" if found is None else "ready", **(found or {})}
                self._send(503 if found is None else 200, _JSON, json.dumps(answer).encode())
            case _:
                self._send(404, _JSON, b'{"status": "there is nothing here"}')

    def log_message(self, *_: Any) -> None:
        """A scrape is no news."""

    def _send(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
