"""Configuration files that must be refused, with every line that is said about them."""

BASE = """\
name: sink
kafka:
  bootstrap_servers: localhost:9092
  topics: orders
s3:
  bucket: b
"""

_PYTHON_HAS_NONE = r"Python has none (a character itself: \[ \&)"

TABLE: list[tuple[str, list[str]]] = [
    ("", ["sink.yaml:1: the file is empty"]),
    ("[1]", ["sink.yaml:1: must be a mapping of keys"]),
    ("name: x", ["sink.yaml:1: kafka: required", "sink.yaml:1: s3: required"]),
    (
        "name: a b\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\ns3:\n  bucket: b\n",
        ["sink.yaml:1: name: found 'a b'; allowed: letters, digits, '.', '_' and '-'"],
    ),
    (
        "name: a b\nkafka: {topics: t}\ns3: {bucket: '', part_size: 4MiB}\nspool: {resume_at: 1}\n",
        [
            "sink.yaml:1: name: found 'a b'; allowed: letters, digits, '.', '_' and '-'",
            "sink.yaml:2: kafka.bootstrap_servers: required",
            "sink.yaml:3: s3.bucket: found ''; allowed: text that is not empty",
            "sink.yaml:3: s3.part_size: allowed: 5MiB to 5GiB",
            "sink.yaml:4: spool.resume_at: found 1.0; allowed: below spool.pause_at",
        ],
    ),
    (
        "name: n\nkafka: {bootstrap_servers: k, topics: 'a b,c'}\ns3: {bucket: b}",
        [
            "sink.yaml:2: kafka.topics: found 'a b'; allowed: letters, digits, '.', '_' and '-', but not '.' or '..'"
        ],
    ),
    (
        BASE + "layout: {time: recrod, timezone: Europe/Berlim, missing_value: a//b}",
        [
            "sink.yaml:7: layout.missing_value: may not contain '//'",
            "sink.yaml:7: layout.time: found 'recrod'; allowed: record | wallclock | value.PATH | header.NAME; did you mean 'record'?",
            "sink.yaml:7: layout.timezone: no time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'?",
        ],
    ),
    (
        BASE + "layout: {timezone: '+25:00'}",
        ["sink.yaml:7: layout.timezone: no time zone '+25:00'"],
    ),
    (
        BASE + "layout: {missing_value: '', time_bucket: 7ms}",
        [
            "sink.yaml:7: layout.missing_value: found ''; allowed: text that is not empty",
            "sink.yaml:7: layout.time_bucket: allowed: a divisor of a day, or whole days",
        ],
    ),
    (
        BASE + "format: {type: text, separator: ';', extension: txt}",
        [
            "sink.yaml:7: format.extension: found 'txt'; allowed: nothing, or a text that begins with a dot",
            "sink.yaml:7: format.separator: only used with bytes",
        ],
    ),
    (BASE + "rotate: {schedule: 0.1ms}", ["sink.yaml:7: rotate.schedule: allowed: 1s or more"]),
    (
        BASE + "  endpoint_url: localhost:9000",
        [
            "sink.yaml:7: s3.endpoint_url: found 'localhost:9000'; allowed: a URL that begins with http:// or https://"
        ],
    ),
    (
        BASE + "admin: {listen: '0.0.0.0:8083', token: ''}",
        ["sink.yaml:7: admin.token: may not be empty"],
    ),
    (BASE + "colour: red", ["sink.yaml:7: colour: unknown key"]),
    (BASE + "recods: {}", ["sink.yaml:7: recods: unknown key; did you mean 'records'?"]),
    (
        BASE + "rotate: {max_agee: 1m}",
        ["sink.yaml:7: rotate.max_agee: unknown key; did you mean 'max_age'?"],
    ),
    (
        BASE + "rotate: {max_age: 10}",
        [
            "sink.yaml:7: rotate.max_age: found 10; allowed: a duration such as 250ms, 30s, 10m, 1h or 1d"
        ],
    ),
    (
        BASE + "rotate: {max_age: 0s}",
        ["sink.yaml:7: rotate.max_age: found '0s'; allowed: more than zero"],
    ),
    (
        BASE + "rotate: {bytes: 1 GB}",
        [
            "sink.yaml:7: rotate.bytes: found '1 GB'; allowed: a size such as 64KiB, 8MiB, 2GiB or 1MB"
        ],
    ),
    (
        BASE + "rotate: {records: 0}",
        ["sink.yaml:7: rotate.records: found 0; allowed: a whole number from 1 to 2147483647"],
    ),
    (
        BASE + "rotate: {records: many}",
        ["sink.yaml:7: rotate.records: found 'many'; allowed: a whole number from 1 to 2147483647"],
    ),
    (BASE + "rotate: 5", ["sink.yaml:7: rotate: found 5; allowed: a mapping"]),
    (
        BASE + "rotate: {interval: 1h}\nlayout: {time: wallclock}",
        ["sink.yaml:7: rotate.interval: cannot be used with layout.time: wallclock (use max_age)"],
    ),
    (
        BASE + "layout: {time: valu.x}",
        [
            "sink.yaml:7: layout.time: found 'valu.x'; allowed: record | wallclock | value.PATH | header.NAME"
        ],
    ),
    (BASE + "layout: {time: value.}", ["sink.yaml:7: layout.time: empty name in the path ''"]),
    (
        BASE + "layout: {timezone: Mars/Base}",
        ["sink.yaml:7: layout.timezone: no time zone 'Mars/Base'"],
    ),
    (
        BASE + "layout: {partition: '{tme:%Y}'}",
        ["sink.yaml:7: layout.partition: only {time:...} takes directives, not {tme:%Y}"],
    ),
    (
        BASE + "layout: {partition: '{time}'}",
        ["sink.yaml:7: layout.partition: {time} needs directives, for example {time:%Y-%m-%d}"],
    ),
    (
        BASE + "layout: {partition: '/a'}",
        ["sink.yaml:7: layout.partition: may not begin or end with '/'"],
    ),
    (BASE + "layout: {prefix: 'a//b'}", ["sink.yaml:7: layout.prefix: may not contain '//'"]),
    (
        BASE + "layout: {time_bucket: 7h}",
        ["sink.yaml:7: layout.time_bucket: allowed: a divisor of a day, or whole days"],
    ),
    (
        BASE + "layout: {time_bucket: 36h}",
        ["sink.yaml:7: layout.time_bucket: allowed: a divisor of a day, or whole days"],
    ),
    (
        BASE + "layout: {missing: ignore}",
        ["sink.yaml:7: layout.missing: found 'ignore'; allowed: default | error"],
    ),
    (
        BASE + "layout: {topic_directory: 'yes'}",
        ["sink.yaml:7: layout.topic_directory: found 'yes'; allowed: true | false"],
    ),
    (
        BASE + "layout: {partitioner: a.b.C}",
        ["sink.yaml:7: layout.partitioner: found 'a.b.C'; allowed: package.module:Class"],
    ),
    (
        BASE + "layout: {partitioner: 'a.b:C', partition: 'dt={time:%Y}'}",
        ["sink.yaml:7: layout.partition: cannot be used with layout.partitioner"],
    ),
    (
        BASE + "layout: {options: {field: user}}",
        ["sink.yaml:7: layout.options: only used with layout.partitioner"],
    ),
    (
        BASE + "  conditional_writes: off\nlayout: {file_name: connect}",
        ["sink.yaml:8: layout.file_name: connect needs s3.conditional_writes"],
    ),
    (
        BASE + "format: {type: jsonl, compression: snappy}",
        ["sink.yaml:7: format.compression: found 'snappy'; allowed with jsonl: none | gzip | zstd"],
    ),
    (
        BASE + "format: {type: parquet}",
        ["sink.yaml:7: format.columns: required with parquet of values without a schema"],
    ),
    (
        BASE + "format: {type: csv}",
        ["sink.yaml:7: format.columns: required with csv of values without a schema"],
    ),
    (
        BASE + "format: {type: csv, columns: [{name: a, type: text, path: value.a}]}",
        [
            "sink.yaml:7: format.columns.0.type: found 'text'; allowed: string | int | long | float | double | boolean | bytes | date | timestamp | decimal(p,s)"
        ],
    ),
    (
        BASE
        + "format:\n  type: csv\n  columns:\n  - {name: a, type: int, path: valu.a}\n  - {name: a, type: int, path: key}",
        [
            "sink.yaml:10: format.columns.0.path: found 'valu.a'; allowed: value.PATH | key | key.PATH | header.NAME | topic | partition | offset | timestamp",
            "sink.yaml:11: format.columns.1.name: the column 'a' is there already",
        ],
    ),
    (
        BASE + "format: {header: true}",
        ["sink.yaml:7: format.header: only used with csv"],
    ),
    (
        BASE + "format: {type: json}",
        [
            "sink.yaml:7: format.type: found 'json'; allowed: jsonl | text | bytes | csv | avro | parquet; did you mean 'jsonl'?"
        ],
    ),
    (
        BASE + "format: {compression: gzip, compression_level: 10}",
        ["sink.yaml:7: format.compression_level: allowed with gzip: 0 to 9"],
    ),
    (
        BASE + "format: {compression_level: 3}",
        ["sink.yaml:7: format.compression_level: without a compression that has levels"],
    ),
    (BASE + "format: {header: 1}", ["sink.yaml:7: format.header: found 1; allowed: true | false"]),
    (
        BASE + "records: {value: jsn}",
        [
            "sink.yaml:7: records.value: found 'jsn'; allowed: bytes | string | json | avro | protobuf | cbor | msgpack | package.module:Class; did you mean 'json'?"
        ],
    ),
    (
        BASE + "records: {form: full}\nformat: {type: text}",
        ["sink.yaml:7: records.form: full cannot be written as text"],
    ),
    (
        BASE + "records: {on_error: skipp}",
        [
            "sink.yaml:7: records.on_error: found 'skipp'; allowed: stop | skip | dead_letter; did you mean 'skip'?"
        ],
    ),
    (
        BASE + "records: {on_error: dead_letter}",
        [
            "sink.yaml:7: records.dead_letter: on_error: dead_letter needs one of topic and prefix",
        ],
    ),
    (
        BASE + "records: {on_error: dead_letter, dead_letter: {prefix: topics}}",
        ["sink.yaml:7: records.dead_letter.prefix: must be a prefix of its own"],
    ),
    (
        BASE + "records: {on_error: dead_letter, dead_letter: {prefix: /a}}",
        ["sink.yaml:7: records.dead_letter.prefix: may not begin or end with '/'"],
    ),
    (
        BASE + "records: {dead_letter: {topic: t}}",
        ["sink.yaml:7: records.dead_letter: only used with on_error: dead_letter"],
    ),
    (
        BASE + "spool: {resume_at: 0.95}",
        ["sink.yaml:7: spool.resume_at: found 0.95; allowed: below spool.pause_at"],
    ),
    (
        BASE + "spool: {pause_at: 2}",
        ["sink.yaml:7: spool.pause_at: found 2; allowed: a number above 0 and up to 1"],
    ),
    (
        BASE + "spool: {max_bytes: 10MiB}",
        ["sink.yaml:7: spool.max_bytes: allowed: at least twice spool.write_buffer"],
    ),
    (
        BASE + "admin: {listen: 0.0.0.0:8083}",
        ["sink.yaml:7: admin.token: required when admin.listen is not on loopback"],
    ),
    (
        BASE + "admin: {listen: nowhere}",
        ["sink.yaml:7: admin.listen: found 'nowhere'; allowed: host:port"],
    ),
    (BASE + "  part_size: 1MiB\n", ["sink.yaml:7: s3.part_size: allowed: 5MiB to 5GiB"]),
    (
        BASE + "  uploads: 0\n",
        ["sink.yaml:7: s3.uploads: found 0; allowed: a whole number from 1 to 256"],
    ),
    (
        BASE + "  access_key_id: AK\n",
        ["sink.yaml:5: s3: access_key_id and secret_access_key go together"],
    ),
    (
        BASE + "  secret_access_key: [hush]\n",
        ["sink.yaml:7: s3.secret_access_key: found a value that is not shown; allowed: text"],
    ),
    (
        BASE + "  sse_kms_key_id: k\n",
        ["sink.yaml:7: s3.sse_kms_key_id: only used with sse: aws:kms"],
    ),
    (
        BASE + "  assume_role: {role_arn: a, duration: 10m}\n",
        ["sink.yaml:7: s3.assume_role.duration: allowed: 15m to 12h"],
    ),
    (
        BASE + "  assume_role: {external_id: a}\n",
        ["sink.yaml:7: s3.assume_role.external_id: only used with role_arn"],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\ns3:\n  region: r\n",
        ["sink.yaml:5: s3.bucket: required"],
    ),
    *(
        (
            BASE.replace("topics: orders", f"topics_pattern: '{pattern}'")
            + "records: {on_error: dead_letter, dead_letter: {topic: a}}",
            [f"sink.yaml:4: kafka.topics_pattern: no regular expression: {told}"],
        )
        for pattern, told in (
            ("a[[b]&&c]", f"possible nested set at position 2: {_PYTHON_HAS_NONE}"),
            ("[a-z&&c]", f"possible set intersection at position 4: {_PYTHON_HAS_NONE}"),
            ("a{4294967296}", "the repetition number is too large"),
        )
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics_pattern: '('\ns3:\n  bucket: b\n",
        [
            "sink.yaml:4: kafka.topics_pattern: no regular expression: missing ), unterminated subpattern at position 0"
        ],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\ns3:\n  bucket: b\n",
        ["sink.yaml:2: kafka: one of topics and topics_pattern is required, and only one"],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: []\ns3:\n  bucket: b\n",
        [
            "sink.yaml:4: kafka.topics: found []; allowed: a list of words, or words separated by commas"
        ],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: 'a:9092,SSL://b:9093,c:x,[::1]:9094'\n  topics: orders\ns3:\n  bucket: b\n",
        [
            "sink.yaml:3: kafka.bootstrap_servers: found 'SSL://b:9093'; allowed: host:port",
            "sink.yaml:3: kafka.bootstrap_servers: found 'c:x'; allowed: host:port",
        ],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\n  session_timeout: 100ms\ns3:\n  bucket: b\n",
        ["sink.yaml:5: kafka.session_timeout: allowed: 1s or more"],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\n  security: {protocol: SASL_SSL}\ns3:\n  bucket: b\n",
        ["sink.yaml:5: kafka.security.sasl_mechanism: required with protocol: SASL_SSL"],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\n  start_from: newest\ns3:\n  bucket: b\n",
        ["sink.yaml:5: kafka.start_from: found 'newest'; allowed: earliest | latest | fail"],
    ),
    (
        "name: sink\nkafka:\n  bootstrap_servers: localhost:9092\n  topics: orders\n  topics: more\ns3:\n  bucket: b\n",
        ["sink.yaml:5: kafka.topics: duplicate key; first on line 4"],
    ),
    (
        BASE + "a: &x 1\nb: *x",
        [
            "sink.yaml:7: anchors and aliases are not allowed",
            "sink.yaml:8: anchors and aliases are not allowed",
        ],
    ),
    (
        BASE + "admin: !!python/object:os.system {}",
        ["sink.yaml:7: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed"],
    ),
    (
        BASE + "admin: {token: '${NO_SUCH}'}",
        ["sink.yaml:7: admin.token: the environment has no NO_SUCH"],
    ),
    (
        BASE + "admin: {token: '${oops'}",
        ["sink.yaml:7: admin.token: cannot read the reference '${oops'"],
    ),
    (
        BASE + "admin: {token: '${file:/no/such}'}",
        ["sink.yaml:7: admin.token: cannot read /no/such: No such file or directory"],
    ),
    (BASE + "x: [", ["sink.yaml:7: not YAML: expected the node content, but found '<stream end>'"]),
    (BASE + "\tx: 1", ["sink.yaml:7: not YAML: found character '\\t' that cannot start any token"]),
    (BASE + "  tags: {a: [1]}\n", ["sink.yaml:7: s3.tags.a: found [1]; allowed: text"]),
    (BASE + "? [1]\n: 2", ["sink.yaml:7: a key must be a word"]),
    (
        BASE
        + "x: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        ["sink.yaml:7: nested more than 32 deep"],
    ),
]
