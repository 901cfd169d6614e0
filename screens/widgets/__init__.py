"""The parts screens are made of; each module shows itself when run with ``python -m``."""
