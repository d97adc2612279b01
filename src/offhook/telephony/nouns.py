"""The registry of all that lives: given to the store by the composition root."""

from __future__ import annotations

from offhook.domain.noun import Nouns, registry
from offhook.domain.speech import Speak
from offhook.domain.switch.commands import SwitchCommand
from offhook.domain.telephony.call import CALL
from offhook.domain.telephony.number import NUMBER
from offhook.domain.web_request import WebRequest
from offhook.flows.activeflow import ACTIVEFLOW
from offhook.flows.flow import FLOW
from offhook.store.commit.port import Row

NOUNS: Nouns = registry(CALL, ACTIVEFLOW, FLOW, NUMBER)

COMMAND_TYPE = SwitchCommand | Speak | WebRequest
"""The union of what rows may have pending."""


def waits_for(row: Row) -> str:
    """What has to be within reach for a row's timers to go: the switch of a call, and of what runs beside it."""
    return NOUNS[row.kind].waits_for(row.document.state)
