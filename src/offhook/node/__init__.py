"""What a process that lives on needs: the shape of a service, the supervisor over all of them, signals."""
