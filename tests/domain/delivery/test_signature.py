"""Signing: our HMAC is the standard one, and the two headers hold what the contract says."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.signature import Signer, new_secret
from offhook.domain.delivery.standard_webhooks import PreparedHmac, signing_key
from offhook.domain.errors import InvalidError

BODY = b'{"type":"call_created","data":{"id":"a"}}'


@given(key=st.binary(max_size=200), content=st.binary(max_size=500))
def test_the_prepared_hmac_is_the_hmac_of_the_standard_library(key: bytes, content: bytes) -> None:
    mac = PreparedHmac(key)
    expected = hmac.digest(key, content, "sha256")
    assert mac.digest(content) == expected
    assert mac.digest(content) == expected, "a second use must not see the first"


def test_the_standard_webhooks_example_signature_comes_out() -> None:
    signer = Signer(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    standard, _ = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert standard == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_new_secret_holds_32_random_bytes() -> None:
    first, second = new_secret(), new_secret()
    assert first.startswith("whsec_")
    assert len(signing_key(first)) == 32
    assert first != second


def test_one_signature_per_live_secret_newest_first() -> None:
    newest, older = new_secret(), new_secret()
    standard, _ = Signer([newest, older]).headers("evt_1", 1700000000, BODY)
    expected = [
        "v1," + base64.b64encode(hmac.digest(signing_key(s), b"evt_1.1700000000." + BODY, "sha256")).decode()
        for s in (newest, older)
    ]
    assert standard.split(" ") == expected


def test_voipbins_header_is_keyed_with_the_whole_text_of_the_newest_secret() -> None:
    newest = new_secret()
    _, voipbin = Signer([newest, new_secret()]).headers("evt_1", 1700000000, BODY)
    assert voipbin == "sha256=" + hmac.new(newest.encode(), BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 22, "é"])
def test_a_malformed_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Signer([secret])
    assert refused.value.field == "webhook_secret"
    assert len(secret) < 7 or secret.removeprefix("whsec_") not in refused.value.message


def test_a_signer_needs_a_secret_and_does_not_show_it() -> None:
    with pytest.raises(InvalidError):
        Signer([])
    secret = new_secret()
    assert secret[6:] not in repr(Signer([secret]))
