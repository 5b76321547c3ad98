"""The fault matrix: what may go wrong, and the tests that prove what comes of it.

`python -m tests.fault_matrix` writes `tests/FAULTS.md` from it. A row has tests, or at most ten of
all a reason why there is none; `tests/unit/test_fault_matrix.py` holds it to that. The simulation,
the search of all interleavings and `make chaos` meet most of these faults again, mixed.
"""

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent / "FAULTS.md"


class Row(NamedTuple):
    """One fault; tests are `folder/file::name` below `tests/`, without suffix and `test_`."""

    number: int
    fault: str
    outcome: str
    tests: tuple[str, ...] = ()
    reason: str = ""

    def node_ids(self) -> list[str]:
        """As pytest names them."""
        return [node_id_of(test) for test in self.tests]


def node_id_of(test: str) -> str:
    """`unit/spool::a_b` to `tests/unit/test_spool.py::test_a_b`."""
    place, _, name = test.partition("::")
    folder, _, file = place.rpartition("/")
    return f"tests/{folder}/test_{file}.py::test_{name}"


_KILLS = "integration/kills::a_kill_at_every_other_step_loses_and_doubles_nothing"
_PROMISED = "integration/kills::a_kill_loses_and_doubles_nothing"
_PARTS = "integration/kills::a_kill_within_an_upload_leaves_no_upload_behind"
_HOLDS = "integration/holds::the_sink_holds_says_why_and_goes_on_with_nothing_lost"
_SLEEPER = "integration/outages::a_sleeper_that_wakes_after_its_session_writes_nothing_twice"
_SIMULATION = "simulation/delivery::no_history_loses_doubles_or_overwrites_a_record"
_LOST = "unit/uploader::a_lost_request_or_reply_ends_in_exactly_one_object"
_BAD_FILE = "unit/config::a_bad_file_is_refused_with_its_exact_problems"

PROCESS = (
    Row(1, "killed between a fetch and its append", "read again from the offset", (_KILLS,)),
    Row(2, "killed while a segment is written", "the open file is deleted, read again", (_KILLS,)),
    Row(3, "killed when a segment is whole and not renamed", "deleted, read again", (_KILLS,)),
    Row(
        4, "killed behind the rename; the file there or not, the ledger without it",
        "a cut that the ledger does not know is read again; found only where the ledger is lost",
        (_KILLS, "unit/ledger::cuts_never_remembered_are_found_only_when_the_ledger_was_lost"),
    ),
    Row(
        5, "killed when the ledger knows the cut, before its intent",
        "nothing was uploaded; dropped and read again",
        (_KILLS, "unit/assignment::a_sealed_cut_on_disk_that_was_not_promised_is_deleted"),
    ),
    Row(
        6, "killed when the intent was sent, its reply lost", "the broker's state decides",
        (_PROMISED, "unit/delivery::a_commit_without_an_answer_is_read_back_before_anything_else"),
    ),
    Row(7, "killed between intent and upload", "exactly the promised range again", (_PROMISED,
        _KILLS)),
    Row(
        8, "killed in a multipart upload: created, some parts, all parts",
        "uploaded anew from its first part; the old upload is aborted", (_PARTS,),
    ),
    Row(
        9, "killed between an object's completion and the commit",
        "the object is recognised, not written again", (_PROMISED,),
    ),
    Row(10, "killed when some objects of the cut are there", "only the others are written",
        (_PROMISED,
         "integration/kills::a_repeat_ends_above_the_floor_whatever_it_is_configured_to")),
    Row(11, "killed between the commit and the deletion", "left files are deleted at the start",
        (_PROMISED, _KILLS)),
    Row(
        12, "suspended beyond the session in mid-upload, then woken",
        "no write with an old lease, no commit, nothing twice",
        (_SLEEPER, "contract/consumer::the_lease_ends_when_the_clock_passes_it",
         "unit/delivery::what_is_queued_already_waits_too_when_the_heartbeat_grows_old"),
    ),
    Row(
        13, "that, and the group is empty meanwhile",
        "no commit without a membership; one of an old generation is refused",
        ("unit/delivery::nothing_is_sent_without_a_membership_or_a_coordinator",
         "contract/consumer::a_commit_of_an_older_membership_is_fenced"),
    ),
    Row(
        14, "SIGTERM, with S3 well and with S3 hanging",
        "sealed work and floors are finished; else status 0 within the grace, left to a repeat",
        ("integration/life::a_stop_finishes_a_cut_that_has_a_floor",
         "integration/life::a_stop_while_s3_hangs_ends_well_within_its_grace"),
    ),
    Row(15, "a second signal during the drain", "ends at once, nothing lost",
        ("integration/life::a_second_signal_ends_the_process_at_once",)),
    Row(
        16, "killed for want of memory", "as any kill; memory does not grow with the object",
        (_PROMISED,
         ("integration/large_object::one_s3_partition_is_uploaded_in_parts_with_memory_that_does_not_"
         "grow_with_it")),
    ),
    Row(
        17, "the event loop stands still", "a stale lease writes nothing; the stack is logged",
        (_SLEEPER,
         "integration/operating::systemd_hears_of_a_real_process_and_gets_its_stack_when_it_is_hung"),
    ),
    Row(18, "an exception that nobody expected, in a task", "the process ends with status 1, whole",
        ("integration/bounds::a_fault_in_one_task_ends_the_process_and_loses_nothing",)),
    Row(
        19, "a spool that nobody can read, at every start",
        "damaged ledgers are moved aside, damaged segments deleted; it starts",
        ("unit/ledger::a_damaged_ledger_is_moved_aside_and_gives_the_same_cuts",
         "property/hostile_input::a_segment_is_read_or_corrupt_and_keeps_no_spool_from_starting"),
    ),
    Row(20, "two processes with one spool directory", "the second ends with status 1",
        ("integration/life::a_spool_that_cannot_be_owned_ends_with_one_and_a_reason",)),
    Row(21, "two processes with one group.instance.id",
        "one is fenced; nothing twice, nothing lost",
        ("integration/bounds::two_members_of_one_name_lose_and_double_nothing",)),
    Row(
        22, "an older and a newer version side by side",
        "metadata of an unknown version is not touched: hold",
        ("unit/takeover::metadata_of_an_unknown_version_holds",
         "unit/cuts::metadata_of_another_version_changes_nothing"),
    ),
    Row(
        23, "a downgrade", "the same; an unknown ledger is moved aside",
        ("unit/intent::another_version_of_ours_is_refused",
         "unit/ledger::a_damaged_ledger_is_moved_aside_and_gives_the_same_cuts"),
    ),
)  # fmt: skip

