"""A receiver of Python's own library and `offhook.receiver`, nothing else: it answers only to webhooks Offhook signed.

WEBHOOK_SECRET holds your webhook secret; while you replace it, the new and the old one, with a space between. For
trying out and for small things; in front of the internet use a web server (verified_flask.py, verified_asgi.py).
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from offhook.receiver import DuplicateFilter, Event, VerificationError, Verifier

MAX_BODY_BYTES = 1024 * 1024

verifier = Verifier(os.environ.get("WEBHOOK_SECRET", "").split())
duplicates = DuplicateFilter()


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a word, then the connection is closed

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self.answer(413, {"reason": "BODY_TOO_LARGE"})
            return
        body = self.rfile.read(int(length))
        if self.path != "/voipbin/webhook":
            self.answer(404, {"reason": "NOT_FOUND"})
            return
        try:
            event = verifier.verify(self.headers, body)
        except VerificationError as error:
            print(f"Refused: {error.message}", flush=True)
            self.answer(400, {"reason": error.reason, "message": error.message})
            return
        if not duplicates.seen(event.id):
            work_on(event)
            duplicates.mark(event.id)  # only now: had the work failed, the next attempt must not count as a duplicate
        self.answer(200, {"status": "received"})

    do_PUT = do_POST  # noqa: N815 - the name that http.server calls

    def answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def work_on(event: Event) -> None:
    """Keep this short: Offhook waits five seconds. Hand longer work to a queue of your own."""
    match event.type:
        case "call_hungup":
            print(f"Call {event.data['id']} ended: {event.data['hangup_reason']}", flush=True)
        case "message_created":
            print(f"Message from {event.data['source']['target']}: {event.data['text']}", flush=True)
        case _:
            print(f"Event {event.type}, number {event.sequence} of {event.subject}", flush=True)


if __name__ == "__main__":
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "5000")))
    server = ThreadingHTTPServer(address, Webhook)
    print(f"Listening at http://{address[0]}:{server.server_port}/voipbin/webhook; Ctrl-C ends.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
