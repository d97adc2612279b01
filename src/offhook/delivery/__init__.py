"""The delivery engine: lanes, health, retries, backlog, retention."""
