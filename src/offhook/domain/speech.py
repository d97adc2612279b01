"""What is to be spoken: a command for whoever makes sound of text."""

from __future__ import annotations

from offhook.domain.step import Command, Policy


class Speak(Command, frozen=True, kw_only=True, tag_field="kind", tag="speak"):
    """Make a sound of a text; `Done` names it as `switch.commands.Play` takes it.

    It is of no channel's lane: nothing waits for it but the rules, and a call must be able to end meanwhile.
    """

    policy = Policy.AGAIN

    text: str
    language: str = ""
    voice: str = ""

    @property
    def lane(self) -> str:
        """Its own."""
        return f"speech/{self.id}"
