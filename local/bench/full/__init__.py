"""Benches on the real servers: Storm, Kafka, Cassandra, KairosDB behind nginx, and Redis."""
