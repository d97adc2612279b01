"""The flow interpreter, pure: how an activeflow lives, how a flow goes on, and what each action is."""
