"""Kafka: topics, what is sent to them, what lies in them, and where they end. The only package that talks to Kafka."""
