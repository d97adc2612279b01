"""The rules of a signature, as the server keeps them. In the wheel of the receiver those stand here themselves."""

from offhook.domain.delivery.standard_webhooks import PreparedHmac, signed_content, signing_key, standard_signature

__all__ = ["PreparedHmac", "signed_content", "signing_key", "standard_signature"]
