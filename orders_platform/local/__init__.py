"""The embedded stack: a Kafka broker and a MongoDB server as detached processes of one home."""
