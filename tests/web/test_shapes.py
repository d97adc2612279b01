"""What the API shows and reads, value by value, without a server."""

from __future__ import annotations

import msgspec
import pytest

from offhook.domain.accounts.access_key import AccessKey
from offhook.domain.accounts.agent import Agent, AgentProfile
from offhook.domain.accounts.customer import Customer
from offhook.domain.catalogue.fields import Address
from offhook.domain.delivery.counts import Counts
from offhook.domain.delivery.delivery_log import (
    FailureGroup,
    LoggedAttempt,
    LoggedDelivery,
    LoggedStatus,
    WebhookNumbers,
)
from offhook.domain.delivery.health import Failure
from offhook.domain.delivery.latency import middle_ms
from offhook.domain.delivery.standing import Standing, State
from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID
from offhook.web.shapes.accounts import access_key_shape, agent_shape, customer_shape
from offhook.web.shapes.deliveries import attempt_row, delivery_rows, read_status, webhook_stats
from offhook.web.shapes.page_tokens import key_token, read_key_token
from tests.domain.delivery.test_standing import WEBHOOK

NINE_US = 1_777_712_400_000_000  # 2026-05-02T09:00:00Z


def test_a_delivery_is_shown_as_the_contract_says() -> None:
    delivery = LoggedDelivery(
        key=12,
        destination_key=3,
        event_id="evt_1",
        event_type="call_hungup",
        subject="call/1",
        activeflow_id="",
        uri="https://hooks.example.com/",
        status=LoggedStatus.HELD,
        held_reason="gone",
        attempt_count=2,
        last_outcome="server_error",
        last_status_code=503,
        created_us=NINE_US,
        next_attempt_us=None,
        done_us=None,
        last_latency_ms=7,
    )
    assert msgspec.json.encode(delivery_rows([delivery], lambda shown: shown.key - 1)) == (
        b'[{"id":"12","event_id":"evt_1","event_type":"call_hungup","subject":"call/1","destination":"customer",'
        b'"uri":"https://hooks.example.com/","status":"held","held_reason":"gone","behind":11,'
        b'"attempt_count":2,'
        b'"last_outcome":"server_error","last_status_code":503,"last_latency_ms":7,"last_detail":"",'
        b'"tm_create":"2026-05-02T09:00:00Z",'
        b'"tm_next_attempt":null,"tm_done":null}]'
    )


def test_an_attempt_at_an_activeflows_webhook_shows_what_can_be_read_of_its_answer() -> None:
    attempt = LoggedAttempt(1, "f1", "https://f.example.com/", "client_error", 404, 7, b"no\xff", NINE_US + 500_000)
    assert msgspec.json.encode(attempt_row(attempt)).decode() == (
        '{"number":1,"destination":"activeflow/f1","uri":"https://f.example.com/","outcome":"client_error",'
        '"status_code":404,"latency_ms":7,"response":"no\ufffd","detail":"","tm_start":"2026-05-02T09:00:00.5Z"}'
    )


def numbers_of(window: Counts) -> WebhookNumbers:
    return WebhookNumbers(
        destination=WEBHOOK,
        from_us=NINE_US,
        window=window,
        failures=[FailureGroup("client_error", 404, 2, NINE_US, NINE_US + 60_000_000)],
        last_hour=Counts(),
        last_day=window,
        waiting_count=3,
        oldest_waiting_us=NINE_US,
        last_created_us=NINE_US,
    )


