"""What records, clocks, files and clients bring."""

from tests.fault_matrix.row import BAD_FILE, SIMULATION, Row

DATA = (
    Row(
        82, "poison documents", "an error of the record; its neighbours are written",
        ("unit/poison::poison_costs_its_own_record_at_most",
         "unit/converters::what_is_no_document_is_an_error_of_its_record",
         "integration/bounds::records_that_nobody_should_send_arrive_or_are_counted"),
    ),
    Row(
        83, "path-like, long, odd and equal-looking fields", "escaped reversibly, never a path",
        ("unit/layout::different_values_never_share_a_directory",
         "unit/layout::an_escaped_value_is_one_directory_and_reads_back",
         "unit/encoder::a_key_that_would_be_too_long_is_an_error_of_its_record"),
    ),
    Row(
        84, "a million S3 partitions", "cuts end at `max_open`; labels never carry them",
        ("unit/boundaries::the_cut_ends_before_a_record_that_would_open_one_segment_more",
         "unit/pipeline::more_open_segments_than_the_process_may_have_end_the_widest_cut",
         "unit/spool::two_thousand_open_segments_stay_within_the_write_buffer"),
    ),
    Row(
        85, "a field is missing or of another type", "the default, or an error, always the same",
        ("unit/layout::values_are_rendered_as_json_and_escaped_as_hive",
         "unit/layout::a_missing_field_can_be_an_error",
         "unit/layout::what_cannot_be_rendered_is_an_error_of_its_record_alone"),
    ),
    Row(
        86, "times beyond any calendar", "an error of the record",
        ("unit/layout::a_time_that_cannot_be_rendered_costs_its_record_only",
         "property/hostile_records::a_time_is_read_missing_or_an_error"),
    ),
    Row(
        87, "the clock jumps, the machine sleeps", "never back; the lease counts the sleep",
        ("unit/appender::a_wall_clock_that_is_set_back_does_not_move_a_topic_partition_back",
         "contract/consumer::the_lease_ends_when_the_clock_passes_it", SIMULATION),
    ),
    Row(
        88, "daylight saving", "days of 23 and 25 hours; the zone is in the fingerprint",
        ("unit/rotation::the_schedule_counts_elapsed_time_on_days_of_23_and_25_hours",
         "unit/layout::buckets_round_down_on_the_local_wall_clock"),
    ),
    Row(
        89, "YAML bombs, tags, duplicates, a huge file", "refused with their line",
        (BAD_FILE, "unit/config::a_file_that_is_not_there_or_too_large_is_refused",
         "property/hostile_files::any_bytes_are_a_configuration_or_refused"),
    ),
    Row(90, "an unknown key, a contradiction", "refused, all at once", (BAD_FILE,)),
    Row(
        91, "another layout while intents are open", "told and counted; nothing is overwritten",
        ("unit/assignment::promises_of_another_configuration_are_told_and_counted",
         "integration/operating::a_bad_file_disturbs_nobody_and_a_good_one_takes_effect"),
    ),
    Row(
        92, "secrets in logs, errors, metrics, pages", "nowhere",
        ("integration/secrets::no_secret_shows_in_log_metrics_pages_arguments_or_spool",
         "unit/config::a_secret_is_never_shown", "unit/logs::a_hidden_value_shows_nowhere"),
    ),
    Row(
        93, "an open admin port, slow clients", "a token, limits, cut off",
        ("unit/security::an_open_address_without_a_token_is_refused",
         "unit/admin::a_change_without_the_token_is_refused",
         "unit/admin_limits::who_does_not_finish_the_headers_is_cut_off"),
    ),
    Row(94, "line ends and escapes in what is logged", "escaped",
        ("unit/logs::what_came_from_outside_cannot_end_a_line_or_steer_a_terminal",)),
    Row(
        95, "header injection by metadata", "refused by name before it is sent",
        ("contract/store_errors::what_keeps_a_call_from_the_store_is_told_apart",
         "unit/naming::metadata_tells_range_records_cut_digest_and_sink_in_plain_numbers"),
    ),
    Row(96, "who may read the spool", "its owner alone",
        ("unit/spool::nobody_else_may_look_inside",)),
    Row(
        97, "a dependency moves what we touch", "a test fails by name",
        ("contract/batch_tap::what_is_touched_of_aiokafka_is_there",
         "contract/consumer::what_is_touched_of_aiokafka_is_there",
         "contract/kafka_protocol::what_is_touched_of_aiokafka_is_there"),
    ),
    Row(
        98, "pauses, busy threads", "queues are bounded; the loop goes on",
        ("unit/uploader::no_more_bodies_are_read_at_a_time_than_uploads_are_allowed",
         "unit/fault_rows::a_disk_that_takes_long_does_not_hold_the_event_loop"),
    ),
)  # fmt: skip
