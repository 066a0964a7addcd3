"""The `orders` command line: one thin module per group of commands."""
