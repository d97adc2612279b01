"""Carrying out what a freeze announces: a customer that is not recovered by then is deleted."""

from __future__ import annotations

import asyncio

import structlog

from offhook.accounts.customers import Customers
from offhook.domain.errors import UnavailableError
from offhook.node.service import Service

_ROUND_S = 600.0

log = structlog.get_logger()


class Deletions(Service):
    """Looks every ten minutes for customers whose day has come, also those whose day came while nothing ran."""

    def __init__(self, customers: Customers) -> None:
        self._customers = customers

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "deletions"

    async def run(self) -> None:
        """Delete, and wait, for ever."""
        while True:
            try:
                for customer_id in await self._customers.delete_overdue():
                    log.warning("customer.deleted_as_announced", customer_id=customer_id)
            except UnavailableError as error:
                log.warning("deletions.postponed", error=error.message)
            await asyncio.sleep(_ROUND_S)
