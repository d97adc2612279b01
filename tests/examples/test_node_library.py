"""The public Node.js package and Offhook accept each other's signatures: one process, many cases."""

from __future__ import annotations

import json
import random
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offhook.domain.catalogue import EVENT_TYPES, sample
from offhook.domain.delivery.signature import Signer, new_secret
from offhook.domain.ids import new_event_id
from offhook.receiver import verify

PROGRAM = Path(__file__).with_name("standard_webhooks.js")


def cases() -> list[dict[str, Any]]:
    chance = random.Random(1)
    texts = ["", "é", "漢字 🎉", '"quoted" \\ back', "\u2028", "a\u0000b", "x" * 5_000]
    bodies = [json.dumps(sample(name)) for name in EVENT_TYPES]
    bodies += [json.dumps({"type": "t", "data": {"text": text}}, ensure_ascii=False) for text in texts]
    made = []
    for body in bodies * 3:
        secrets = [new_secret() for _ in range(chance.randint(1, 3))]
        event_id, timestamp = new_event_id(), int(time.time()) - chance.randint(0, 200)
        signature, _ = Signer(secrets).headers(event_id, timestamp, body.encode())
        case = {"id": event_id, "timestamp": timestamp, "body": body, "signature": signature}
        made += [case | {"secret": secret} for secret in secrets]
    return made


def answers_of(node: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(case) + "\n" for case in asked)
    done = subprocess.run([node, str(PROGRAM)], input=lines, capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked)
    return answers


def test_each_accepts_what_the_other_signed(node: str) -> None:
    asked = cases()
    for case, answer in zip(asked, answers_of(node, asked), strict=True):
        assert answer["verified"], case
        headers = {
            "webhook-id": case["id"],
            "webhook-timestamp": str(case["timestamp"]),
            "webhook-signature": answer["signed"],
        }
        event = verify(headers, case["body"].encode(), case["secret"], now=datetime.now(UTC))
        assert {"type": event.type, "data": event.data} == json.loads(case["body"])


def test_it_refuses_what_was_signed_with_another_secret(node: str) -> None:
    asked = [case | {"secret": new_secret()} for case in cases()[:10]]
    assert not any(answer["verified"] for answer in answers_of(node, asked))
