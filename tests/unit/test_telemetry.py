"""Every metric of the hub is in the catalogue, is used, and is explained; a process without a door shows its own pages."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from hub import telemetry
from infra.dev.ports import choose

ROOT = Path(__file__).parents[2]
CATALOGUE = {name: metric for name, metric in vars(telemetry).items() if isinstance(metric, MetricWrapperBase)}


def _code() -> dict[Path, str]:
    return {path: path.read_text() for folder in ("hub", "workers") for path in (ROOT / folder).rglob("*.py")}


def _get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_metric_of_the_catalogue_is_used(name: str) -> None:
    used = re.compile(rf"\b{name}\.(labels|inc|set|observe|time)\b")

    assert any(used.search(text) for text in _code().values())


def test_metrics_are_made_in_the_catalogue_only() -> None:
    made = re.compile(r"\b(Counter|Gauge|Histogram|Summary)\(\s*\"")

    assert [path.name for path, text in _code().items() if made.search(text)] == ["telemetry.py"]


def test_the_page_of_metrics_lists_the_catalogue_with_its_labels() -> None:
    page = (ROOT / "infra/docs/metrics.md").read_text()
    listed = {row[0]: row[1] for row in re.findall(r"^\| `(hub_\w+)` \| [^|]+ \| ([^|]*) \|", page, re.MULTILINE)}

    shown = {}
    for metric in CATALOGUE.values():
        family = next(iter(metric.describe()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown[name] = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"
    assert {name: labels.strip() for name, labels in listed.items()} == shown


def test_a_process_without_a_door_shows_its_metrics_and_health() -> None:
    port = choose("127.0.0.1", 1)[0]
    states: list[dict[str, object] | None] = [None, {"worker": "relay"}]
    telemetry.serve_metrics(port, "127.0.0.1", lambda: states.pop(0))

    not_ready, ready = _get(port, "/health"), _get(port, "/health/ready")

    assert (not_ready[0], json.loads(not_ready[1])) == (503, {"status": "not ready"})
    assert (ready[0], json.loads(ready[1])) == (200, {"status": "ready", "worker": "relay"})
    assert _get(port, "/health/live")[0] == 200
    assert b"hub_directory_version" in _get(port, "/metrics")[1]
    assert _get(port, "/elsewhere")[0] == 404
