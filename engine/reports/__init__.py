"""Statistics, columns and reports of runs: pure functions of what a run leaves behind."""
