"""The whole platform as a black box: only the command line is used, as a person would use it."""
