"""How rows of what lives are read for an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from offhook.domain.place import place_token, read_place
from offhook.store.commit.rows import Wanted
from offhook.web.request import AnyRequest, Listing, checked_id, page_size_of, services_of


def everything(state: Any) -> bool:
    """Of a list without filters."""
    del state
    return True


async def list_of(
    request: AnyRequest,
    kind: str,
    customer_id: str,
    page_size: int | None,
    page_token: str,
    shown: Callable[[Any], Any],
    *,
    takes: Callable[[Any], bool] = everything,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Listing:
    """A page of a customer's rows that the filters take, as they are `shown`. Raises InvalidError (page_token)."""
    store, before = services_of(request).store, read_place(page_token)
    wanted = Wanted(page_size_of(page_size), takes, since, until)
    listed = await store.read_for_api(
        lambda connection: store.tables.page(connection, kind, customer_id, wanted, before=before)
    )
    return Listing([shown(state) for state in listed.found], place_token(listed.place))


async def one_of(request: AnyRequest, kind: str, customer_id: str, row_id: str) -> Any:
    """The state of one of a customer's rows. Raises InvalidError, NotFoundError."""
    store, wanted = services_of(request).store, checked_id(row_id)
    return await store.read_for_api(lambda connection: store.tables.get(connection, kind, customer_id, wanted))
