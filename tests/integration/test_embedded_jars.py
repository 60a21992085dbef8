"""Kafka's jars come whole and verified, from where the user's configuration says, and a broken fetch goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from infra.dev.failures import JarsOutOfReach
from infra.dev.jars import Jar, cache_dir, class_path, locked_jars


class Repository:
    """A Maven repository on a real socket; it has what this user's cache has, and can be told to lack or spoil a jar."""

    def __init__(self, jars: dict[str, Path]) -> None:
        self.jars = jars
        self.lacking: set[str] = set()
        self.spoiled: set[str] = set()
        self.served: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        if name not in self.jars or name in self.lacking:
            return web.Response(status=404)
        self.served.append(name)
        if name in self.spoiled:
            return web.Response(body=b"not what was locked")
        return web.FileResponse(self.jars[name])


@asynccontextmanager
async def serving(repository: Repository) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", repository.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    paths = await class_path(cache_dir(), tmp_path / "fetch.log", lambda _: None)
    return Repository({path.name: path for path in paths})


def use(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "jgo.conf"
    config.write_text(f"[repositories]\nhere = {url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))


def names(jars: list[Path]) -> list[str]:
    return sorted(jar.name for jar in jars)


async def test_a_fetch_that_broke_off_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Repository
) -> None:
    cache, log, said = tmp_path / "cache", tmp_path / "fetch.log", list[str]()
    last = locked_jars()[-1].file_name
    repository.lacking = {last}
    async with serving(repository) as url:
        use(url, tmp_path, monkeypatch)
        with pytest.raises(JarsOutOfReach, match=f"{last} of Kafka cannot be fetched"):
            await class_path(cache, log, said.append)
        repository.lacking.clear()
        repository.served.clear()
        jars = await class_path(cache, log, said.append)
    assert repository.served == [last]
    assert names(jars) == names(list(cache.iterdir())) == sorted(jar.file_name for jar in locked_jars())
    assert said[-1] == f"fetching Kafka: {len(jars)}/{len(jars)} jars"
    assert cache.stat().st_mode & 0o777 == 0o700


async def test_a_jar_that_is_not_the_locked_one_never_enters_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Repository
) -> None:
    spoiled = locked_jars()[0].file_name
    repository.spoiled = {spoiled}
    async with serving(repository) as url:
        use(url, tmp_path, monkeypatch)
        with pytest.raises(JarsOutOfReach, match=f"{spoiled} is not the file that was locked"):
            await class_path(tmp_path / "cache", tmp_path / "fetch.log", lambda _: None)
    assert not (tmp_path / "cache" / spoiled).exists()


async def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("http://127.0.0.1:1", tmp_path, monkeypatch)
    with pytest.raises(JarsOutOfReach, match=r"check the network .* or set HUB_KAFKA_BOOTSTRAP"):
        await class_path(tmp_path / "cache", tmp_path / "fetch.log", lambda _: None)


def test_a_damaged_jar_counts_as_missing(tmp_path: Path) -> None:
    jar = Jar("org.example", "thing", "1.0", "0" * 64)
    (tmp_path / jar.file_name).write_bytes(b"half of i")
    assert not jar.is_at(tmp_path / jar.file_name)
