"""The matcher without an engine: Spark, tests and tools call the same functions."""
