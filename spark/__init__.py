"""The engine: Spark reads Kafka, spreads messages over buckets and calls the matcher. Nothing else imports it."""
