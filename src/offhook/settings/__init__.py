"""Settings: one declaration each, typed, five places to set them, and nothing guessed."""
