"""The command line waits longer than the hub can take: an answer that nobody waits for may hold the only copy of a token."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import typer
from typer.testing import CliRunner

from hub.registration import driver, register
from hub.store.directory import LEASE_SECONDS
from infra import cli_client, cli_operate

root = typer.Typer()
cli_operate.add_to(root)

_STEPS_OF_A_ROTATION = (
    LEASE_SECONDS + 5,
    driver.HANDSHAKE_SECONDS,
    driver.HANDSHAKE_SECONDS,
    register._STORE_SECONDS,
    register.HOLDERS_SECONDS,
)
_PLATFORM = "6e0f8b1e-0c8e-4f0e-9d63-0d5a54a5f3a1"
_ROTATED = {
    "platform_name": "p",
    "platform_id": _PLATFORM,
    "renewed": "registration token",
    "versions_url": "https://hub.test",
    "token": "shown-once",
    "reason": "it was slow",
}


class _Slow(BaseHTTPRequestHandler):
    """An admin API whose answer to a POST takes its time."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        threading.Event().wait(0.5)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(_ROTATED).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Slow) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_steps_of_a_rotation_together_take_less_than_the_command_waits() -> None:
    assert sum(_STEPS_OF_A_ROTATION) < cli_client.HANDSHAKE_SECONDS


def test_a_token_is_shown_though_its_rotation_took_longer_than_other_commands_may(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_client, "TIMEOUT_SECONDS", 0.1)
    env = {"HUB_ADMIN_URL": url, "HUB_OPERATOR_TOKEN": "x"}

    result = CliRunner().invoke(root, ["platform", "rotate-token", _PLATFORM, "--leaked"], env=env)

    assert "shown-once" in result.stdout, result.output
