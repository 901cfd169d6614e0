"""Values of the trading domain: no input/output, no clock, no asyncio."""