DISK = (
    Row(
        24, "no space at an append", "the segment is dropped; hold; read again when there is room",
        ("unit/spool::a_disk_that_fills_up_breaks_the_segment_and_is_counted",
         "integration/disk::a_disk_that_fills_up_holds_and_goes_on"),
    ),
    Row(
        25, "no space at the footer or the rename", "no file stays; read again",
        ("unit/spool::a_seal_that_fails_half_way_leaves_no_file",
         "unit/spool::a_segment_that_lost_rows_to_a_failed_write_is_never_sealed"),
    ),
    Row(
        26, "no space in a transaction of the ledger", "an error, no SIGBUS, nothing lost",
        ("unit/ledger::a_full_disk_is_an_error_and_loses_nothing",
         "unit/ledger::a_full_disk_at_the_start_moves_nothing_aside"),
    ),
    Row(
        27, "quota, read-only, EIO", "waited for at the start; in the middle hold; a file that "
        "cannot be read is a damaged one",
        ("unit/spool_files::a_disk_that_takes_nothing_is_waited_for",
         "integration/holds_disk::a_disk_that_takes_nothing_any_more_holds_and_goes_on",
         "unit/fault_rows::a_segment_that_the_disk_cannot_read_is_a_damaged_one"),
    ),
    Row(28, "fsync fails once",
        "", reason="No segment is synced: Kafka is the log, and a segment is "
        "trusted only for its checksums. The ledger's sync is LMDB's own; its failure is row 26."),
    Row(29, "a torn end of a sealed segment", "refused",
        ("unit/segment::a_torn_segment_is_refused",)),
    Row(
        30, "a flipped bit in a sealed segment", "never completed; dropped, read again",
        ("unit/segment::no_flipped_bit_is_read_as_data",
         "unit/uploader::a_damaged_segment_is_never_completed",
         "integration/outages::damaged_segments_are_read_again_from_kafka"),
    ),
    Row(
        31, "damage of the ledger: bits, length, engine", "moved aside and rebuilt, no SIGBUS",
        ("unit/ledger::no_scribble_on_the_ledger_crashes_or_invents",
         "unit/ledger::a_damaged_ledger_is_moved_aside_and_gives_the_same_cuts"),
    ),
    Row(
        32, "the ledger's map is full", "it grows; at its most an error that loses nothing",
        ("unit/ledger::the_map_grows_with_the_rows",
         "unit/ledger::a_map_that_may_not_grow_on_is_an_error_and_loses_nothing"),
    ),
    Row(33, "readers of a killed process in the ledger", "cleared at the start",
        ("unit/fault_rows::a_reader_that_was_killed_keeps_no_page_of_the_ledger",)),
    Row(34, "the spool directory removed or replaced", "an error; nothing is made in its place",
        ("unit/fault_rows::a_directory_that_went_away_takes_nothing",)),
    Row(
        35, "a link, or somebody else's directory", "refused, nothing behind it touched",
        ("unit/spool::a_symbolic_link_is_refused_and_nothing_behind_it_touched",
         "unit/spool::a_directory_of_another_user_is_refused",
         "unit/segment::a_symbolic_link_is_not_followed"),
    ),
    Row(
        36, "no file descriptors left", "an error that heals; open segments hold none",
        ("unit/fault_rows::without_a_descriptor_nothing_is_lost",
         "unit/spool::two_thousand_open_segments_stay_within_the_write_buffer"),
    ),
    Row(37, "no inodes left", "hold, and on", (
        "integration/holds_disk::a_disk_that_takes_nothing_any_more_holds_and_goes_on",)),
    Row(38, "a disk that takes long", "the event loop goes on meanwhile",
        ("unit/fault_rows::a_disk_that_takes_long_does_not_hold_the_event_loop",)),
    Row(39, "the disk wiped between two runs", "read again, the same objects",
        ("integration/outages::a_spool_that_is_wiped_between_two_runs_costs_nothing",)),
)  # fmt: skip

