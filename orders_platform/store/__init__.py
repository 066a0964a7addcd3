"""MongoDB, the truth about every order: documents, the only writer of `orders`, schema, queries, matcher records."""
