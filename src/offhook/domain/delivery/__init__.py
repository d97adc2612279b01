"""What becomes of an event on its way to a destination: outcome, health, retries, signature, and where it may go."""
