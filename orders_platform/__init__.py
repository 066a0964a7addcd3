"""Matches orders with payments from Kafka in Spark and keeps one document per order in MongoDB."""

__version__ = "0.1.0"

__version__ = "0.1.0"
