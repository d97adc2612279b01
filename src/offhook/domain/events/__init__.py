"""What an event is: how it is published, found again in the log, and for how long it is kept."""
