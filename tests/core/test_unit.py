"""What the core does for every noun: units, their overlay, tells, timers, commands, faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from offhook.domain.noun import Nouns
from offhook.domain.step import Absent, Begun, Delete, Done, Due, Ended, Found, Lookup, Refusal, Step, Tell
from offhook.store.commit.port import Row
from offhook.store.commit.unit import MAX_TELLS, Group
from tests.core.machine import START
from tests.core.notes import CUSTOMER, OTHER, Do, Knock, Make, Note, Notes, Shrug, event, raises, to, writes

REFUSAL = Refusal(400, "INVALID_ARGUMENT", "No.", "text")


def refuses(state: Note, now: datetime) -> Step[Note]:
    return Step(msgspec.structs.replace(state, text="refused"), (event("refused"),), refused=REFUSAL)


def ends(state: Note, now: datetime) -> Step[Note]:
    return Step(msgspec.structs.replace(state, is_over=True))


def sets(**timers: datetime | None) -> Do:
    return Do(lambda state, now: Step(state, timers=timers))


def knocks(*command_ids: str) -> Do:
    return Do(lambda state, now: Step(state, commands=tuple(Knock(id=command_id) for command_id in command_ids)))


# Units


def test_a_unit_is_followed_breadth_first() -> None:
    notes = Notes()
    tells = (to("b", writes("1", to("c", writes("3")))), to("c", writes("2")))
    notes.tell("note", "a", writes("0", *tells))
    assert notes.types() == ["note_0", "note_1", "note_2", "note_3"]
    assert notes.text("c") == "23"


def test_a_row_is_written_once_however_often_a_group_changes_it() -> None:
    notes = Notes()
    notes.rows.read_count = 0
    group = Group(notes.rows, notes.nouns)
    for _ in range(100):
        group.run(notes.unit(to("a", writes("."))))
    assert notes.rows.read_count == 1
    (write,) = group.writes()
    assert (write.row.version, len(write.row.document.state.text)) == (1, 100)


def test_rows_are_written_in_order_with_the_version_that_was_read() -> None:
    notes = Notes()
    group = Group(notes.rows, notes.nouns)
    group.run(notes.unit(to("c", writes("1")), to("d", Make()), to("a", writes("1"))))
    assert [(write.row.id, write.row.version) for write in group.writes()] == [("a", 1), ("c", 1), ("d", 0)]


def test_an_input_that_changes_nothing_writes_nothing() -> None:
    notes = Notes()
    group = Group(notes.rows, notes.nouns)
    for told in (Shrug(), Make(), Due("never", START), Ended(Knock(id="none"), Done()), Begun("none")):
        group.run(notes.unit(to("a", told)))
    group.run(notes.unit(to("nobody", writes("1"))))
    assert group.writes() == []


def test_a_unit_that_raises_leaves_no_trace_and_its_neighbours_are_untouched() -> None:
    notes = Notes()
    results = notes.group(
        notes.unit(to("a", writes("1"))),
        notes.unit(to("b", writes("2", to("a", writes("2")), to("c", Do(raises)))), is_asked=True),
        notes.unit(to("a", writes("3"))),
    )
    assert [result.is_done for result in results] == [True, False, True]
    assert (notes.text("a"), notes.text("b"), notes.text("c")) == ("13", "", "")
    assert notes.types() == ["note_1", "note_3"]
    (fault,) = results[1].faults
    assert (fault.kind, fault.id, fault.input) == ("note", "c", "Do")


def test_two_inputs_of_one_unit_are_done_together_or_not_at_all() -> None:
    notes = Notes()
    unit = notes.unit(to("a", writes("1")), to("b", Do(refuses)), is_asked=True)
    (result,) = notes.group(unit)
    assert (result.is_done, result.refused) == (False, REFUSAL)
    assert (notes.text("a"), notes.types()) == ("", [])


def test_a_refusal_in_a_tell_is_ignored_and_so_is_what_it_would_have_changed() -> None:
    notes = Notes()
    result = notes.ask("note", "a", writes("1", to("b", Do(refuses))))
    assert result.is_done
    assert (notes.text("b"), notes.types()) == ("", ["note_1"])


def test_the_end_of_a_command_is_the_end_of_it_also_if_the_rule_refuses() -> None:
    notes = Notes()
    notes.tell("note", "a", knocks("1"))
    noun = notes.nouns["note"]
    notes.nouns = {"note": msgspec.structs.replace(noun, decide=lambda state, told, now: refuses(state, now))}
    notes.ended(notes.orders[0], Done())
    assert notes.pending() == []
    assert (notes.text("a"), notes.types()) == ("", [])


def test_the_answer_is_the_state_after_the_whole_unit() -> None:
    notes = Notes()
    result = notes.ask("note", "a", writes("1", to("b", writes("2", to("a", writes("3"))))))
    assert result.states[0].text == "13"


@pytest.mark.parametrize(
    ("row_id", "told", "customer_id", "status"),
    [
        ("nobody", Shrug(), CUSTOMER, 404),
        ("x", Shrug(), CUSTOMER, 404),
        ("x", Make(), CUSTOMER, 404),
        ("a", Make(), CUSTOMER, 409),
        ("x", Shrug(), "", None),
        ("a", Shrug(), CUSTOMER, None),
    ],
)
def test_whoever_asks_is_told_why_not(row_id: str, told: object, customer_id: str, status: int | None) -> None:
    refused = Notes().ask("note", row_id, told, customer_id).refused
    assert (None if refused is None else refused.status) == status


def test_what_is_over_is_forgiven_what_the_noun_forgives_and_refuses_the_rest() -> None:
    notes = Notes()
    notes.tell("note", "a", Do(ends))
    forgiven = notes.ask("note", "a", Shrug())
    assert forgiven.refused is None
    assert forgiven.states[0].is_over
    refused = notes.ask("note", "a", writes("1")).refused
    assert refused is not None
    assert (refused.status, refused.reason) == (409, "STATE_INVALID")


def test_all_rows_of_a_unit_are_one_customers() -> None:
    notes = Notes()
    result = notes.tell("note", "a", writes("1", to("x", writes("2"))))
    assert (notes.text("a"), notes.text("x")) == ("failed", "")  # the rule that told is to blame
    assert isinstance(result.faults[0].error, PermissionError)
    assert not notes.ask("note", "b", writes("1", to("y", Make(OTHER)))).is_done


def test_a_row_of_no_customer_may_be_told_in_any_customers_unit() -> None:
    notes = Notes()
    notes.tell("note", "carrier", Make(""))
    notes.tell("note", "a", writes("1", to("carrier", writes("a"))))
    notes.tell("note", "x", writes("1", to("carrier", writes("x"))))
    assert notes.text("carrier") == "ax"
    notes.tell("note", "carrier", writes("!", to("a", writes("2")), to("x", writes("2"))))
    assert (notes.text("a"), notes.text("x"), notes.text("carrier")) == ("1", "1", "failed")


def test_a_unit_may_tell_ten_thousand_times() -> None:
    notes = Notes()
    assert notes.ask("note", "a", writes("", *[to("b", writes("."))] * MAX_TELLS)).is_done
    assert len(notes.text("b")) == MAX_TELLS
    assert not notes.ask("note", "a", writes("", *[to("b", writes("."))] * (MAX_TELLS + 1))).is_done


def test_tells_without_an_end_are_a_fault_of_a_rule() -> None:
    notes = Notes()

    def again(state: Note, now: datetime) -> Step[Note]:
        return Step(state, tells=(to("a", Do(again)),))

    result = notes.tell("note", "a", Do(again))
    assert isinstance(result.faults[0].error, OverflowError)
    assert notes.text("a") == "failed"


def test_what_the_database_raises_is_no_fault_of_a_rule() -> None:
    notes = Notes()
    notes.rows.kept["note", "b"] = (CUSTOMER, 1, b"{")
    with pytest.raises(msgspec.DecodeError):
        notes.tell("note", "a", writes("1", to("b", writes("2"))))
    assert notes.text("a") == ""


def test_a_row_that_cannot_be_decoded_is_told_nothing_and_harms_nobody() -> None:
    notes = Notes()
    notes.rows.unreadable.add(("note", "b"))
    assert notes.tell("note", "a", writes("1", to("b", writes("2")), to("b", Make()))).is_done
    assert notes.text("a") == "1"
    # Who asks for just that row is told of a fault, as when it is looked at.
    asked = notes.ask("note", "b", Shrug())
    assert (asked.is_done, asked.refused, len(asked.faults)) == (False, None, 1)


# Time


def test_no_decision_is_made_before_the_last_one_or_before_its_cause() -> None:
    notes = Notes()
    seen: list[datetime] = []

    def looks(state: Note, now: datetime) -> Step[Note]:
        seen.append(now)
        return Step(msgspec.structs.replace(state, text=state.text + "."))

    later = notes.now = START + timedelta(seconds=10)
    notes.tell("note", "a", Do(looks))
    notes.now = START
    notes.tell("note", "a", writes("1", to("b", Do(looks))))
    assert seen == [later, later]


def test_a_timer_counts_only_if_the_row_still_says_exactly_that() -> None:
    notes = Notes()
    first, second = START + timedelta(seconds=1), START + timedelta(seconds=2)
    notes.tell("note", "a", sets(bell=first))
    notes.tell("note", "a", sets(bell=second, other=first))
    assert [at for at, _, _ in notes.timers()] == [first, second]
    row = notes.rows.get("note", "a")
    assert isinstance(row, Row)
    assert row.due_at == first
    notes.tell("note", "a", Due("bell", first))
    assert notes.text("a") == ""
    notes.tell("note", "a", Due("bell", second))
    notes.tell("note", "a", Due("bell", second))
    assert notes.text("a") == "Due "
    notes.tell("note", "a", sets(other=None))
    assert notes.timers() == []


def test_what_is_over_has_no_timers() -> None:
    notes = Notes()
    notes.tell("note", "a", sets(bell=START))
    notes.tell("note", "a", Do(ends))
    assert notes.document("note", "a").timers == {}


# Commands


def test_commands_are_numbered_in_their_order_and_stay_until_their_end_is_known() -> None:
    notes = Notes()
    notes.tell("note", "a", knocks("1", "2"))
    notes.tell("note", "b", knocks("3"))
    assert [order.pending.number for order in notes.orders] == [1, 2, 3]
    notes.begun(notes.orders[1])
    assert [one.begun for one in notes.document("note", "a").pending] == [False, True]
    assert notes.text("a") == ""
    for _ in range(2):
        notes.ended(notes.orders[0], Absent("channel"))
    assert notes.text("a") == "Ended "
    assert [order.pending.command.id for order in notes.pending()] == ["2", "3"]


def test_a_row_that_is_over_is_open_until_its_commands_have_ended_and_is_not_told() -> None:
    notes = Notes()
    notes.tell("note", "a", knocks("1"))
    notes.tell("note", "a", Do(ends))
    assert ("note", "a") in notes.rows.open
    notes.ended(notes.orders[0], Done())
    assert ("note", "a") not in notes.rows.open
    assert notes.text("a") == ""


def test_a_command_that_is_pending_already_is_a_fault_of_the_rule() -> None:
    notes = Notes()
    notes.tell("note", "a", knocks("1"))
    notes.tell("note", "a", knocks("1"))
    assert notes.text("a") == "failed"


# Lookups


def test_a_lookup_is_answered_at_once_as_things_are_in_the_group() -> None:
    notes = Notes()
    notes.tell("note", "c", writes("here"))
    found: list[tuple[str, ...]] = []

    def looks(state: Note, now: datetime) -> Step[Note]:
        return Step(state, lookup=Lookup("note", "text", "here", limit=2))

    def heard(told: Found) -> None:
        found.append(told.ids)

    notes.nouns = _hearing(notes, heard)
    notes.group(
        notes.unit(to("a", Do(looks))),
        notes.unit(to("b", writes("here"))),
        notes.unit(to("a", Do(looks))),
        notes.unit(to("c", writes("!"))),
        notes.unit(to("a", Do(looks))),
        notes.unit(to("b", Do(ends))),
        notes.unit(to("a", Do(looks))),
    )
    assert found == [("c",), ("b", "c"), ("b",), ()]


def _hearing(notes: Notes, heard: Callable[[Found], None]) -> Nouns:
    noun = notes.nouns["note"]

    def decide(state: Note | None, told: object, now: datetime) -> Step[Note]:
        if isinstance(told, Found):
            heard(told)
            assert state is not None
            return Step(state)
        return noun.decide(state, told, now)

    return {"note": msgspec.structs.replace(noun, decide=decide)}


# What is over


def test_what_is_over_is_decided_only_for_deletion() -> None:
    notes = Notes()
    notes.tell("note", "a", Do(ends))
    before = notes.state("note", "a")
    for told in (
        writes("1"),
        Shrug(),
        Make(),
        Due("bell", START),
        Ended(Knock(id="1"), Done()),
        Begun("1"),
        Do(raises),
    ):
        assert notes.tell("note", "a", told).is_done
        assert notes.state("note", "a") == before
    assert notes.ask("note", "a", Delete()).states[0].is_hidden
    assert notes.types() == ["note_deleted"]


# Poison


def test_a_rule_that_always_raises_ends_its_own_row_as_failed_and_the_others_hear_the_input() -> None:
    notes = Notes()
    told = writes("1", to("b", Do(raises)), to("c", writes("3")))
    result = notes.tell("note", "a", told)
    assert result.is_done
    assert [fault.id for fault in result.faults] == ["b"]
    assert (notes.text("a"), notes.text("b"), notes.text("c")) == ("1", "failed", "3")
    assert notes.types() == ["note_failed", "note_1", "note_3"]


def test_two_rules_that_raise_end_both_rows() -> None:
    notes = Notes()
    result = notes.tell("note", "a", writes("1", to("b", Do(raises)), to("c", Do(raises))))
    assert result.is_done
    assert (notes.text("a"), notes.text("b"), notes.text("c")) == ("1", "failed", "failed")


def test_everything_that_a_failed_row_tells_is_told_before_the_input_is_told_once_more() -> None:
    notes = Notes()
    notes.tell("note", "b", writes("tells"))
    notes.tell("note", "a", writes("1", to("b", Do(raises))))
    assert notes.types() == ["note_tells", "note_failed", "note_last", "note_1"]


def test_a_row_that_cannot_even_be_ended_fails_the_unit() -> None:
    notes = Notes()
    notes.tell("note", "b", writes("unbreakable"))
    result = notes.tell("note", "a", writes("1", to("b", Do(raises))))
    assert not result.is_done
    assert notes.text("a") == ""


def test_whoever_makes_a_row_is_to_blame_for_what_raises_in_it() -> None:
    notes = Notes()
    result = notes.tell("note", "a", writes("1", to("d", Make(tells=(to("d", Do(raises)),)))))
    assert result.is_done
    assert (notes.text("a"), notes.rows.get("note", "d")) == ("failed", None)
    assert not notes.tell("note", "e", Make(raises=True)).is_done


def test_a_tell_to_a_noun_that_there_is_not_is_the_tellers_fault() -> None:
    notes = Notes()
    notes.tell("note", "a", writes("1", Tell("no such noun", "1", Shrug())))
    assert notes.text("a") == "failed"
