"""The `hub` command: every way to run and operate the hub, one sub-command each.

Exit codes: 0 done, 1 failed, 2 wrong usage; the operator's commands add their own (`hub --help`).
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.errors import ConfigurationError, HubError
from hub.settings import load_settings
from infra import cli_operate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The open OCPI roaming hub: run it, and operate it.",
)
db = typer.Typer(no_args_is_help=True, help="The database's schema.")
topics = typer.Typer(no_args_is_help=True, help="The Kafka topics.")
app.add_typer(db, name="db")
app.add_typer(topics, name="topics")
cli_operate.add_to(app)


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept")] = Path(".hub"),
    port: Annotated[int, typer.Option(help="Port of the hub")] = 8080,
) -> None:
    """Run a whole hub here: Postgres, Kafka, the HTTP process and one of each worker.

    Prints one line `ready {…}` with its URLs when every part is ready. SIGTERM or Ctrl-C stops everything in order.
    """
    from infra.dev.up import up as run_up

    raise typer.Exit(asyncio.run(run_up(data_dir, port)))


@app.command()
def serve() -> None:
    """Run the HTTP process: OCPI for partners, /admin/v1 for operators, /health and /metrics."""
    from hub.app import serve as run_serve

    run_serve(load_settings())


@app.command()
def worker(name: Annotated[str, typer.Argument(help="relay, fanout, presence, sync or ledger")]) -> None:
    """Run one worker."""
    from workers.app import run_worker

    run_worker(name, load_settings())


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def simulate(context: typer.Context, role: Annotated[str, typer.Argument(help="cpo, emsp or both")] = "") -> None:
    """Run a simulated partner platform: hub simulate cpo --party NL/ABC … (hub simulate cpo --help)."""
    from infra.dev.partner.__main__ import main as run_partner

    raise typer.Exit(run_partner(["--role", role, *context.args] if role not in {"", "--help"} else ["--help"]))


@db.command("migrate")
def db_migrate() -> None:
    """Bring the database at HUB_POSTGRES_URL to this release's schema."""
    from infra.migrate import migrate

    applied = asyncio.run(migrate(load_settings().require("postgres_url")))
    print(f"applied {', '.join(applied)}" if applied else "nothing to apply", file=sys.stderr)  # noqa: T201


@topics.command("apply")
def topics_apply() -> None:
    """Create the topics that are missing at HUB_KAFKA_BOOTSTRAP and set every topic's settings."""
    from hub.messaging.topics import Topics

    settings = load_settings()
    table = Topics(settings.topic_prefix, settings.topic_partitions, settings.topic_replication)
    created = asyncio.run(table.apply(settings.require("kafka_bootstrap")))
    print(f"created {', '.join(created)}" if created else "nothing to create", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Run the command line; what the operator can mend is one line, not a traceback."""
    try:
        app()
    except ConfigurationError as error:
        _fail(str(error))
    except HubError as error:
        _fail(f"{type(error).__name__}: {error}")


def _fail(message: str) -> None:
    print(f"hub: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(1)


if __name__ == "__main__":
    main()
