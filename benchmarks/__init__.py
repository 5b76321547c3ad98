"""What the sink costs, measured from outside: `python -m benchmarks throughput|memory|quick`.

Real Kafka, a real S3 server and one real `spoolsink run` for each measurement. CPU seconds of the
sink's process are the figure that counts: servers and sink share the machine, so the wall clock
tells as much about them as about the sink.
"""
