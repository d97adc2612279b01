"""Commands that work on a data folder, on the machine that has it."""
