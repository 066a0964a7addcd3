"""Keeps one matcher at work: observe, decide, act. Only `decide` is clever, and it is pure."""
