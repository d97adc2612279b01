"""What the API shows, and how it writes down a place in a list: made of the domain's values, known to `web` only."""
