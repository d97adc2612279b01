"""An Asterisk of the operator's own: where it is, and who we are there."""

from __future__ import annotations

from pathlib import Path

from offhook.domain.errors import MisconfiguredError
from offhook.switch.asterisk.ari import AriEndpoint


def own_asterisk(url: str, user: str, password_file: str) -> AriEndpoint:
    """Its ARI. Raises MisconfiguredError (switch.asterisk_password_file)."""
    file = Path(password_file)
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MisconfiguredError(
            f"The ARI password cannot be read from {str(file)!r}: {error}. Set switch.asterisk_password_file.",
            field="switch.asterisk_password_file",
        ) from None
    return AriEndpoint(url.rstrip("/"), user, password)
