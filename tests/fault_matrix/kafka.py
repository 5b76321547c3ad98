"""Kafka: its group, its logs, its brokers."""

from tests.fault_matrix.row import SIMULATION, SLEEPER, Row

KAFKA = (
    Row(
        60, "a broker restarts, a leader moves", "goes on, nothing lost",
        ("integration/brokers::a_broker_that_dies_is_left_for_its_replica_with_nothing_lost",
         "integration/outages::a_broker_that_restarts_is_found_again"),
    ),
    Row(61, "the coordinator moves during a commit", "looked for, sent again",
        ("unit/delivery::another_coordinator_is_looked_for_and_the_commit_sent_again",)),
    Row(62, "the whole cluster is away", "alive, not ready; goes on",
        ("integration/outages::a_broker_that_restarts_is_found_again",
         "unit/pipeline::a_broker_that_is_away_is_told_and_only_a_dead_consumer_raises")),
    Row(
        63, "a rebalance during seal, intent, upload, commit", "the gate closes first",
        ("contract/consumer::a_revocation_closes_the_gate_before_others_get_anything",
         "unit/assignment::no_takeover_while_a_commit_of_this_membership_is_under_way",
         SIMULATION),
    ),
    Row(
        64, "one rebalance after the other", "what is open and sealed goes on",
        ("unit/assignment::what_is_open_goes_on_after_a_rebalance_that_changes_nothing",
         "unit/assignment::what_is_sealed_goes_on_too_and_is_uploaded_once"),
    ),
    Row(65, "revocation takes too long", "thrown out of the group; nothing written since",
        (SLEEPER, "unit/delivery::a_refused_commit_closes_the_gate_until_the_next_assignment")),
    Row(66, "a topic gets more partitions", "read from their start",
        ("unit/takeover::a_topic_partition_added_to_a_topic_that_the_group_knows_begins_at_its_start",
         "integration/bounds::partitions_that_are_added_are_read_from_their_start")),
    Row(67, "a topic is deleted", "others go on",
        ("integration/bounds::a_topic_that_is_deleted_holds_no_other",
         "unit/takeover::a_topic_that_does_not_exist_holds_only_itself")),
    Row(
        68, "a topic is created anew", "holds; what is in S3 is not touched",
        ("unit/assignment::a_topic_that_is_created_anew_while_it_is_read_holds",
         "unit/takeover::a_topic_created_anew_holds",
         "contract/kafka_protocol::a_topic_that_is_created_anew_has_another_id"),
    ),
    Row(
        69, "retention passes the offset", "stops with the lost range, or counted and passed",
        ("unit/assignment::offsets_that_the_log_has_lost_stop_the_topic_partition",
         "unit/assignment::offsets_that_the_log_has_lost_are_counted_and_passed"),
    ),
    Row(
        70, "compaction between attempt and repeat", "written beside it, told, counted",
        ("unit/appender::a_repeat_of_other_records_is_told",
         "unit/delivery::a_key_that_is_taken_gets_the_digest_and_is_counted"),
    ),
    Row(
        71, "the log ends below the offset", "holds",
        ("unit/takeover::an_offset_above_the_logs_end_holds",
         "unit/takeover::a_promise_that_the_log_does_not_reach_holds"),
    ),
    Row(
        72, "offsets expired, moved, or of another tool", "each by its own rule",
        ("integration/start::a_group_that_is_gone_holds_where_objects_lie_already",
         "unit/takeover::a_topic_that_the_group_does_not_know_begins_as_configured",
         "unit/assignment::a_commit_of_another_owner_drops_what_is_held",
         "unit/takeover::a_foreign_or_empty_metadata_is_handed_on"),
    ),
    Row(73, "the broker takes shorter metadata", "said with its remedy, tried again",
        ("unit/delivery::metadata_that_is_too_large_is_told_and_tried_again",)),
    Row(
        74, "a record as large as all limits", "written whole, or held with the size that it needs",
        ("integration/bounds::records_that_nobody_should_send_arrive_or_are_counted",
         "unit/pipeline::a_batch_larger_than_the_spool_holds_and_says_so"),
    ),
    Row(
        75, "a batch with a wrong checksum", "fetched again, then stopped at its offset",
        ("contract/batch_tap::damage_on_the_brokers_disk_is_refused_again_and_again_behind_what_is_good",
         "unit/appender_bad_records::a_damaged_batch_is_fetched_again_before_it_is_a_bad_record"),
    ),
    Row(
        76, "decompression bombs, absurd headers and lengths", "refused within the limit's memory",
        ("unit/batch_bounds::a_bomb_is_refused_within_the_memory_of_the_limit",
         "unit/batch_bounds::no_damage_behind_a_right_checksum_ever_raises",
         "property/columns::both_say_the_same_of_any_bytes"),
    ),
    Row(77, "aborted transactions, markers alone", "the offset moves on, lag reaches zero",
        ("integration/records::lag_reaches_zero_behind_what_is_never_delivered",)),
    Row(78, "a right on topic or group is revoked", "hold, said, goes on",
        ("integration/holds_kafka::what_a_broker_lacks_or_refuses_is_waited_for_one_after_the_other",)),
    Row(79, "a broker sends garbage or endless frames", "told, memory bounded",
        ("unit/fault_rows::a_broker_that_sends_garbage_is_told_and_costs_no_memory",)),
    Row(
        80, "tokens and certificates end", "new ones; hold while they are refused",
        ("integration/kafka_security::a_sink_gets_new_tokens_and_holds_while_they_are_refused",
         "integration/kafka_security::the_sink_holds_at_a_wrong_certificate_until_it_is_mended"),
    ),
    Row(
        81, "offsets cannot be committed", "no upload without an intent",
        ("unit/cuts::nothing_is_uploaded_before_the_intent_is_committed",
         "unit/delivery::nothing_is_sent_without_a_membership_or_a_coordinator"),
    ),
)  # fmt: skip
