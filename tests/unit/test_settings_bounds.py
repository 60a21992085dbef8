"""What the environment may say, and what it is told when it says something else."""

import os
from pathlib import Path

import pytest

from hub.errors import ConfigurationError
from hub.ocpi.modules import TrafficClass
from hub.ocpi.parties import PartyId
from hub.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("HUB_PARTY", "NLHUB"),
        ("HUB_PARTY", "NL/LONG"),
        ("HUB_PORT", "http"),
        ("HUB_PARTNER_NETWORKS", "10.0.0.0/33"),
        ("HUB_AGREEMENTS", "closed"),
        ("HUB_COMMAND_TOKENS", "all"),
        ("HUB_AUTHORIZE_FALLBACK", "allow"),
        ("HUB_LARGEST_BODY_BYTES", str(8 * 2**20 + 1)),
        ("HUB_LARGEST_ANSWER_BYTES", str(16 * 2**20 + 1)),
        ("HUB_START_BY_SECONDS", "0"),
        ("HUB_PUSH_SECONDS", "-1"),
        ("HUB_TOPIC_PARTITIONS", "-1"),
        ("HUB_RELAY_CONCURRENCY", "0"),
        ("HUB_PAGE_LIMIT", "0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, given)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert name in str(raised.value)
    assert given in str(raised.value)


def test_settings_come_from_the_environment_and_are_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PUBLIC_URL", "https://hub.example/")
    monkeypatch.setenv("HUB_PARTY", "DE/XYZ")
    monkeypatch.setenv("HUB_PARTNER_NETWORKS", " 10.0.0.0/8 , ::1/128,")
    settings = load_settings()
    assert settings.ocpi_url == "https://hub.example/ocpi"
    assert settings.hub_party == PartyId("DE", "XYZ")
    assert [str(network) for network in settings.networks] == ["10.0.0.0/8", "::1/128"]


def test_every_class_has_a_deadline_and_d_07_its_defaults() -> None:
    """D-07."""
    settings = Settings()
    seconds = {traffic: settings.deadline_seconds(traffic) for traffic in TrafficClass}
    assert seconds == {
        TrafficClass.AUTHORIZE: 5.0,
        TrafficClass.COMMAND: 15.0,
        TrafficClass.SINGLE: 15.0,
        TrafficClass.PUSH: 15.0,
        TrafficClass.LIST: 30.0,
    }
    assert settings.start_by_seconds < min(seconds.values())


@pytest.mark.parametrize("name", ["operator_token", "secrets_key"])
def test_a_secret_is_read_from_its_file_and_missed_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, variable = tmp_path / "secret", f"HUB_{name.upper()}"
    with pytest.raises(ConfigurationError, match=variable):
        _read(name)
    monkeypatch.setenv(f"{variable}_FILE", str(path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        _read(name)
    path.write_text("s3cret\n")
    assert _read(name) == "s3cret"


def _read(name: str) -> str:
    settings = load_settings()
    return settings.read_operator_token() if name == "operator_token" else settings.read_secrets_key()


def test_no_secret_is_printed() -> None:
    printed = repr(Settings(operator_token="s3cret", secrets_key="s3cret"))
    assert "s3cret" not in printed
