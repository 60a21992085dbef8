"""The `hub` command: every way to run and operate the hub, one sub-command each."""

import typer

app = typer.Typer(no_args_is_help=True, help="The open OCPI roaming hub.")


@app.callback()
def root() -> None:
    """The open OCPI roaming hub."""


def main() -> None:
    """Run the command line."""
    app()
