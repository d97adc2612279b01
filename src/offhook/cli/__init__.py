"""The command line. `offhook.cli:main` is what the installed program runs."""

from offhook.cli.main import main

__all__ = ["main"]
