"""One HTTP exchange: the protocol, who asks from where, what holds the event loop only for moments."""
