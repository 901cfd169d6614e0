"""The imperative shell: one module per mode, all driving the same session."""
