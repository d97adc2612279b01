"""The adapter to Asterisk over ARI, and the supervisor of an embedded one."""