def test_numbers_are_rounded_for_people() -> None:
    window = Counts(created=9, first={17: 1}, later={40: 1}, failures={("client_error", 404): 2, ("refused", None): 2})
    standing = Standing(State.FAILING, NINE_US, "client_error", Failure("client_error", 404))
    shown = webhook_stats(numbers_of(window), standing, NINE_US + 1_234_567)
    assert (shown.tm_from, shown.pending, shown.held, shown.failed_attempts) == ("2026-05-02T09:00:00Z", 3, 0, 4)
    assert (shown.success_rate, shown.oldest_undelivered_age_s) == (0.3333, 1.235)
    assert (shown.state, shown.since, shown.reason) == ("failing", "2026-05-02T09:00:00Z", "client_error")
    assert (shown.last_status_code, shown.last_detail, shown.next_probe) == (404, "", None)
    assert (shown.first_try_latency_p50_ms, shown.latency_p99_ms) == (middle_ms(17), middle_ms(40))
    assert shown.last_hour.success_rate is None
    assert shown.last_day.events == shown.events == 9
    assert msgspec.to_builtins(shown.failures) == [
        {
            "outcome": "client_error",
            "status_code": 404,
            "count": 2,
            "tm_first": "2026-05-02T09:00:00Z",
            "tm_last": "2026-05-02T09:01:00Z",
        }
    ]
    assert webhook_stats(numbers_of(window), standing, NINE_US - 1).oldest_undelivered_age_s == 0


def test_a_status_is_read_as_it_is_shown() -> None:
    assert [read_status(status.value) for status in LoggedStatus] == list(LoggedStatus)
    assert read_status(None) is None
    with pytest.raises(InvalidError, match="pending, held, succeeded, exhausted, cancelled") as refused:
        read_status("")
    assert refused.value.field == "status"


@pytest.mark.parametrize("key", [None, 0, 1, 10**18 - 1])
def test_a_list_of_deliveries_goes_on_where_it_ended(key: int | None) -> None:
    assert read_key_token(key_token(key)) == key


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "9" * 30, "२"])
def test_a_foreign_token_names_its_field(token: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_key_token(token)
    assert (refused.value.field, refused.value.reason) == ("page_token", "INVALID_REQUEST_PARAMETER")


def test_a_customer_is_shown_with_what_deserves_a_second_look() -> None:
    customer = Customer(
        id="c",
        name="N",
        detail="",
        email="e@x",
        phone_number="",
        address="",
        has_rtp_debug=False,
        status="active",
        webhook_uri="http://a.example.com/",
        webhook_method="POST",
        webhook_held_reason="failing",
        webhook_secret="whsec_x",
        deletion_scheduled_us=None,
        created_us=NINE_US,
        updated_us=None,
        deleted_us=None,
    )
    shown = msgspec.json.decode(msgspec.json.encode(customer_shape(customer)))
    assert "webhook_secret" not in shown
    assert (shown["webhook_disabled_reason"], shown["tm_create"]) == ("failing", "2026-05-02T09:00:00Z")
    assert (shown["billing_account_id"], shown["metadata"]) == (NIL_UUID, {"rtp_debug": False})
    assert "plain http" in shown["warnings"][0]
    assert customer_shape(customer, with_secret=True).webhook_secret == "whsec_x"


def test_a_webhook_that_is_off_is_not_disabled_and_shows_no_method() -> None:
    off = Customer("c", "", "", "", "", "", False, "active", "", "POST", "off", "s", None, NINE_US, None, None)
    shown = customer_shape(off)
    assert (shown.webhook_uri, shown.webhook_method, shown.webhook_disabled_reason) == ("", "", "")
    assert shown.warnings is msgspec.UNSET


def test_an_agents_addresses_are_shown_whole() -> None:
    profile = AgentProfile("a", 16, tag_ids=["t"], addresses=[Address(type="tel", target="+1")])
    shown = agent_shape(Agent("i", "c", profile, "offline", NINE_US, None, None))
    assert shown.addresses == [{"type": "tel", "target": "+1", "target_name": "", "name": "", "detail": ""}]
    assert (shown.tag_ids, shown.ring_method, shown.tm_create) == (["t"], "ringall", "2026-05-02T09:00:00Z")


def test_a_keys_secret_is_shown_by_the_answer_that_makes_it() -> None:
    key = AccessKey("i", "c", "n", "", "vb_12345678", NINE_US, NINE_US, None, None)
    assert b'token"' not in msgspec.json.encode(access_key_shape(key))
    assert access_key_shape(key, "vb_secret").token == "vb_secret"
