"""The plain words of what is logged: for each warning a sentence that says what happened and an advice, if any helps.

Pure. A test demands words for everything that is logged as a warning or worse. `{names}` are the fields of what was
logged; what strangers wrote in them is made harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from offhook.logs.text import plain

_MAX_FIELD = 300
_MAX_NUMBER = 32


class Words(NamedTuple):
    """What happened; what to do next, which may be nothing; whether it is good news."""

    sentence: str
    advice: str = ""
    is_good: bool = False


def words_of(fields: Mapping[str, Any]) -> Words:
    """The words for something that was logged. What has none is named as it is, with all its fields."""
    event = fields["event"]
    if event in _MADE:
        return _MADE[event](fields)
    words = WORDS.get(event)
    if words is None:
        return Words(_as_it_is(fields))
    shown = _Shown({name: _short(value) for name, value in fields.items()})
    shown["because"] = f": {shown['error']}" if "error" in shown else "."
    return Words(words.sentence.format_map(shown), words.advice.format_map(shown), words.is_good)


def is_told(event: str) -> bool:
    """Whether a person is told of it although it is no warning."""
    return event in _TOLD


def has_words(event: str) -> bool:
    """Whether there are words for it."""
    return event in WORDS or event in _MADE


class _Shown(dict[str, str]):
    """The fields of what was logged; one that is missing is no reason to say nothing."""

    def __missing__(self, name: str) -> str:
        return "?"


def _short(value: object, limit: int = _MAX_FIELD) -> str:
    text = plain(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _as_it_is(fields: Mapping[str, Any]) -> str:
    hidden = ("event", "level", "exception")
    rest = " ".join(f"{name}={_short(value)}" for name, value in fields.items() if name not in hidden)
    return f"{_short(fields['event'])} {rest}".rstrip()


def _call_ended(fields: Mapping[str, Any]) -> Words:
    source, destination = (_short(fields[name], _MAX_NUMBER) or "unknown" for name in ("source", "destination_number"))
    how_long = f"{', ' if fields['was_answered'] else ' after '}{_duration(fields['duration_s'])}"
    way = "Incoming" if fields["direction"] == "incoming" else "Outgoing"
    return Words(f"{way} call {source} → {destination}: {fields['hangup_reason']}{how_long}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _destination_failing(fields: Mapping[str, Any]) -> Words:
    again = "What waits: offhook deliveries list"
    return Words(f"{_webhook(fields)} fails. {_short(fields['said'])}", f"{_short(fields['advice'])} {again}")


def _destination_answers(fields: Mapping[str, Any]) -> Words:
    return Words(
        f"{_webhook(fields)} answers again, after {_duration(fields['failed_for_s'])}. What waited is sent.",
        is_good=True,
    )


def _destination_disabled(fields: Mapping[str, Any]) -> Words:
    why = "it answered 410" if fields["reason"] == "gone" else "nothing was delivered to it for days"
    return Words(
        f"{_webhook(fields)} is switched off, as {why}. Its events are held.",
        "When it takes events again: offhook customer enable",
    )


def _webhook(fields: Mapping[str, Any]) -> str:
    """Whose it is matters where there are several customers; an id is long, and its start tells them apart."""
    of = "" if fields["destination"] == "customer" else f" of {_short(fields['destination'])}"
    return f"The webhook{of} (customer {_short(fields['customer_id'])[:8]})"


_MADE: Mapping[str, Callable[[Mapping[str, Any]], Words]] = {
    "call.ended": _call_ended,
    "delivery.destination_failing": _destination_failing,
    "delivery.destination_answers": _destination_answers,
    "delivery.destination_disabled": _destination_disabled,
}
_TOLD = frozenset({"call.ended", "node.stopping"})

_BUG = "That is a fault of Offhook. Please report it, with what stands below."
_BY_ITSELF = "It is tried again by itself."
_SPACE = "See whether the disk is full, and whether the database runs: offhook doctor"

WORDS: Mapping[str, Words] = {
    # Asterisk
    "asterisk.answer_lost": Words(
        "Asterisk did not answer {command}: {error}.", "It is looked up whether it was done."
    ),
    "asterisk.connection_failed": Words("The connection to Asterisk at {url} failed.", _BUG),
    "asterisk.does_not_answer": Words(
        "The Asterisk that was left running (process {pid}) does not answer.", "A new one is started."
    ),
    "asterisk.ended": Words(
        "Asterisk (process {pid}) ended. Its calls are over.",
        "It is started again in {pause_s} s; asterisk/log in the data folder says why.",
    ),
    "asterisk.event_not_understood": Words("Asterisk told something that is not understood ({type}).", _BUG),
    "asterisk.few_files": Words(
        "Asterisk may open files for some {max_call_count} calls at once.",
        "Enough to try things out. Before more calls, set LimitNOFILE={needed}: docs/how-to/operate.md",
    ),
    "asterisk.hangs": Words("Asterisk (process {pid}) hangs.", "It is started anew."),
    "asterisk.listener_failed": Words("What Asterisk told could not be taken ({input}).", _BUG),
    "asterisk.log_lost": Words("Asterisk's log {file} could not be put aside: {error}.", "It was emptied."),
    "asterisk.no_music": Words("There is no music: callers on hold hear silence.", "Run `make setup` to fetch music."),
    "asterisk.nobody_is_let_in": Words("Nobody can call at {sip}: {hint}."),
    "asterisk.not_started": Words("Asterisk could not be started: {error}", _BY_ITSELF),
    "asterisk.stray_ended": Words("An Asterisk that was left over (process {pid}) was ended."),
    "asterisk.unavailable": Words("Asterisk cannot be told {command}: {error}", _BY_ITSELF),
    "asterisk.unreachable": Words("Asterisk cannot be reached at {url}: {error}", _BY_ITSELF),
    "switch.missing": Words("There is no phone system.", "{hint}."),
    # Calls
    "call.not_opened": Words("It could not be found out whose number was dialled.", _BUG),
    "call.refused": Words("A caller of {dialled} was turned away: {reason}.", "The numbers: GET /v1.0/numbers"),
    "call.still_open": Words(
        "{call_count} calls could not be ended in time.", "The next start finds out what became of them."
    ),
    "call.switch_lost": Words("The phone system has been away for too long: {call_count} calls are over."),
    "call.work_postponed": Words(
        "Something that was to be done for a call is left undone: {error}", "The next start finds out."
    ),
    "call.work_failed": Words("Something that was to be done for a call failed.", _BUG),
    # Customers
    "customer.deleted_as_announced": Words("The customer {customer_id} was deleted, as announced."),
    "deletions.postponed": Words("Customers to be deleted are not deleted yet: {error}", _BY_ITSELF),
    # Delivery
    "attempt failed unexpectedly": Words("An attempt at a webhook failed as it must not ({error}).", _BUG),
    "delivery.attempt_failed": Words("An attempt could not be made.", _BUG),
    "delivery.backlog_read_failed": Words("What waits for a webhook could not be read.", _BUG),
    "delivery.backlog_read_postponed": Words("What waits for webhooks cannot be read: {error}", _BY_ITSELF),
    "delivery.queue_failed": Words("The queue of a webhook failed; it is read again from the database.", _BUG),
    "delivery.queue_lost": Words("The queue of a webhook is lost until the next start.", _BUG),
    "delivery.record_dropped": Words(
        "What became of an attempt could not be written down: it is sent once more.", _BUG
    ),
    "delivery.record_failed": Words("What became of {count} attempts could not be written at once.", _BUG),
    "delivery.record_postponed": Words("What became of {count} attempts cannot be written yet: {error}", _SPACE),
    "delivery.records_lost": Words("What became of {count} attempts could not be written: they are sent once more."),
    "delivery.sweep_postponed": Words("Webhooks are not looked through for what waits: {error}", _BY_ITSELF),
    "delivery.sweep_failed": Words("Webhooks could not be looked through for what waits.", _BUG),
    "finishing.postponed": Words("Long work (a replay, an erasure) waits: {error}", _BY_ITSELF),
    "retention.postponed": Words("What is old is not forgotten yet: {error}", _BY_ITSELF),
    # The node
    "node.service_failed": Words(
        "The {service} failed{because}", "The server ends, as it cannot do without. Start it again: nothing is lost."
    ),
    "node.service_restarts": Words("The {service} failed{because}", "It is started again in {pause_s} s."),
    "node.stop_failed": Words("The {service} could not be stopped well{because}", _BUG),
    "node.stopping": Words("Stopping: attempts under way may finish. Ctrl-C again: at once."),
    # What lives
    "running.carrier_failed": Words("{command} could not be carried out.", _BUG),
    "running.commands_abandoned": Words("{count} commands are left undone.", "The next start takes them up."),
    "running.input_dropped": Words("Something that the {kind} {id} was told was dropped: {error}", _BUG),
    "running.inputs_lost": Words("{count} things that happened are lost: the database could not be written.", _SPACE),
    "running.no_carrier": Words("Nobody here carries out {command}.", _BUG),
    "running.not_marked": Words("{command} is not carried out: its mark could not be set.", _SPACE),
    "running.read_postponed": Words("The {service} cannot read: {error}", _BY_ITSELF),
    "running.request_given_up": Words("{command} did not end in time and was given up."),
    "running.write_failed": Words("What happened ({count} things) could not be written.", _BUG),
    "running.write_postponed": Words("What happened ({count} things) cannot be written yet: {error}", _SPACE),
    # Settings
    "settings.retired": Words(
        "The setting {setting} means nothing any more: the flow Greeting says it.", "Change the flow; remove it here."
    ),
    # Speech
    "speech.not_kept": Words(
        "What was spoken could not be kept: {error}.", "See whether the disk is full: offhook doctor"
    ),
    "speech.process_lost": Words("A process that speaks was ended: {reason}.", "The next text gets a new one."),
    # The database
    "store.abandoned": Words(
        "The database does not answer.", "What it had not answered may be lost; whoever asked was told so."
    ),
    "store.commit_unanswered": Words(
        "The database did not answer a commit: {error}.", "It is looked up whether it was made."
    ),
    "store.listener_failed": Words("What was committed could not be told on.", _BUG),
    "store.loop_closed": Words("Something was committed after the end."),
    "store.lost": Words("The database is away. Nothing is accepted or delivered until it is back.", _SPACE),
    "store.lost_for_good": Words(
        "The database is lost: {reason}", "The server ends. Start it again once the database runs."
    ),
    "store.read_failed": Words("The database cannot be read: {error}.", _SPACE),
    "store.regained": Words("The database is back, after {away_s} s.", is_good=True),
    "store.row_unreadable": Words(
        "The {kind} {id} cannot be read and is left out: {error}", "offhook doctor lists such rows."
    ),
    "store.rule_failed": Words("A rule failed: {error}", _BUG),
    "store.still_lost": Words("The database has been away for {away_s} s: {error}."),
    "store.units_run_apart": Words("Changes are written one by one: {error}.", _BUG),
    "store.write_failed": Words("The database cannot be written: {error}.", _SPACE),
    "store.writer_failed": Words("The database's writer failed.", _BUG),
    # The API
    "web.internal_error": Words("A request failed on our side (request id {request_id}).", _BUG),
}
"""By the name of what was logged."""
