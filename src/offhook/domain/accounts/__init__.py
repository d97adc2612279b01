"""Who customers, agents and access keys are, and who may do what."""
