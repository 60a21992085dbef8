"""The command line finds the hub, and each kind of failure has its line and its exit code."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.admin_rig import OPERATOR_TOKEN, AdminRig, admin_rig


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[AdminRig]:
    async with admin_rig(database_url, tmp_path) as made:
        yield made


async def test_the_environment_goes_before_the_data_directory(rig: AdminRig) -> None:
    (rig.data_dir / "hub.json").write_text('{"admin_url": "http://127.0.0.1:1", "operator_token_file": "none"}')

    result = await rig.hub("party", "list", env={"HUB_ADMIN_URL": rig.url, "HUB_OPERATOR_TOKEN": OPERATOR_TOKEN})

    assert result.exit_code == 0


async def test_the_command_works_as_a_process_and_keeps_data_and_progress_apart(rig: AdminRig) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.cli", "party", "list", "-o", "json", "--data-dir", str(rig.data_dir),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("HUB_")},
    )  # fmt: skip
    out, err = await process.communicate()

    assert (process.returncode, json.loads(out), err) == (0, [], b"")


async def test_a_hub_that_cannot_be_used_is_one_line_and_a_code(rig: AdminRig) -> None:
    cases: tuple[tuple[dict[str, str | None], int, str], ...] = (
        ({"HUB_OPERATOR_TOKEN": "wrong"}, 5, "the operator token is missing or wrong"),
        ({"HUB_ADMIN_URL": "http://127.0.0.1:1"}, 3, "Connection refused"),
        ({"HUB_ADMIN_URL": "nonsense"}, 2, "'nonsense' is not a URL"),
        ({"HUB_OPERATOR_TOKEN_FILE": "/nowhere"}, 5, "/nowhere cannot be read"),
    )
    for env, exit_code, line in cases:
        result = await rig.hub("party", "list", env=env)

        assert (result.exit_code, result.stdout) == (exit_code, ""), env
        assert line in result.stderr
        assert len(result.stderr.splitlines()) == 1


async def test_a_data_directory_without_a_hub_says_what_to_do(rig: AdminRig) -> None:
    hub_file = rig.data_dir / "hub.json"
    for content in (None, "{", "[]", '{"admin_url": "http://127.0.0.1:1"}'):
        hub_file.unlink() if content is None else hub_file.write_text(content)

        result = await rig.hub("party", "list")

        assert result.exit_code == 3, content
        assert "`hub up`" in result.stderr
        assert len(result.stderr.splitlines()) == 1


async def test_wrong_usage_ends_with_two(rig: AdminRig) -> None:
    for words in (
        "party invite ENE --role CPO",
        "party invite NL/ENE --role DRIVER",
        "party invite NL/ENE",
        "platform show not-an-id",
        "object show locations/NL/ENE",
        "exchange show",
    ):
        assert (await rig.hub(*words.split())).exit_code == 2, words


async def test_the_api_refuses_in_json_and_asks_for_the_token_first(rig: AdminRig) -> None:
    shown = f"Bearer {OPERATOR_TOKEN}"
    cases: tuple[tuple[str, str, str, int, str], ...] = (
        ("GET", "/admin/v1/status", "", 401, "not_authorised"),
        ("GET", "/admin/v1/status", f"Token {OPERATOR_TOKEN}", 401, "not_authorised"),
        ("POST", "/admin/v1/invitations", "Bearer wrong", 401, "not_authorised"),
        ("GET", "/admin/v1/nothing", "", 401, "not_authorised"),
        ("GET", "/admin/v1/nothing", shown, 404, "no_such_resource"),
        ("DELETE", "/admin/v1/parties", shown, 404, "no_such_resource"),
        ("POST", "/admin/v1/invitations", shown, 422, "invalid"),
        ("GET", "/admin/v1/platforms/1", shown, 422, "invalid"),
        ("GET", "/admin/v1/objects?module=x", shown.replace("Bearer", "bearer"), 422, "invalid"),
    )
    async with aiohttp.ClientSession() as session:
        for method, path, token, status, code in cases:
            body = b"{not json" if method == "POST" else None
            async with session.request(method, rig.url + path, data=body, headers={"Authorization": token}) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (status, code), path
