"""Candles kept on disk, one memory-mapped file per exchange, symbol and interval."""
