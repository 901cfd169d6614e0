"""What an operator sees: one module per screen, one per widget under `screens.widgets`."""
