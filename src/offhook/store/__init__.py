"""The one place where things become durable: schema, group commit, queries by noun, migrations."""
