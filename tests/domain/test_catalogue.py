"""The catalogue is the contract's, each sample obeys its schema, and the reference page tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.catalogue import EVENT_TYPES, event_type, sample, scripted_call, subject_of
from offhook.domain.catalogue.event_type import define
from offhook.domain.catalogue.family import family_of
from offhook.domain.catalogue.page import reference_page
from offhook.domain.catalogue.recording import STARTED
from offhook.domain.errors import InvalidError
from offhook.domain.events.retention import cutoffs_at
from offhook.domain.ids import NIL_UUID, is_uuid, new_uuid

CONTRACT = [
    "call_created",
    "call_ringing",
    "call_answered",
    "call_updated",
    "call_hungup",
    "message_created",
    "message_updated",
    "message_deleted",
    "recording_created",
    "recording_updated",
    "recording_deleted",
    "transcribe_created",
    "transcribe_updated",
    "transcribe_deleted",
    "transcript_created",
    "queue_created",
    "queue_updated",
    "queue_deleted",
    "queuecall_created",
    "queuecall_waiting",
    "queuecall_kicking",
    "queuecall_serviced",
    "queuecall_done",
    "queuecall_abandoned",
    "conference_created",
    "conference_updated",
    "conference_deleted",
    "confbridge_created",
    "confbridge_updated",
    "confbridge_deleted",
    "activeflow_created",
    "activeflow_updated",
    "activeflow_deleted",
]
CALL_FIELDS = [
    "id",
    "customer_id",
    "owner_type",
    "owner_id",
    "flow_id",
    "activeflow_id",
    "type",
    "master_call_id",
    "chained_call_ids",
    "recording_id",
    "recording_ids",
    "groupcall_id",
    "source",
    "destination",
    "status",
    "action",
    "metadata",
    "direction",
    "mute_direction",
    "hangup_by",
    "hangup_reason",
    "tm_progressing",
    "tm_ringing",
    "tm_hangup",
    "tm_create",
    "tm_update",
    "tm_delete",
]
every_type = pytest.mark.parametrize("name", EVENT_TYPES)


def check(name: str, envelope: dict[str, Any]) -> None:
    schema = dict(EVENT_TYPES[name].schema)
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(envelope)


def test_the_catalogue_is_the_contracts() -> None:
    assert list(EVENT_TYPES) == CONTRACT


@every_type
def test_the_schema_is_a_schema_and_its_sample_obeys_it(name: str) -> None:
    jsonschema_rs.meta.validate(dict(EVENT_TYPES[name].schema))
    check(name, sample(name))


@every_type
def test_every_field_is_required_and_in_the_sample(name: str) -> None:
    entry = EVENT_TYPES[name]
    data = sample(name)["data"]
    shape = entry.schema["$defs"][entry.shape.__name__]
    assert list(data) == list(shape["properties"]) == shape["required"]
    for field in data:
        incomplete = {"type": name, "data": {key: value for key, value in data.items() if key != field}}
        with pytest.raises(jsonschema_rs.ValidationError):
            check(name, incomplete)


@every_type
def test_uuids_are_never_null_and_times_are_rfc3339_or_null(name: str) -> None:
    for key, value in sample(name)["data"].items():
        if key == "id" or (key.endswith("_id") and key != "bridge_id"):
            assert is_uuid(value), key
        if key.startswith("tm_"):
            assert value is None or (value.endswith("Z") and datetime.fromisoformat(value)), key


def test_the_call_has_the_fields_of_the_rest_api_in_their_order() -> None:
    assert list(sample("call_created")["data"]) == CALL_FIELDS


def test_the_tutorials_programs_find_what_they_read() -> None:
    call = sample("call_hungup")["data"]
    assert call["hangup_reason"] == "normal"
    assert call["destination"]["target"].startswith("+")
    assert call["tm_hangup"]
    message = sample("message_created")["data"]
    assert message["source"]["target"].startswith("+")
    assert message["text"]
    assert sample("recording_updated")["data"]["status"] == "ended"


def test_a_sample_is_the_callers_own() -> None:
    sample("call_hungup")["data"]["source"]["target"] = "changed"
    assert sample("call_hungup")["data"]["source"]["target"] != "changed"


def test_fresh_ids_and_times_can_be_given() -> None:
    fresh = new_uuid()
    envelope = sample("message_created", id=fresh, tm_create="2026-08-01T10:00:00Z")
    assert envelope["data"]["id"] == fresh
    assert envelope["data"]["tm_create"] == "2026-08-01T10:00:00Z"
    assert subject_of("message_created", envelope["data"]) == f"message/{fresh}"


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("call_hangup", {}, "type"),
        ("call_hungup", {"colour": "red"}, "data.colour"),
        ("call_hungup", {"id": "not-a-uuid"}, "data.id"),
        ("call_hungup", {"tm_hangup": "yesterday"}, "data.tm_hangup"),
        ("message_created", {"source": {"type": "tel", "target": 5}}, "data.source.target"),
    ],
)
def test_a_wrong_sample_request_names_the_field(name: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        sample(name, **changes)
    assert refused.value.field == field


def test_a_misspelt_type_suggests_the_right_one() -> None:
    with pytest.raises(InvalidError, match="call_hungup"):
        sample("call_hangup")


@every_type
def test_the_subject_names_the_resource(name: str) -> None:
    data = sample(name)["data"]
    resource = "transcribe" if name == "transcript_created" else name.rpartition("_")[0]
    id_ = data["transcribe_id"] if name == "transcript_created" else data["id"]
    assert subject_of(name, data) == f"{resource}/{id_}"


@every_type
def test_the_catalogue_means_the_family_that_settings_mean(name: str) -> None:
    assert event_type(name).family == family_of(name)


def test_a_type_of_three_words_is_of_its_resources_family() -> None:
    # Contract, section 3: its subject is agent/<id>, and `retention.events.agent` is about it.
    entry = define("agent_status_updated", "An agent's status changed.", STARTED)
    assert (entry.family, entry.resource) == ("agent", "agent")
    cutoffs = cutoffs_at(0, timedelta(days=30), {"agent": timedelta(days=1)})
    assert cutoffs.of("agent_status_updated") == -timedelta(days=1) // timedelta(microseconds=1)


def test_a_type_outside_the_catalogue_has_no_subject_of_its_own() -> None:
    assert subject_of("invoice_paid", {"id": "17"}) is None


def test_the_tutorials_simulated_event_has_a_subject() -> None:
    assert subject_of("call_hungup", {"id": "test-call-id"}) == "call/test-call-id"


@pytest.mark.parametrize("id_", [None, 7, "", "two words", "line\r\nbreak", "é", "x" * 201, ["a"]])
def test_an_id_that_cannot_be_a_subject_is_refused_by_name(id_: object) -> None:
    with pytest.raises(InvalidError) as refused:
        subject_of("call_created", {"id": id_})
    assert refused.value.field == "data.id"
    with pytest.raises(InvalidError) as refused:
        subject_of("transcript_created", {"id": "fine", "transcribe_id": id_})
    assert refused.value.field == "data.transcribe_id"


@given(st.text())
def test_no_subject_can_break_a_header(id_: str) -> None:
    try:
        subject = subject_of("call_created", {"id": id_})
    except InvalidError:
        return
    assert subject is not None
    assert subject.isascii()
    assert subject.isprintable()
    assert " " not in subject


def test_the_scripted_call_is_one_consistent_call() -> None:
    call_id, customer_id = new_uuid(), new_uuid()
    started_at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    steps = scripted_call(call_id=call_id, customer_id=customer_id, started_at=started_at, source="+15550100999")
    types = [step.type for step in steps]
    assert types[:3] == ["call_created", "call_ringing", "call_answered"]
    assert set(types[3:-1]) == {"call_updated"}
    assert types[-1] == "call_hungup"
    at = started_at
    for step in steps:
        check(step.type, {"type": step.type, "data": step.data})
        assert (step.data["id"], step.data["customer_id"]) == (call_id, customer_id)
        assert step.data["source"]["target"] == "+15550100999"
        assert step.data["activeflow_id"] == NIL_UUID
        at += timedelta(seconds=step.pause_s)
        assert datetime.fromisoformat(step.data["tm_update"] or step.data["tm_create"]) == at
    last = steps[-1].data
    times = [last[key] for key in ("tm_create", "tm_ringing", "tm_progressing", "tm_hangup")]
    moments = [datetime.fromisoformat(each) for each in times]
    assert moments == sorted(moments)
    assert 5 < sum(step.pause_s for step in steps) < 30


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
    assert page.read_text(encoding="utf-8") == reference_page(), (
        "run: .venv/bin/python -m offhook.domain.catalogue > docs/reference/events.md"
    )
