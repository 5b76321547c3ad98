"""Keys that cannot stand together, with every line that is said about them."""

from tests.unit.bad_configurations import BASE

TABLE: list[tuple[str, list[str]]] = [
    (
        BASE + "layout: {prefix: a/../b}",
        ["sink.yaml:7: layout.prefix: may not have '.' or '..' as a directory"],
    ),
    (
        BASE + "layout: {partition: 'x/./{topic}'}",
        ["sink.yaml:7: layout.partition: may not have '.' or '..' as a directory"],
    ),
    (
        BASE + "layout: {missing_value: ..}",
        ["sink.yaml:7: layout.missing_value: may not have '.' or '..' as a directory"],
    ),
    (
        BASE + "layout: {missing: error, missing_value: x}",
        ["sink.yaml:7: layout.missing_value: only used with missing: default"],
    ),
    (
        BASE + "layout: {partitioner: 'a:B', time_bucket: 1h, missing: error}",
        [
            f"sink.yaml:7: layout.{key}: cannot be used with layout.partitioner"
            for key in ("missing", "time_bucket")
        ],
    ),
    (
        BASE + "spool: {mode: memory, compression: zstd}",
        ["sink.yaml:7: spool.compression: cannot be used with spool.mode: memory"],
    ),
    (
        BASE + "records: {max_errors_in_a_row: 3}",
        ["sink.yaml:7: records.max_errors_in_a_row: cannot be used with on_error: stop"],
    ),
    (
        BASE + "records: {on_error: dead_letter, dead_letter: {prefix: a/..}}",
        ["sink.yaml:7: records.dead_letter.prefix: may not have '.' or '..' as a directory"],
    ),
    (
        BASE + "records: {on_error: dead_letter, dead_letter: {topic: 'a b'}}",
        [
            "sink.yaml:7: records.dead_letter.topic: found 'a b'; allowed: letters, digits, '.', '_' and '-', but not '.' or '..'"
        ],
    ),
    (
        "name: n\nkafka: {bootstrap_servers: k, topics_pattern: 'a.*'}\ns3: {bucket: b}\nrecords: {on_error: dead_letter, dead_letter: {topic: a-dead}}",
        ["sink.yaml:4: records.dead_letter.topic: 'a-dead' matches kafka.topics_pattern"],
    ),
    (
        BASE + "records: {value_options: {framd: true}}",
        [
            "sink.yaml:7: records.value_options: json: unknown option 'framd'; did you mean 'framed'?; allowed: schemas_enable, framed"
        ],
    ),
    (
        BASE + "records: {key_options: {a: 1}}",
        ["sink.yaml:7: records.key_options: string: unknown option 'a'; it has no options"],
    ),
    (
        BASE + "records: {value_options: {schemas_enable: true, framed: true}}",
        ["sink.yaml:7: records.value_options: json: schemas_enable and framed exclude each other"],
    ),
    (
        BASE + "records: {value: avro}",
        [
            "sink.yaml:7: records.value_options: avro: needs schema_file, or records.schema_registry.url"
        ],
    ),
    (
        BASE + "records: {schema_registry: {username: u, token: t}}",
        [
            "sink.yaml:7: records.schema_registry.token: only used with url",
            "sink.yaml:7: records.schema_registry.username: only used with url",
            "sink.yaml:7: records.schema_registry: either token or username, not both",
        ],
    ),
    (
        BASE + "records: {schema_registry: {url: 'http://r', password: p}}",
        ["sink.yaml:7: records.schema_registry.password: only used with username"],
    ),
]
