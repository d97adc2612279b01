"""Every 4xx of every field: the status, the reason, and the field that is named."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.acceptance.server import OffhookServer
from tests.web.conftest import Person

NIL = "00000000-0000-4000-8000-000000000000"
LONG = "x" * 2000
BAD_PAGE = [("page_token", "nonsense", "INVALID_REQUEST_PARAMETER"), ("page_size", "many", "INVALID_REQUEST_PARAMETER")]
NO_BODIES: list[Any] = [None, {}]

BODIES: list[tuple[str, str, Any, int, str, str]] = [
    ("POST", "/auth/login", {}, 400, "INVALID_ARGUMENT", "username"),
    ("POST", "/auth/login", {"username": "a"}, 400, "INVALID_ARGUMENT", "password"),
    ("POST", "/auth/login", {"username": 5, "password": "b"}, 400, "INVALID_ARGUMENT", "username"),
    ("POST", "/auth/login", {"username": "", "password": "b"}, 400, "INVALID_ARGUMENT", "username"),
    ("POST", "/auth/login", {"username": "nobody", "password": "wrong"}, 400, "INVALID_CREDENTIALS", "password"),
    ("POST", "/v1.0/accesskeys", {"expire": 86_399}, 400, "INVALID_ARGUMENT", "expire"),
    ("POST", "/v1.0/accesskeys", {"expire": 90_000.5}, 400, "INVALID_ARGUMENT", "expire"),
    ("POST", "/v1.0/accesskeys", {"expire": "soon"}, 400, "INVALID_ARGUMENT", "expire"),
    ("POST", "/v1.0/accesskeys", {"expires": 90_000}, 400, "INVALID_ARGUMENT", "expires"),
    ("POST", "/v1.0/accesskeys", {"name": LONG}, 400, "INVALID_ARGUMENT", "name"),
    ("POST", "/v1.0/accesskeys", {"detail": "a\u0000b"}, 400, "INVALID_ARGUMENT", "detail"),
    ("PUT", f"/v1.0/accesskeys/{NIL}", {"name": "a"}, 404, "ACCESSKEY_NOT_FOUND", "id"),
    ("PUT", "/v1.0/accesskeys/nonsense", {"name": "a"}, 400, "INVALID_ID", "id"),
    ("GET", f"/v1.0/accesskeys/{NIL}", None, 404, "ACCESSKEY_NOT_FOUND", "id"),
    ("GET", "/v1.0/accesskeys/nonsense", None, 400, "INVALID_ID", "id"),
    ("DELETE", f"/v1.0/accesskeys/{NIL}", None, 404, "ACCESSKEY_NOT_FOUND", "id"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "ftp://a.example/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "/relative"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://u:p@a.example/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://a.example/#x"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://a.example/ x"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://a.example:99999/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "https://[::1/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    (
        "PUT",
        "/v1.0/customer",
        {"webhook_uri": "https://a.example/" + LONG * 2},
        400,
        "INVALID_WEBHOOK_URI",
        "webhook_uri",
    ),
    ("PUT", "/v1.0/customer", {"webhook_uri": "http://10.0.0.1/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "http://169.254.169.254/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "http://0xa9fea9fe/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "http://[64:ff9b::a00:1]/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": "http://[::ffff:10.0.0.1]/"}, 400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ("PUT", "/v1.0/customer", {"webhook_uri": 5}, 400, "INVALID_ARGUMENT", "webhook_uri"),
    (
        *("PUT", "/v1.0/customer", {"webhook_uri": "https://a.example/", "webhook_method": "PATCH"}),
        *(400, "INVALID_WEBHOOK_METHOD", "webhook_method"),
    ),
    (
        "PUT",
        "/v1.0/customer",
        {"webhook_uri": "", "webhook_method": "NO"},
        400,
        "INVALID_WEBHOOK_METHOD",
        "webhook_method",
    ),
    ("PUT", "/v1.0/customer", {"name": LONG}, 400, "INVALID_ARGUMENT", "name"),
    ("PUT", "/v1.0/customer", {"detail": "a\rb"}, 400, "INVALID_ARGUMENT", "detail"),
    ("PUT", "/v1.0/customer", {"email": LONG}, 400, "INVALID_ARGUMENT", "email"),
    ("PUT", "/v1.0/customer", {"phone_number": 5}, 400, "INVALID_ARGUMENT", "phone_number"),
    ("PUT", "/v1.0/customer", {"address": []}, 400, "INVALID_ARGUMENT", "address"),
    ("PUT", "/v1.0/customer", [], 400, "INVALID_ARGUMENT", "body"),
    ("PUT", "/v1.0/customer", {"webhook_url": "https://a.example/"}, 400, "INVALID_ARGUMENT", "webhook_url"),
    ("POST", "/v1.0/customer/webhook_test", {"event": "call_hungup"}, 400, "INVALID_ARGUMENT", "event"),
    ("POST", "/v1.0/events/replay", {"after": 0, "dry": True}, 400, "INVALID_ARGUMENT", "dry"),
    ("POST", "/auth/login", {"username": "a", "pasword": "b"}, 400, "INVALID_ARGUMENT", "pasword"),
    ("GET", "/v1.0/deliveries?state=held", None, 400, "INVALID_REQUEST_PARAMETER", "state"),
    ("GET", f"/v1.0/calls/{NIL}?call_id=1", None, 400, "INVALID_REQUEST_PARAMETER", "call_id"),
    ("GET", "/v1.0/me?customer_id=1", None, 400, "INVALID_REQUEST_PARAMETER", "customer_id"),
    ("GET", "/readyz?swich", None, 400, "INVALID_REQUEST_PARAMETER", "swich"),
    ("POST", "/v1.0/events?customer=1", {"type": "a", "data": {}}, 400, "INVALID_REQUEST_PARAMETER", "customer"),
    ("POST", "/v1.0/customer/webhook_test", {"type": "no_such"}, 400, "INVALID_ARGUMENT", "type"),
    ("POST", "/v1.0/agents", {"password": "long enough"}, 400, "INVALID_ARGUMENT", "username"),
    ("POST", "/v1.0/agents", {"username": " ", "password": "long enough"}, 400, "INVALID_ARGUMENT", "username"),
    ("POST", "/v1.0/agents", {"username": "a", "password": "short"}, 400, "INVALID_ARGUMENT", "password"),
    (
        *("POST", "/v1.0/agents", {"username": "a", "password": "long enough", "permission": -1}),
        *(400, "INVALID_ARGUMENT", "permission"),
    ),
    (
        *("POST", "/v1.0/agents", {"username": "a", "password": "long enough", "ring_method": "loud"}),
        *(400, "INVALID_ARGUMENT", "ring_method"),
    ),
    (
        *("POST", "/v1.0/agents", {"username": "a", "password": "long enough", "tag_ids": ["x"]}),
        *(400, "INVALID_ARGUMENT", "tag_ids"),
    ),
    (
        *("POST", "/v1.0/agents", {"username": "a", "password": "long enough", "addresses": [{"type": "no"}]}),
        *(400, "INVALID_ARGUMENT", "addresses"),
    ),
    (
        *("POST", "/v1.0/agents", {"username": "admin@localhost", "password": "long enough"}),
        *(409, "ALREADY_EXISTS", "username"),
    ),
    ("GET", f"/v1.0/agents/{NIL}", None, 404, "AGENT_NOT_FOUND", "id"),
    ("PUT", f"/v1.0/agents/{NIL}", {"name": "a"}, 404, "AGENT_NOT_FOUND", "id"),
    ("PUT", f"/v1.0/agents/{NIL}/password", {"password": "long enough"}, 404, "AGENT_NOT_FOUND", "id"),
    ("DELETE", f"/v1.0/agents/{NIL}", None, 404, "AGENT_NOT_FOUND", "id"),
    ("DELETE", "/v1.0/agents/nonsense", None, 400, "INVALID_ID", "id"),
    ("POST", "/v1.0/customers", {"username": "a"}, 400, "INVALID_ARGUMENT", "password"),
    ("POST", "/v1.0/customers", {"username": "b", "password": "short"}, 400, "INVALID_ARGUMENT", "password"),
    (
        *("POST", "/v1.0/customers", {"username": "b", "password": "long enough", "webhook_uri": "x"}),
        *(400, "INVALID_WEBHOOK_URI", "webhook_uri"),
    ),
    ("GET", f"/v1.0/customers/{NIL}", None, 404, "CUSTOMER_NOT_FOUND", "id"),
    ("GET", "/v1.0/customers/nonsense", None, 400, "INVALID_ID", "id"),
    ("POST", f"/v1.0/customers/{NIL}/freeze", None, 404, "CUSTOMER_NOT_FOUND", "id"),
    ("POST", f"/v1.0/customers/{NIL}/recover", None, 404, "CUSTOMER_NOT_FOUND", "id"),
    ("DELETE", f"/v1.0/customers/{NIL}", None, 404, "CUSTOMER_NOT_FOUND", "id"),
    ("GET", "/v1.0/events?after=-1", None, 400, "INVALID_REQUEST_PARAMETER", "after"),
    ("GET", "/v1.0/events?after=x", None, 400, "INVALID_REQUEST_PARAMETER", "after"),
    ("GET", "/v1.0/events?after=1.", None, 400, "INVALID_REQUEST_PARAMETER", "after"),
    ("GET", f"/v1.0/events?after={'%41' * 6_000}", None, 400, "INVALID_REQUEST_PARAMETER", "query"),
    ("PUT", "/v1.0/customer", {"name": "x" * 140_000}, 413, "PAYLOAD_TOO_LARGE", "body"),
    ("GET", "/v1.0/events?customer_id=x", None, 400, "INVALID_REQUEST_PARAMETER", "customer_id"),
    ("GET", f"/v1.0/events?customer_id={NIL}", None, 404, "CUSTOMER_NOT_FOUND", "id"),
    ("GET", "/v1.0/events/none", None, 404, "EVENT_NOT_FOUND", "id"),
    ("GET", "/v1.0/events/none/attempts", None, 404, "EVENT_NOT_FOUND", "id"),
    ("GET", "/v1.0/events?before=yesterday", None, 400, "INVALID_REQUEST_PARAMETER", "before"),
    ("GET", "/v1.0/events?before=newest&after=0", None, 400, "INVALID_REQUEST_PARAMETER", "before"),
    ("GET", "/v1.0/events?before=7.1", None, 409, "CURSOR_OF_ANOTHER_EPOCH", "before"),
    ("POST", "/v1.0/events/none/resend", None, 404, "EVENT_NOT_FOUND", "id"),
    ("DELETE", "/v1.0/events", None, 400, "MISSING_REQUEST_PARAMETER", "subject"),
    ("POST", "/v1.0/events/replay", {}, 400, "INVALID_ARGUMENT", "after"),
    ("POST", "/v1.0/events/replay", {"after": 1, "since": "2026-01-01T00:00:00Z"}, 400, "INVALID_ARGUMENT", "after"),
    ("POST", "/v1.0/events/replay", {"after": -1}, 400, "INVALID_ARGUMENT", "after"),
    ("POST", "/v1.0/events/replay", {"after": 1.5}, 400, "INVALID_ARGUMENT", "after"),
    ("POST", "/v1.0/events/replay", {"after": "1.x"}, 400, "INVALID_ARGUMENT", "after"),
    ("POST", "/v1.0/events/replay", {"since": "yesterday"}, 400, "INVALID_ARGUMENT", "since"),
    ("POST", "/v1.0/events/replay", {"after": 0, "until": "2026-01-01"}, 400, "INVALID_ARGUMENT", "until"),
    ("POST", "/v1.0/events/replay", {"after": 0, "only": "some"}, 400, "INVALID_ARGUMENT", "only"),
    ("POST", "/v1.0/events", {"type": "a"}, 400, "INVALID_ARGUMENT", "data"),
    ("POST", "/v1.0/events", {"data": {}}, 400, "INVALID_ARGUMENT", "type"),
    ("POST", "/v1.0/events", {"type": "Bad", "data": {}}, 400, "INVALID_ARGUMENT", "type"),
    ("POST", "/v1.0/events", {"type": "a", "data": []}, 400, "INVALID_ARGUMENT", "data"),
    ("POST", "/v1.0/events", {"type": "a", "data": {}, "id": "a b"}, 400, "INVALID_ARGUMENT", "id"),
    ("POST", "/v1.0/events", {"type": "a", "data": {}, "subject": "a"}, 400, "INVALID_ARGUMENT", "subject"),
    ("POST", "/v1.0/events", {"type": "a", "data": {}, "more": 1}, 400, "INVALID_ARGUMENT", "more"),
    ("POST", "/v1.0/events", {"type": "call_created", "data": {}}, 400, "INVALID_ARGUMENT", "data.id"),
    ("POST", "/v1.0/events", [], 400, "INVALID_ARGUMENT", "body"),
    ("POST", "/v1.0/events", "text", 400, "INVALID_JSON_BODY", "body"),
    ("POST", "/v1.0/events", {"type": "a", "data": {"x": "y" * 262_144}}, 413, "PAYLOAD_TOO_LARGE", "data"),
    ("GET", "/readyz?switch=false", None, 400, "INVALID_REQUEST_PARAMETER", "switch"),
    ("GET", "/v1.0/deliveries?status=odd", None, 400, "INVALID_ARGUMENT", "status"),
    ("GET", "/v1.0/webhook_stats?seconds=0", None, 400, "INVALID_REQUEST_PARAMETER", "seconds"),
    ("GET", "/v1.0/webhook_stats?seconds=x", None, 400, "INVALID_REQUEST_PARAMETER", "seconds"),
    ("GET", f"/v1.0/calls/{NIL}", None, 404, "CALL_NOT_FOUND", "id"),
    ("GET", "/v1.0/calls/nonsense", None, 400, "INVALID_ID", "id"),
    ("DELETE", f"/v1.0/calls/{NIL}", None, 404, "CALL_NOT_FOUND", "id"),
    *[
        (method, f"/v1.0/calls/{call}/{what}", body, status, reason, "id")
        for method in ("POST", "DELETE")
        for what in ("hold", "mute", "moh", "silence")
        for body in NO_BODIES
        for call, status, reason in ((NIL, 404, "CALL_NOT_FOUND"), ("nonsense", 400, "INVALID_ID"))
    ],
    *[
        (method, f"/v1.0/calls/{NIL}/mute", body, 400, "INVALID_ARGUMENT", field)
        for method in ("POST", "DELETE")
        for body, field in (
            ({"direction": "up"}, "direction"),
            ({"direction": ""}, "direction"),
            ({"way": "in"}, "way"),
            ([], "body"),
        )
    ],
    ("POST", f"/v1.0/calls/{NIL}/mute", {"direction": "in"}, 404, "CALL_NOT_FOUND", "id"),
    *[
        ("GET", f"{path}?{name}={value}", None, 400, reason, name)
        for path in ("/v1.0/accesskeys", "/v1.0/agents", "/v1.0/customers", "/v1.0/deliveries", "/v1.0/calls")
        for name, value, reason in BAD_PAGE
    ],
    ("GET", "/v1.0/events/%00", None, 400, "INVALID_ID", "id"),
    ("GET", "/v1.0/deliveries?subject=a%00", None, 400, "INVALID_REQUEST_PARAMETER", "subject"),
    ("DELETE", "/v1.0/events?subject=%00", None, 400, "INVALID_REQUEST_PARAMETER", "subject"),
    ("POST", "/auth/login", {"username": "a\0b", "password": "x"}, 400, "INVALID_CREDENTIALS", "password"),
    ("POST", "/v1.0/events/replay", {"after": 0, "types": ["\0"]}, 400, "INVALID_ARGUMENT", "types"),
    ("POST", "/v1.0/events", {"type": "a", "data": {"n": [-(10**400)]}}, 400, "INVALID_ARGUMENT", "data"),
    ("PATCH", "/v1.0/customer", {}, 405, "METHOD_NOT_ALLOWED", "method"),
    ("GET", "/v1.0/none", None, 404, "ROUTE_NOT_FOUND", "path"),
    ("GET", "/v1.0/events?page_size=many", None, 400, "INVALID_REQUEST_PARAMETER", "page_size"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason", "field"),
    BODIES,
    ids=[f"{row[0]} {row[1]} {row[5]}"[:60] for row in BODIES],
)
def test_a_fault_is_named(
    server: OffhookServer, method: str, path: str, body: Any, status: int, reason: str, field: str
) -> None:
    got, answer = server.request(method, path, body)
    assert got == status, answer
    error = answer["error"]
    assert error["reason"] == reason, error
    assert error["details"][0]["field"] == field, error
    assert error["message"]
    assert error["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "body", "nearest"),
    [
        ("PUT", "/v1.0/customer", {"webhook_url": "https://a.example/"}, "webhook_uri"),
        ("POST", "/v1.0/agents", {"user_name": "a", "password": "long enough"}, "username"),
        ("POST", "/v1.0/customer/webhook_test", {"typ": "call_hungup"}, "type"),
        ("POST", "/v1.0/events", {"type": "a", "data": {}, "subjects": "a/b"}, "subject"),
        ("GET", "/v1.0/events?pagesize=5", None, "page_size"),
        ("DELETE", "/v1.0/events?subjekt=a/b", None, "subject"),
        ("GET", "/v1.0/customer?acceskey=1", None, "accesskey"),
        ("POST", "/v1.0/events?customer=1", {"type": "a", "data": {}}, "customer_id"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_nearest_one(
    server: OffhookServer, method: str, path: str, body: Any, nearest: str
) -> None:
    status, answer = server.request(method, path, body)
    assert (status, f" {nearest}." in answer["error"]["message"]) == (400, True), answer


def test_what_the_clients_of_voipbin_send_is_taken(server: OffhookServer, person: Person) -> None:
    profile = dict.fromkeys(("name", "detail", "email", "phone_number", "address", "webhook_method", "webhook_uri"), "")
    assert person.request("PUT", "/v1.0/customer", profile)[0] == 200
    for path in ("/v1.0/agents", "/v1.0/calls", "/v1.0/accesskeys"):
        status, answer = server.request("GET", f"{path}?page_size=10&page_token=&accesskey={person.token}")
        assert status == 200, answer
    # A call action with an empty object (there is no phone system here), and a lifetime that is a point in time.
    assert person.request("POST", f"/v1.0/calls/{NIL}/hangup", {})[0] == 404
    assert person.request("POST", "/v1.0/accesskeys", {"name": "a", "detail": "b", "expire": 1_800_000_000})[0] == 200


@pytest.mark.parametrize("expire", [2**63, 2**64, 10**30, 10**400, 1e30])
def test_a_lifetime_beyond_every_date_is_capped(person: Person, expire: float) -> None:
    status, made = person.request("POST", "/v1.0/accesskeys", {"name": "for ever", "expire": expire})
    assert (status, str(made.get("tm_expire"))[:4]) == (200, "9999"), made


FAULTS = [
    (b'{"type":"a","data":{"n":NaN}}', "NaN"),
    (b'{"type":"a","data":{"n":-Infinity}}', "-Infinity"),
    (b'{"type":"a","data":{"n":"\\ud800"}}', "surrogate"),
    (b'{"type":"a","data":{"n":' + b"[" * 70 + b"]" * 70 + b"}}", "nested"),
    (b'{"type":"a","data":{"n":' + b"[" * 40_000 + b"]" * 40_000 + b"}}", "nested"),
    (b'{"type":"a","data":{"n":"\xff"}}', "UTF-8"),
    (b'{"type":"a","data":{"n":1 2}}', "delimiter"),
]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("bad", "fault"), FAULTS, ids=[f"{fault} {len(bad)}" for bad, fault in FAULTS])
def test_a_fault_of_a_batch_is_named_with_its_index(person: Person, bad: bytes, fault: str, large: bool) -> None:
    good = b'{"type":"a","data":{"note":"' + b"x" * (80_000 if large else 1) + b'"}}'
    error = publish(person, b"[" + good + b", " + bad + b", " + good + b"]")
    assert error["details"][0]["index"] == 1, error
    assert error["message"].startswith("Event 1: ")
    assert fault in error["message"]
    assert fault in publish(person, bad)["message"]
    assert person.request("GET", "/v1.0/events")[1]["result"] == []


def publish(person: Person, body: bytes) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", person.server.port, timeout=20)
    connection.request("POST", "/v1.0/events", body, {"Authorization": f"Bearer {person.token}"})
    answer = connection.getresponse()
    assert answer.status == 400
    error: dict[str, Any] = json.loads(answer.read())["error"]
    connection.close()
    return error


def test_a_batch_names_the_index_and_keeps_nothing(server: OffhookServer, person: Person) -> None:
    good, bad = {"type": "a", "data": {}}, {"type": "a", "data": 5}
    status, answer = person.request("POST", "/v1.0/events", [good, good, bad])
    assert status == 400
    assert answer["error"]["details"][0] == {"field": "data", "index": 2}
    assert person.request("GET", "/v1.0/events")[1]["result"] == []


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [("/v1.0/none", 404, "ROUTE_NOT_FOUND"), ("/none", 404, "ROUTE_NOT_FOUND"), ("/v1.0/customer/", 200, "")],
)
def test_an_unknown_route_has_the_envelope(server: OffhookServer, path: str, status: int, reason: str) -> None:
    got, answer = server.request("GET", path)
    assert got == status
    if reason:
        assert answer["error"]["reason"] == reason


def test_a_wrong_method_is_a_405_with_the_envelope(server: OffhookServer) -> None:
    status, answer = server.request("DELETE", "/v1.0/customer")
    assert (status, answer["error"]["reason"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"nonsense",
        b"[" * 100_000,
        b'{"type":"a","data":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"type":"a","data":{"n":1e999}}',
        b'{"type":"a","data":{"n":NaN}}',
        b'{"type":"a","data":{"s":"\\ud800"}}',
        b'\xef\xbb\xbf{"type":"a","data":{}}',
        b'{"type":"a","data":{"s":"\xff"}}',
    ],
    ids=range(11),
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1.0/events"), ("PUT", "/v1.0/customer"), ("POST", "/auth/login")]
)
def test_garbage_is_a_400(server: OffhookServer, method: str, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    if path == "/v1.0/customer" and answer.status == 200:
        # What the publish route refuses for its data is, to this one, an object with unknown fields.
        assert body.startswith(b'{"type"')
        return
    assert answer.status == 400, content
    assert content["error"]["details"][0]["field"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/v1.0/events", "/v1.0/customer"])
def test_a_huge_body_is_refused_before_it_is_read(server: OffhookServer, path: str, chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("PUT" if path.endswith("customer") else "POST", path)
    connection.putheader("Authorization", f"Bearer {server.token}")
    connection.putheader("Content-Type", "application/json")
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        chunk = b"x" * 1_048_576
        try:
            for _ in range(18):
                connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        except (BrokenPipeError, ConnectionResetError):
            pass
    else:
        connection.putheader("Content-Length", str(17 * 1_048_576))
        connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["reason"] == "PAYLOAD_TOO_LARGE"
    connection.close()


@pytest.mark.parametrize(
    ("path", "allowed"), [("/v1.0/customer", {"GET", "PUT"}), ("/v1.0/events", {"GET", "POST", "DELETE"})]
)
def test_a_405_says_what_is_allowed_and_head_is_answered(server: OffhookServer, path: str, allowed: set[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Authorization": f"Bearer {server.token}"}
    connection.request("PATCH", path, body=b"{}", headers=headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 405
    assert allowed <= set(answer.headers["Allow"].split(", "))
    connection.request("HEAD", path, headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    # A body that came all the same would be taken for the next answer.
    connection.request("GET", "/ping", headers=headers)
    assert json.loads(connection.getresponse().read()) == {"message": "pong"}
    connection.close()


def test_a_change_leaves_what_it_does_not_name(person: Person) -> None:
    person.request("PUT", "/v1.0/customer", {"webhook_uri": "https://a.example/", "webhook_method": "PUT"})
    changed = person.request("PUT", "/v1.0/customer", {"webhook_uri": "HTTP://b.example/"})[1]
    assert (changed["webhook_uri"], changed["webhook_method"], changed["name"]) == ("HTTP://b.example/", "PUT", "Other")
    assert changed["warnings"]
    changed = person.request("PUT", "/v1.0/customer", {"webhook_method": ""})[1]
    assert (changed["webhook_uri"], changed["webhook_method"]) == ("HTTP://b.example/", "POST")
    changed = person.request("PUT", "/v1.0/customer", {"webhook_uri": ""})[1]
    assert (changed["webhook_uri"], changed["webhook_method"]) == ("", "")
    status, answer = person.request("PUT", "/v1.0/customer", {"webhook_method": "GET"})
    assert (status, answer["error"]["reason"]) == (400, "INVALID_WEBHOOK_METHOD")
