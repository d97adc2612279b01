"""How calls and what belongs to them live: per noun its state, its decisions, and when it is final."""
