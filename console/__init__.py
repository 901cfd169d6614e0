"""The program around the engine: command line, console application, read model."""
