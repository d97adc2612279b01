"""Offhook: a self-hosted communications platform whose events never get lost."""

__version__ = "0.1.0"
