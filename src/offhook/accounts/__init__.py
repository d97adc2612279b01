"""Who may do what: logging in, access keys, customers and their agents."""
