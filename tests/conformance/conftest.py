"""One hub and one set of connected parties for all cases, and the table of rules behind the run."""

import inspect
import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.adapter import Operator, Profile, chosen_adapter
from tests.conformance.check import settle
from tests.conformance.report import publish
from tests.conformance.world import World

_HERE = Path(__file__).parent
_seconds: dict[str, float] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All cases share the event loop in which the parties listen."""
    for item in items:
        if item.path.parent == _HERE and isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    """The hub under test; it ends with the last case, before other tests begin."""
    async with chosen_adapter()(Profile(), tmp_path_factory.mktemp("conformance")) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(operator: Operator) -> AsyncIterator[World]:
    """Everyone, connected."""
    made = World(operator)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A case fails by every rule that it found broken, whatever else stopped it."""
    try:
        yield
    finally:
        if item.path.parent == _HERE:
            settle()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how long each case took."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line, and the whole table where `CONFORMANCE_TABLE` names the file that it is written to."""
    file = os.environ.get("CONFORMANCE_TABLE")
    publish(terminalreporter.write_line, _seconds, Path(file) if file else None)
