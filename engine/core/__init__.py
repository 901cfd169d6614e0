"""Pure decisions: no await, no clock, no randomness, no logging.

Whatever must be equal in backtest and live is decided here.
"""
