"""A Flask receiver that answers only to webhooks Offhook signed, and does each event's work once.

WEBHOOK_SECRET holds your webhook secret; while you replace it, the new and the old one, with a space between.
"""

import os

from flask import Flask, Response, jsonify

from offhook.receiver import DuplicateFilter, Event
from offhook.receiver.flask import verified_webhook

app = Flask(__name__)
duplicates = DuplicateFilter()


@app.post("/voipbin/webhook")
@verified_webhook(os.environ["WEBHOOK_SECRET"].split())
def webhook(event: Event) -> Response:
    if not duplicates.seen(event.id):
        work_on(event)
        duplicates.mark(event.id)  # only now: had the work failed, the next attempt must not count as a duplicate
    return jsonify({"status": "received"})


def work_on(event: Event) -> None:
    """Keep this short: Offhook waits five seconds. Hand longer work to a queue of your own."""
    match event.type:
        case "call_hungup":
            print(f"Call {event.data['id']} ended: {event.data['hangup_reason']}")
        case "message_created":
            print(f"Message from {event.data['source']['target']}: {event.data['text']}")
        case "recording_updated":
            print(f"Recording {event.data['id']} status: {event.data['status']}")
        case _:
            print(f"Event {event.type}, number {event.sequence} of {event.subject}")


if __name__ == "__main__":
    app.run(host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "5000")))
