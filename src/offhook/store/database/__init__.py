"""The database itself: sessions, threads that read, statements prepared once; nothing of what is in it."""
