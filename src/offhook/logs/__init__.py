"""Logging: structured for those who collect it, a short line each for a person at a terminal."""
