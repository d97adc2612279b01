"""What happens when the switch or the API says something: calls first."""
