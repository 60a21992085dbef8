"""The operators' commands, put into the root command."""

import typer

from infra import cli_dead_letter, cli_look, cli_party, cli_platform, cli_receiver, cli_status
from infra.cli_client import EXIT_CODES


def add_to(root: typer.Typer) -> None:
    """Add `party`, `platform`, `exchange`, `object`, `receiver`, `dead-letter`, `status` and `settings`."""
    root.add_typer(cli_party.app, name="party")
    root.add_typer(cli_platform.app, name="platform")
    root.add_typer(cli_look.exchange_app, name="exchange")
    root.add_typer(cli_look.object_app, name="object")
    root.add_typer(cli_receiver.app, name="receiver")
    root.add_typer(cli_dead_letter.app, name="dead-letter")
    root.command("status", epilog=EXIT_CODES)(cli_status.status)
    root.command("settings", epilog=EXIT_CODES)(cli_status.settings)
