"""`hub settings` works without a hub and shows every setting without its secret."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.settings import Settings
from infra.cli import app


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without any setting and a folder without a hub."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HUB_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def _settings() -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(app, ["settings", "-o", "json"])
    assert result.exit_code == 0
    return {row["variable"]: row for row in json.loads(result.stdout)}


def test_every_setting_is_listed_with_its_meaning(bare: pytest.MonkeyPatch) -> None:
    rows = _settings()

    assert set(rows) == {f"HUB_{name.upper()}" for name in Settings.model_fields}
    assert all(row["description"] for row in rows.values())
    assert not any(row["is_set"] for row in rows.values())


def test_a_value_from_the_environment_stands_beside_its_default(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("HUB_PORT", "9000")
    bare.setenv("HUB_PARTNER_NETWORKS", "10.0.0.0/8,127.0.0.0/8")

    rows = _settings()

    assert (rows["HUB_PORT"]["value"], rows["HUB_PORT"]["default"], rows["HUB_PORT"]["is_set"]) == (
        "9000",
        "8080",
        True,
    )
    assert rows["HUB_PARTNER_NETWORKS"]["value"] == "10.0.0.0/8,127.0.0.0/8"


def test_secrets_are_masked(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("HUB_OPERATOR_TOKEN", "very-secret")
    bare.setenv("HUB_SECRETS_KEY", "very-secret")
    bare.setenv("HUB_POSTGRES_URL", "postgresql://hub:very-secret@db.example/hub")

    for form in ("json", "table"):
        shown = CliRunner().invoke(app, ["settings", "-o", form]).stdout
        assert "very-secret" not in shown
        assert "postgresql://hub:***@db.example/hub" in shown


def test_a_wrong_value_is_one_line_that_names_the_variable(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("HUB_PORT", "eighty")

    result = CliRunner().invoke(app, ["settings"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("hub: HUB_PORT='eighty': ")
    assert len(result.stderr.splitlines()) == 1
