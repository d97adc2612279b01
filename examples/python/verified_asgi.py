"""An ASGI receiver that answers only to webhooks Offhook signed, and does each event's work once.

WEBHOOK_SECRET holds your webhook secret; while you replace it, the new and the old one, with a space between.
"""

import os

import uvicorn

from offhook.receiver import DuplicateFilter, Event
from offhook.receiver.asgi import WebhookEndpoint

duplicates = DuplicateFilter()


async def on_event(event: Event) -> None:
    if duplicates.seen(event.id):
        return
    print(f"{event.type} of {event.subject}: {event.data.get('status', '')}", flush=True)
    duplicates.mark(event.id)  # only now: had the work failed, the next attempt must not count as a duplicate


app = WebhookEndpoint(on_event, os.environ["WEBHOOK_SECRET"].split())

if __name__ == "__main__":
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "5000")))
