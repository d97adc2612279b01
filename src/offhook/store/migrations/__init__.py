"""Alembic's folder: one module a schema change, oldest first."""
