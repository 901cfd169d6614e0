"""Market data sources: bars from files and from a simulated market."""
