"""What a switch is told, and what it tells."""
