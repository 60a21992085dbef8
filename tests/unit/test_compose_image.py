"""The image holds what the containers run, from locks that agree with the project's, and its page tells the same."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from infra.dev import demo_data
from tests.unit.compose_file import IMAGE, TOP, environment, load, simulators, variables
from workers import WORKERS

DOCKER: Final = TOP / "infra" / "docker"
DOCKERFILE: Final = DOCKER / "Dockerfile"
PAGE: Final = TOP / "infra" / "docs" / "containers.md"
LOCKS: Final = ("requirements.lock", "build.lock")
PACKAGES: Final = ("hub", "workers", "infra")


def pins(lock: Path) -> dict[str, str]:
    """Package to version."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))


def project() -> dict[str, Any]:
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def instructions(word: str) -> list[str]:
    """What stands behind one instruction of the Dockerfile, continued lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return re.findall(rf"^{word}\s+(.+)$", text, re.MULTILINE)


def names(requirements: list[str]) -> set[str]:
    """The packages that a list of requirements names."""
    return {match[0] for each in requirements if (match := re.match(r"[\w.-]+", each))}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_downloaded_is_checked_against_its_hash(lock: str) -> None:
    pinned = re.split(r"^(?=[\w.-]+==)", (DOCKER / lock).read_text(), flags=re.MULTILINE)[1:]
    installs = [part for line in instructions("RUN") for part in line.split("&&") if f"infra/docker/{lock}" in part]

    assert pinned
    assert all("--hash=sha256:" in each for each in pinned)
    assert len(installs) == 1
    assert all("--require-hashes" in each for each in installs)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_of_the_image_agree_with_the_lock_of_the_project(lock: str) -> None:
    assert pins(DOCKER / lock).items() <= pins(TOP / "requirements.lock").items()


def test_the_lock_of_the_image_holds_every_dependency_and_no_extra() -> None:
    described = project()["project"]
    extras = set().union(*(names(extra) for extra in described["optional-dependencies"].values()))
    locked = pins(DOCKER / "requirements.lock").keys()

    assert names(described["dependencies"]) <= locked
    assert not extras & locked


def test_the_lock_of_the_build_holds_what_the_build_needs() -> None:
    assert names(project()["build-system"]["requires"]) <= pins(DOCKER / "build.lock").keys()


@pytest.mark.parametrize("path", [DOCKERFILE, *(DOCKER / lock for lock in LOCKS), TOP / ".dockerignore"])
def test_no_download_host_is_named(path: Path) -> None:
    assert "://" not in path.read_text()


def test_the_image_runs_the_command_of_the_project_as_an_ordinary_user() -> None:
    (user,) = instructions("USER")

    assert instructions("ENTRYPOINT") == ['["hub"]']
    assert "hub" in project()["project"]["scripts"]
    assert int(user.split(":")[0]) > 0


def test_the_image_has_a_python_that_the_project_runs_on() -> None:
    images = {line.split()[0] for line in instructions("FROM")}

    assert images == {"python:3.11-slim"}
    assert project()["project"]["requires-python"] == ">=3.11"


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    copied = {source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    allowed = {line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert {source.split("/")[0] for source in copied} == allowed
    assert all((TOP / source).exists() for source in copied)


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=TOP,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    files = [path.relative_to(TOP).as_posix() for package in PACKAGES for path in (TOP / package).rglob("*")]
    wanted = {name for name in files if (TOP / name).is_file() and "__pycache__" not in name}

    with zipfile.ZipFile(wheel) as built:
        assert wanted <= set(built.namelist())


def test_simulated_partners_load_what_the_image_holds() -> None:
    (linked,) = re.findall(r"ln -s .+ (\S+)", DOCKERFILE.read_text())
    loaded = [path for options in simulators().values() for path in options.load]

    assert loaded
    for path in loaded:
        assert str(path.parent) == linked
        assert (Path(demo_data.__path__[0]) / path.name).exists()


def test_a_service_keeps_its_state_where_the_image_lets_its_user_write() -> None:
    for options in simulators().values():
        assert options.state is not None
        assert instructions("WORKDIR")[-1] == str(options.state.parent)
        assert f"install -d -o hub -g hub -m 0700 {options.state.parent}" in DOCKERFILE.read_text()


def test_compose_builds_from_the_dockerfile() -> None:
    build = load()["services"]["migrate"]["build"]

    assert (TOP / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE.resolve()


def test_the_page_names_every_image_and_service() -> None:
    page = PAGE.read_text()

    assert {service["image"] for service in load()["services"].values()} == set(
        re.findall(r"`((?:postgres|apache/kafka|ocpi-roaming-hub):[^`]+)`", page)
    )
    assert IMAGE in page
    assert all(f"`{name}`" in page for name in (*load()["services"], *WORKERS))


def test_the_page_gives_every_variable_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(HUB_\w+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE))

    shown = {None: "must be given", "": "empty"}
    assert {name: value.strip("` ") for name, value in rows.items()} == {
        name: shown.get(default, default) for name, default in variables().items()
    }


def test_the_page_connects_the_partners_where_they_are() -> None:
    page = PAGE.read_text()

    for name, options in simulators().items():
        (party,) = options.parties
        assert f"--url http://{name}:{options.port}/ocpi/versions" in page
        assert f"--party {party} --role {options.role.upper()}" in page
    assert f"http://127.0.0.1:{simulators()['cpo'].control_port}" in page
    assert environment("hub")["HUB_PUBLIC_URL"] in page
