"""Access keys (facts, section 1.4)."""

from __future__ import annotations

import msgspec
from litestar import delete, get, post, put

from offhook.domain.accounts.customer import Permission
from offhook.domain.place import place_token, read_place
from offhook.domain.texts import checked_text
from offhook.store.queries.access_keys import get_access_key, list_access_keys
from offhook.web.request import AnyRequest, Listing, checked_id, customer_in, page_size_of, services_of
from offhook.web.shapes.accounts import AccessKey, access_key_shape

ADMIN = Permission.CUSTOMER_ADMIN


class NewAccessKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`expire`: the lifetime in seconds, at least 86400; absent: one year."""

    name: str = ""
    detail: str = ""
    expire: int | float | None = None


class AccessKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is."""

    name: str | None = None
    detail: str | None = None


@get("/v1.0/accesskeys", tags=["access keys"])
async def list_keys(request: AnyRequest, page_size: int | None = None, page_token: str = "") -> Listing:
    """The access keys, newest first, without their secrets."""
    customer_id = await customer_in(request, ADMIN)
    before = read_place(page_token)
    listed = await services_of(request).store.read_for_api(
        lambda connection: list_access_keys(connection, customer_id, before=before, page_size=page_size_of(page_size))
    )
    return Listing([access_key_shape(key) for key in listed.found], place_token(listed.place))


@post("/v1.0/accesskeys", status_code=200, tags=["access keys"])
async def create_key(request: AnyRequest, data: NewAccessKey) -> AccessKey:
    """Make an access key. Its `token` is shown in this answer only."""
    customer_id = await customer_in(request, ADMIN)
    name, detail = checked_text("name", data.name), checked_text("detail", data.detail)
    made, token = await services_of(request).access_keys.create(customer_id, name, detail, data.expire)
    return access_key_shape(made, token)


@get("/v1.0/accesskeys/{key_id:str}", tags=["access keys"])
async def show_key(request: AnyRequest, key_id: str) -> AccessKey:
    """One access key."""
    customer_id = await customer_in(request, ADMIN)
    wanted = checked_id(key_id)
    found = await services_of(request).store.read_for_api(
        lambda connection: get_access_key(connection, customer_id, wanted)
    )
    return access_key_shape(found)


@put("/v1.0/accesskeys/{key_id:str}", tags=["access keys"])
async def change_key(request: AnyRequest, key_id: str, data: AccessKeyChange) -> AccessKey:
    """Change name and detail; the expiry cannot be changed."""
    customer_id = await customer_in(request, ADMIN)
    given = {"name": data.name, "detail": data.detail}
    values = {name: checked_text(name, value) for name, value in given.items() if value is not None}
    return access_key_shape(await services_of(request).access_keys.change(customer_id, checked_id(key_id), values))


@delete("/v1.0/accesskeys/{key_id:str}", status_code=200, tags=["access keys"])
async def delete_key(request: AnyRequest, key_id: str) -> AccessKey:
    """Delete an access key: it is refused from now on."""
    customer_id = await customer_in(request, ADMIN)
    return access_key_shape(await services_of(request).access_keys.delete(customer_id, checked_id(key_id)))
