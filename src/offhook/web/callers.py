"""Who makes a request, and whose things it is about."""

from __future__ import annotations

from offhook.domain.accounts.customer import Caller, Permission
from offhook.domain.errors import InvalidError, NotAllowedError, NotFoundError, UnauthenticatedError
from offhook.domain.ids import is_uuid
from offhook.store.queries.customers import get_customer
from offhook.store.store import Store
from offhook.web.http.exchange import Exchange
from offhook.web.services import Services


async def caller_of(exchange: Exchange, services: Services) -> Caller:
    """Who makes the request.

    Raises UnauthenticatedError; NotAllowedError for a frozen customer, and for a cookie on a change that another
    origin's page asks for; OverLimitError for too many wrong credentials from this address.
    """
    credential, is_cookie = exchange.credential()
    if not credential:
        raise UnauthenticatedError(
            "Send a token from POST /auth/login or an access key: Authorization: Bearer …, or ?token=…", field="token"
        )
    if is_cookie and exchange.is_change():
        services.origins.check(exchange.scope)
    authenticator = services.authenticator
    caller = authenticator.known(credential)
    if caller is None:
        caller = await authenticator.caller_of(credential, exchange.address(services.settings.trusted_proxies))
    if caller.is_frozen and not caller.is_operator:
        raise NotAllowedError(
            "The customer is frozen. Ask the operator to recover it.", reason="ACCOUNT_FROZEN", field="token"
        )
    return caller


async def acting_for(exchange: Exchange, caller: Caller, store: Store, needed: Permission) -> str:
    """The customer whose things these are: the caller's, or for an operator the one that `?customer_id=` names.

    Raises NotAllowedError, InvalidError (customer_id) and NotFoundError.
    """
    if not caller.may(needed):
        raise NotAllowedError(f"This needs one of the roles {_role_names(needed)}.", field="permission")
    wanted = exchange.parameter("customer_id")
    if not wanted or wanted == caller.customer_id:
        return caller.customer_id
    if not is_uuid(wanted):
        raise InvalidError("customer_id is not a UUID.", reason="INVALID_REQUEST_PARAMETER", field="customer_id")
    if not caller.is_operator:
        raise NotFoundError(f"There is no customer {wanted}.", reason="CUSTOMER_NOT_FOUND", field="customer_id")
    await store.read(lambda connection: get_customer(connection, wanted))
    return wanted


def _role_names(needed: Permission) -> str:
    return ", ".join(member.name or "" for member in Permission if member in needed and member.bit_count() == 1)
