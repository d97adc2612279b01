"""How a change becomes durable: decided in memory, unit by unit, and written once, in the group's flush."""
