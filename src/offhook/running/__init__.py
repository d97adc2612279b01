"""The runner: inputs decided in order, commands carried out in lanes, timers. Knows no switch and no noun."""
