"""Text to speech: a text becomes a sound file that the switch can play."""
