"""What a flow sends to an address of its customer's, and waits for."""

from __future__ import annotations

from offhook.domain.step import Command, Policy


class WebRequest(Command, frozen=True, kw_only=True, tag="web_request", tag_field="kind"):
    """One request, signed as webhooks are, by the same guarded way; `Answered` tells what came back, if anything did.

    It is made once. A crash may repeat it: then with the same id, which is its `webhook-id`. `longest_answer` is how
    many bytes of the answer are wanted.
    """

    policy = Policy.AGAIN

    activeflow_id: str
    customer_id: str
    turn: int
    method: str
    uri: str
    content_type: str
    body: str
    longest_answer: int = 0

    @property
    def lane(self) -> str:
        """The activeflow's own."""
        return f"web/{self.activeflow_id}"
