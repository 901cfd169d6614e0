"""The outside world behind the small protocols of `engine.domain.ports`."""
