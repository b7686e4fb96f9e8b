"""The command line: `main` reads it, and one file per family of commands does what it asks for."""

from equipoise.cli.main import main

__all__ = ["main"]