S3 = (
    Row(
        40, "500, 503 and away for long", "pauses at the quota, stays a member, catches up",
        ("integration/outages::a_store_that_is_away_fills_the_spool_to_its_limit_and_no_further",
         "unit/uploader::no_wait_between_tries_is_longer_than_fifteen_seconds", _HOLDS),
    ),
    Row(
        41, "no connection, black hole", "left at the deadline, told apart",
        ("contract/object_store::a_server_that_hangs_is_left_at_the_deadline",
         "contract/store_errors::what_keeps_a_call_from_the_store_is_told_apart"),
    ),
    Row(42, "silence, a stall, endless white space", "left at the deadline, tried again",
        (_HOLDS,)),
    Row(
        43, "a lost reply to a part, Complete or Put", "exactly one object",
        (_LOST, "unit/uploader::a_lost_reply_to_a_conditional_write_is_recognised_as_our_own"),
    ),
    Row(44, "200 with an error, empty, or cut off", "no success",
        ("contract/object_store::no_odd_answer_to_complete_is_success",)),
    Row(45, "the upload vanished", "HEAD decides: done, or anew",
        ("unit/uploader::a_vanished_upload_is_done_again_unless_it_was_completed",)),
    Row(
        46, "412: our own object, or another's", "success, or the next name; never overwritten",
        ("unit/uploader::a_lost_reply_to_a_conditional_write_is_recognised_as_our_own",
         "unit/uploader::a_taken_key_is_left_alone_and_the_next_one_used",
         "unit/delivery::where_every_key_is_taken_it_holds_and_tries_again"),
    ),
    Row(47, "409", "a new upload with all its parts",
        ("unit/uploader::a_conflict_of_two_completes_is_a_new_upload_with_all_its_parts",)),
    Row(
        48, "keys expire, nobody gives new ones", "renewed under load; else hold",
        (("integration/store_modes::keys_that_end_are_renewed_under_load_and_waited_for_where_they_are_"
         "refused"),),
    ),
    Row(
        49, "one right refused, KMS refused", "named by `check`; hold, nothing dropped",
        (_HOLDS, "contract/store_probe::a_refused_right_is_named_with_the_stores_words",
         "unit/uploader::without_conditional_writes_a_refused_look_means_absent_and_is_said_once"),
    ),
    Row(
        50, "no such bucket", "hold; it is never made by the sink",
        ("integration/outages::a_bucket_that_is_made_later_is_waited_for", _HOLDS),
    ),
    Row(51, "the clock is wrong", "hold; goes on when it is right",
        (_HOLDS, "contract/store_session::keys_that_have_ended_when_they_come_point_to_the_clock")),
    Row(
        52, "a bit flipped on the wire", "refused by the checksum, sent again",
        ("contract/object_store::a_body_is_sent_as_it_is_and_under_the_checksum_that_was_handed_over",
         _LOST),
    ),
    Row(
        53, "too many, too small parts", "sizes follow from the body",
        ("unit/uploader::parts_are_of_exactly_the_size_but_the_last",
         "unit/uploader::the_part_size_grows_where_ten_thousand_would_not_do",
         "contract/object_store_options::a_part_grows_where_an_object_would_need_more_parts_than_s3_takes"),
    ),
    Row(
        54, "conditions are ignored", "the probe says no; as configured",
        ("contract/store_probe::a_store_that_ignores_either_condition_is_a_no_after_three_tries",
         ("integration/store_modes::conditional_writes_are_used_where_they_are_honoured_and_where_not_as_"
         "configured")),
    ),
    Row(55, "a store that shows old states",
        "", reason="No server at hand is eventually consistent, "
        "and the contract's promise needs one that is not: S3 is strongly consistent since 2020."),
    Row(56, "somebody deletes an object before its commit", "the audit names it",
        ("unit/audit::a_missing_object_of_a_cut_is_found_by_its_records_also_without_kafka",)),
    Row(
        57, "one prefix is throttled or refused", "others go on",
        ("integration/holds::a_key_that_is_refused_by_itself_holds_nothing_but_its_own_topic_partition",
         "unit/uploader::what_is_refused_again_and_again_gives_others_a_turn"),
    ),
    Row(58, "a certificate that is not trusted", "refused, hold",
        (("contract/store_errors::a_certificate_that_nobody_vouches_for_is_for_an_operator_until_it_is_"
         "named"),)),
    Row(
        59, "more than a page of unfinished uploads", "all pages; only ours, only old ones",
        ("contract/object_store::objects_and_uploads_are_listed_over_many_pages",
         "contract/store_sweep::old_uploads_under_our_keys_are_aborted_and_no_others",
         "contract/store_sweep::a_young_upload_may_be_another_members_work"),
    ),
)  # fmt: skip

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
         _SIMULATION),
    ),
    Row(
        64, "one rebalance after the other", "what is open and sealed goes on",
        ("unit/assignment::what_is_open_goes_on_after_a_rebalance_that_changes_nothing",
         "unit/assignment::what_is_sealed_goes_on_too_and_is_uploaded_once"),
    ),
    Row(65, "revocation takes too long", "thrown out of the group; nothing written since",
        (_SLEEPER, "unit/delivery::a_refused_commit_closes_the_gate_until_the_next_assignment")),
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
         "property/hostile_input::a_time_is_read_missing_or_an_error"),
    ),
    Row(
        87, "the clock jumps, the machine sleeps", "never back; the lease counts the sleep",
        ("unit/appender::a_wall_clock_that_is_set_back_does_not_move_a_topic_partition_back",
         "contract/consumer::the_lease_ends_when_the_clock_passes_it", _SIMULATION),
    ),
    Row(
        88, "daylight saving", "days of 23 and 25 hours; the zone is in the fingerprint",
        ("unit/rotation::the_schedule_counts_elapsed_time_on_days_of_23_and_25_hours",
         "unit/layout::buckets_round_down_on_the_local_wall_clock"),
    ),
    Row(
        89, "YAML bombs, tags, duplicates, a huge file", "refused with their line",
        (_BAD_FILE, "unit/config::a_file_that_is_not_there_or_too_large_is_refused",
         "property/hostile_input::any_bytes_are_a_configuration_or_refused"),
    ),
    Row(90, "an unknown key, a contradiction", "refused, all at once", (_BAD_FILE,)),
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

SECTIONS = {
    "Process": PROCESS,
    "Disk and ledger": DISK,
    "S3": S3,
    "Kafka": KAFKA,
    "Data, time, configuration, security": DATA,
}
ROWS = [row for rows in SECTIONS.values() for row in rows]


def as_markdown() -> str:
    """The page; a test that several rows name is written out at each."""
    lines = [
        "# Faults and their tests",
        "",
        (
            "Written by `python -m tests.fault_matrix`. Each fault has a test that causes it, or a "
            "reason why none does."
        ),
        (
            "What the outcome is follows the promises in `docs/`; `tests/simulation`, "
            "`tests/exhaustive`, `tests/chaos`"
        ),
        "and `python -m tests.crash.kill_matrix` mix these faults.",
    ]
    for title, rows in SECTIONS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| # | fault | outcome | tests |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    tests = "<br>".join(f"`{name}`" for name in row.node_ids()) or f"none: {row.reason}"
    return f"| {row.number} | {row.fault} | {row.outcome or '-'} | {tests} |"


if __name__ == "__main__":
    PAGE.write_text(as_markdown())
