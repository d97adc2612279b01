"""What the distribution `offhook-receiver` is made of: the room `receiver`, and the rules it shares with the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARED = "standard_webhooks.py"


class ReceiverFiles(BuildHookInterface):
    """Names each file and its place: in a checkout those of the server's sources, in an sdist its own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        unpacked = Path(self.root, "src")
        package = (unpacked if unpacked.is_dir() else Path(self.root).parents[1] / "src") / "offhook"
        room = package / "receiver"
        sources = {path.name: path for path in room.iterdir() if path.suffix == ".py" or path.name == "py.typed"}
        if not unpacked.is_dir():
            sources[SHARED] = package / "domain" / "delivery" / SHARED
        place = "src/offhook/receiver" if self.target_name == "sdist" else "offhook/receiver"
        build_data["force_include"].update({str(path): f"{place}/{name}" for name, path in sources.items()})
