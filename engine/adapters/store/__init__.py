"""Stores of live state."""
