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
from aiohttp.http_exceptions import HttpProcessingError

from offhook.domain.outcome import Outcome
from offhook.outbound.connections import AttemptTrace, BlockedError

_log = structlog.get_logger(__name__)


def name_failure(error: Exception, trace: AttemptTrace) -> tuple[Outcome, str]:
    """The outcome of an attempt that got no response head, and a short reason without the uri."""
    match error:
        case BlockedError():
            return Outcome.BLOCKED, str(error)
        case ClientConnectorDNSError():
            return Outcome.DNS, "the name cannot be resolved"
        case ClientConnectorCertificateError():
            return Outcome.TLS, _certificate_reason(error.certificate_error)
        case ClientConnectorSSLError():
            return Outcome.TLS, _tls_reason(error.os_error)
        case ClientConnectorError():
            return _not_connected(error.os_error)
        case HttpProcessingError():
            return Outcome.MALFORMED, _first_line(error.message) or "not an HTTP response"
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


def _not_connected(error: OSError) -> tuple[Outcome, str]:
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return Outcome.RESET, "the connection ended during the TLS handshake"
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT_CONNECT, "no connection in time"
    return Outcome.REFUSED, os.strerror(error.errno) if error.errno else "no connection"


def _certificate_reason(error: Exception) -> str:
    reason = getattr(error, "verify_message", "") or "not accepted"
    return f"certificate: {_first_line(reason)}"


def _tls_reason(error: OSError) -> str:
    return f"TLS: {getattr(error, 'reason', None) or 'failed'}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
