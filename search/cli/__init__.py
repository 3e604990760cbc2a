"""The command line: `main` is the command `attenergy`."""

from attenergy.search.cli.app import main

__all__ = ["main"]
