"""`python -m infra.dev.partner`: one platform in one process."""

import argparse
import sys

import uvloop

from infra.dev.partner.handshake import HandshakeError
from infra.dev.partner.options import add_arguments, from_arguments
from infra.dev.partner.run import run


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 stopped as told, 1 could not start, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="partner", description="A simulated OCPI 2.2.1 platform.")
    add_arguments(parser)
    try:
        options = from_arguments(parser.parse_args(arguments))
    except ValueError as error:
        parser.error(str(error))
    try:
        uvloop.run(run(options))
    except (ValueError, OSError, HandshakeError) as error:
        sys.stderr.write(f"partner: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
