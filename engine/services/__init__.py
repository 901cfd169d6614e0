"""What runs share: registries, context, events, bars, clocks, risk."""
