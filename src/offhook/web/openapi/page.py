"""The page at `/docs`: the OpenAPI document made readable, without anything from elsewhere, and its files.

Script and style are files of their own, so that the page lives under the policy that it is sent with: a text of the
document that should ever be taken for a script would not be run.
"""

from __future__ import annotations

from importlib.resources import files

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def docs_file(name: str) -> bytes:
    """One of the page's files: page.html, style.css, script.js, favicon.svg."""
    return (files("offhook.web") / "docs" / name).read_bytes()
