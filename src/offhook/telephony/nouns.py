"""The registry of all that lives: given to the store by the composition root."""

from __future__ import annotations

from offhook.domain.noun import Nouns, registry
from offhook.domain.switch.commands import SwitchCommand
from offhook.domain.telephony.call import CALL
from offhook.domain.telephony.number import NUMBER
from offhook.flows.activeflow import ACTIVEFLOW
from offhook.flows.flow import FLOW

NOUNS: Nouns = registry(CALL, ACTIVEFLOW, FLOW, NUMBER)

COMMAND_TYPE = SwitchCommand
"""The union of what rows may have pending."""

TIMED_BY_THE_SWITCH = (CALL.kind, ACTIVEFLOW.kind)
"""Kinds whose timers stand still while the switch is out of reach."""
