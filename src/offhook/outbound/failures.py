"""The name of a failure: from what was raised and how far the attempt came."""

from __future__ import annotations

import os
import ssl

import structlog
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientOSError,
    InvalidURL,
    ServerDisconnectedError,
)
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, InvalidHeader, LineTooLong, PayloadEncodingError

from offhook.domain.delivery.outcome import Outcome
from offhook.outbound.connections import AttemptTrace, BlockedError

_log = structlog.get_logger(__name__)


def name_failure(error: Exception, trace: AttemptTrace) -> tuple[Outcome, str]:
    """The outcome of an attempt that got no response head, and a short reason.

    Of the uri no more than host and port are in it, and nothing that the receiver sent: that may be our own request,
    sent back.
    """
    match error:
        case BlockedError():
            return Outcome.BLOCKED, str(error)
        case ClientConnectorDNSError():
            return Outcome.DNS, f"the name {error.host} cannot be resolved"
        case ClientConnectorCertificateError():
            return Outcome.TLS, _certificate_reason(error.certificate_error)
        case ClientConnectorSSLError():
            return Outcome.TLS, _tls_reason(error.os_error)
        case ClientConnectorError():
            return _not_connected(error.os_error, _authority(error))
        case HttpProcessingError():
            return Outcome.MALFORMED, _fault_of_answer(error)
        case ClientOSError() if isinstance(error.__cause__, ssl.SSLError):
            # A TLS 1.3 server refuses a client only after the handshake (RFC 8446, section 4.4.2.4).
            return Outcome.TLS, _tls_reason(error.__cause__)
        case ServerDisconnectedError():
            return Outcome.RESET, "the connection ended before the response head"
        case TimeoutError():
            return _timed_out(trace)
        case ClientConnectionError() | ConnectionError():
            return Outcome.RESET, "the connection was reset before the response head"
        case InvalidURL() | ValueError():
            return Outcome.BLOCKED, "not a URL that can be called"
        case _:
            # Without the traceback: its frames hold the uri's query and the signatures.
            _log.error("attempt failed unexpectedly", error=type(error).__name__)
            return Outcome.MALFORMED, f"unexpected {type(error).__name__}"


def _timed_out(trace: AttemptTrace) -> tuple[Outcome, str]:
    if trace.connection is not None:
        return Outcome.TIMEOUT_RESPONSE, "no complete response head in time"
    if trace.resolving:
        return Outcome.DNS, "the name was not resolved in time"
    if trace.is_connected():
        return Outcome.TIMEOUT_TLS, "no TLS handshake in time"
    return Outcome.TIMEOUT_CONNECT, "no connection in time"


def _not_connected(error: OSError, authority: str) -> tuple[Outcome, str]:
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return Outcome.RESET, "the connection ended during the TLS handshake"
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT_CONNECT, "no connection in time"
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED, f"nothing listens on {authority}"
    reason = os.strerror(error.errno) if error.errno else "no connection"
    return Outcome.REFUSED, f"{authority} cannot be reached ({reason})"


def _authority(error: ClientConnectorError) -> str:
    return f"[{error.host}]:{error.port}" if ":" in error.host else f"{error.host}:{error.port}"


def _fault_of_answer(error: HttpProcessingError) -> str:
    match error.__cause__:
        case None:
            # One of our own bounds.
            return error.message
        case BadStatusLine():
            return "it does not begin with a status line"
        case LineTooLong():
            return "a line of its head is too long"
        case InvalidHeader():
            return "a field of its head is malformed"
        case PayloadEncodingError():
            return "its body is not encoded as its head says"
        case _:
            return "not an HTTP response"


def _certificate_reason(error: Exception) -> str:
    reason = getattr(error, "verify_message", "") or "not accepted"
    return f"certificate: {_first_line(reason)}"


def _tls_reason(error: OSError) -> str:
    return f"TLS: {getattr(error, 'reason', None) or 'failed'}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
