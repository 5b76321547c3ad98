"""Kafka to S3 through segment files on local disk."""

__version__ = "0.1.0"
