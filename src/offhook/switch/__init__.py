"""The port to a phone system, and its adapters."""
