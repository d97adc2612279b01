"""What runs for the life of a node, and how tests run it."""

from tests.running.supervised import Running

__all__ = ["Running"]
