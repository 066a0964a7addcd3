"""Where a matcher can live. Each backend has `submit`, `find`, `stop` and `describe`, and decides nothing."""
