"""What `docker-compose.yml` says about commands, variables and ports is what the code says."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest

from hub.settings import Settings, load_settings
from hub.store.secrets import Secrets
from infra.dev.jars import kafka_version
from tests.unit.compose_file import IMAGE, TOP, command_line, environment, load, parts, simulators
from workers import WORKERS

NEEDED: dict[tuple[str, ...], tuple[Callable[[Settings], Any], ...]] = {
    ("db", "migrate"): (lambda settings: settings.require("postgres_url"),),
    ("topics", "apply"): (lambda settings: settings.require("kafka_bootstrap"),),
    ("worker",): (
        lambda settings: settings.require("postgres_url"),
        lambda settings: settings.require("kafka_bootstrap"),
        lambda settings: Secrets.from_base64(settings.read_secrets_key()),
    ),
    ("serve",): (
        lambda settings: settings.require("postgres_url"),
        lambda settings: settings.require("kafka_bootstrap"),
        lambda settings: Secrets.from_base64(settings.read_secrets_key()),
        lambda settings: settings.read_operator_token(),
    ),
    ("simulate",): (),
}
"""What each sub-command cannot start without."""


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """The settings as a service reads them from its own variables."""

    def read(service: str) -> Settings:
        for name in Settings.model_fields:
            monkeypatch.delenv(f"HUB_{name.upper()}", raising=False)
        for variable, value in environment(service).items():
            monkeypatch.setenv(variable, value)
        return load_settings()

    return read


def test_each_part_of_the_hub_has_one_service() -> None:
    started = sorted((*command_line(name)[0], *command_line(name)[1][:1]) for name in parts())

    assert started == sorted(
        [
            ("db", "migrate"),
            ("topics", "apply"),
            ("serve",),
            *(("worker", name) for name in WORKERS),
            ("simulate", "cpo"),
            ("simulate", "emsp"),
        ]
    )


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_runs_in_the_service_of_its_name(name: str) -> None:
    assert command_line(name) == (("worker",), [name])


@pytest.mark.parametrize("service", sorted(parts()))
def test_every_variable_is_a_setting(service: str) -> None:
    unknown = [name for name in environment(service) if name.removeprefix("HUB_").lower() not in Settings.model_fields]

    assert not unknown


@pytest.mark.parametrize("service", sorted(parts()))
def test_a_service_is_given_all_that_its_command_needs(service: str, settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of(service)

    for need in NEEDED[command_line(service)[0]]:
        assert need(settings)


@pytest.mark.parametrize("service", sorted(parts().keys() - set(simulators())))
def test_what_stands_under_x_settings_reaches_every_part_of_the_hub(service: str) -> None:
    """A prefix or a number of partitions that the set-up of topics does not hear of makes the others refuse to start."""
    assert load()["x-settings"].items() <= environment(service).items()


@pytest.mark.parametrize("service", ["migrate", "topics", *simulators()])
def test_a_secret_is_given_only_to_whom_needs_it(service: str) -> None:
    assert not {"HUB_SECRETS_KEY", "HUB_OPERATOR_TOKEN"} & environment(service).keys()


def test_the_hub_and_its_workers_agree_on_every_setting_that_they_share() -> None:
    own = {"HUB_PORT", "HUB_ADMIN_URL", "HUB_OPERATOR_TOKEN", "HUB_METRICS_PORT", "HUB_READY_FILE"}
    shared = [
        {name: value for name, value in environment(service).items() if name not in own}
        for service in ("hub", *WORKERS)
    ]

    assert all(each == shared[0] for each in shared)


def test_the_postgres_url_is_the_one_of_the_postgres_service() -> None:
    given = load()["services"]["postgres"]["environment"]

    url = urlsplit(environment("hub")["HUB_POSTGRES_URL"])

    assert (url.hostname, url.port) == ("postgres", 5432)
    assert (url.username, url.password, url.path) == (
        given["POSTGRES_USER"],
        given["POSTGRES_PASSWORD"],
        f"/{given['POSTGRES_DB']}",
    )


def test_the_bootstrap_address_is_what_kafka_tells_its_clients() -> None:
    kafka = load()["services"]["kafka"]["environment"]

    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"BROKER://{environment('hub')['HUB_KAFKA_BOOTSTRAP']}"


def test_kafka_and_postgres_are_the_versions_of_the_embedded_ones() -> None:
    services = load()["services"]

    assert services["kafka"]["image"] == f"apache/kafka:{kafka_version()}"
    assert services["postgres"]["image"] == "postgres:18"


def test_the_data_of_kafka_and_postgres_lies_in_volumes() -> None:
    services = load()["services"]

    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert services["kafka"]["volumes"] == [f"kafka:{services['kafka']['environment']['KAFKA_LOG_DIRS']}"]


def test_only_the_port_of_the_hub_is_published_and_on_loopback_only(settings_of: Callable[[str], Settings]) -> None:
    published = {name: service["ports"] for name, service in load()["services"].items() if "ports" in service}

    assert published == {"hub": [f"127.0.0.1:8080:{settings_of('hub').port}"]}


def test_partners_reach_the_hub_under_its_public_url(settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of("hub")

    assert settings.host == "0.0.0.0"
    assert settings.public_url == f"http://hub:{settings.port}"
    assert settings.admin_url == f"http://127.0.0.1:{settings.port}"


def test_partner_urls_may_resolve_to_the_network_of_the_containers(settings_of: Callable[[str], Settings]) -> None:
    (subnet,) = load()["networks"]["default"]["ipam"]["config"]

    assert settings_of("relay").networks == (ip_network(subnet["subnet"]),)


def test_other_partner_networks_come_beside_it() -> None:
    given = load(HUB_PARTNER_NETWORKS="10.0.0.0/8")

    networks = given["services"]["hub"]["environment"]["HUB_PARTNER_NETWORKS"].split(",")

    assert networks == ["172.30.57.0/24", "10.0.0.0/8"]


def test_a_simulated_partner_is_reached_at_its_service() -> None:
    found = simulators()

    assert {name: options.role for name, options in found.items()} == {"cpo": "cpo", "emsp": "emsp"}
    for name, options in found.items():
        assert options.public_url == f"http://{name}:{options.port}"
        assert ip_address(options.host).is_unspecified


def test_a_simulated_partner_keeps_its_state_in_its_volume() -> None:
    for name, options in simulators().items():
        (volume,) = parts()[name]["volumes"]

        assert options.state is not None
        assert volume == f"{name}:{options.state.parent}"


def test_health_is_asked_where_each_part_shows_it(settings_of: Callable[[str], Settings]) -> None:
    hub, cpo = parts()["hub"]["healthcheck"]["test"], parts()["cpo"]["healthcheck"]["test"]

    assert 'Route("/health/ready"' in (TOP / "hub" / "app.py").read_text()
    assert f"http://127.0.0.1:{settings_of('hub').port}/health/ready" in hub[-1]
    assert f"http://127.0.0.1:{simulators()['cpo'].control_port}/state" in cpo[-1]
    assert simulators()["emsp"].control_port == simulators()["cpo"].control_port


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_healthy_once_it_has_made_its_ready_file(name: str, settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of(name)

    assert parts()[name]["healthcheck"]["test"] == ["CMD", "test", "-f", str(settings.ready_file)]
    assert settings.ready_file is not None
    assert str(settings.ready_file.parent) in parts()[name]["tmpfs"]
    assert settings.metrics_port > 0


def test_nothing_of_the_hub_starts_before_schema_and_topics_are_there() -> None:
    waits = {name: _conditions(service) for name, service in load()["services"].items()}

    assert waits["migrate"] == {"postgres": "service_healthy"}
    assert waits["topics"]["kafka"] == "service_healthy"
    for name in ("hub", *WORKERS):
        assert waits[name] == dict.fromkeys(("migrate", "topics"), "service_completed_successfully")


def test_what_others_wait_for_can_become_true() -> None:
    services = load()["services"]
    conditions = [pair for service in services.values() for pair in _conditions(service).items()]

    for name, condition in conditions:
        if condition == "service_healthy":
            assert "healthcheck" in services[name]
        else:
            assert services[name]["restart"] == "on-failure"


def test_one_service_builds_the_image_and_all_others_wait_for_it() -> None:
    builders = [name for name, service in load()["services"].items() if "build" in service]

    assert builders == ["migrate"]
    assert all("migrate" in _upstream(name) for name, service in parts().items() if "build" not in service)
    assert all(service["image"] == IMAGE for service in parts().values())


@pytest.mark.parametrize("service", sorted(parts()))
def test_a_part_has_no_rights_that_it_does_not_need(service: str) -> None:
    given = parts()[service]

    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]


def _conditions(service: dict[str, Any]) -> dict[str, str]:
    return {name: each["condition"] for name, each in service.get("depends_on", {}).items()}


def _upstream(name: str) -> set[str]:
    direct = set(_conditions(load()["services"][name]))
    return direct.union(*(_upstream(each) for each in direct))
