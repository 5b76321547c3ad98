"""The spool's disk, and its ledger."""

from tests.fault_matrix.row import Row

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
