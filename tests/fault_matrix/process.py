"""What ends or stops a process."""

from tests.fault_matrix.row import KILLS, PARTS, PROMISED, SLEEPER, Row

PROCESS = (
    Row(1, "killed between a fetch and its append", "read again from the offset", (KILLS,)),
    Row(2, "killed while a segment is written", "the open file is deleted, read again", (KILLS,)),
    Row(3, "killed when a segment is whole and not renamed", "deleted, read again", (KILLS,)),
    Row(
        4, "killed behind the rename; the file there or not, the ledger without it",
        "a cut that the ledger does not know is read again; found only where the ledger is lost",
        (KILLS, "unit/ledger::cuts_never_remembered_are_found_only_when_the_ledger_was_lost"),
    ),
    Row(
        5, "killed when the ledger knows the cut, before its intent",
        "nothing was uploaded; dropped and read again",
        (KILLS, "unit/assignment::a_sealed_cut_on_disk_that_was_not_promised_is_deleted"),
    ),
    Row(
        6, "killed when the intent was sent, its reply lost", "the broker's state decides",
        (PROMISED, "unit/delivery::a_commit_without_an_answer_is_read_back_before_anything_else"),
    ),
    Row(7, "killed between intent and upload", "exactly the promised range again", (PROMISED,
        KILLS)),
    Row(
        8, "killed in a multipart upload: created, some parts, all parts",
        "uploaded anew from its first part; the old upload is aborted", (PARTS,),
    ),
    Row(
        9, "killed between an object's completion and the commit",
        "the object is recognised, not written again", (PROMISED,),
    ),
    Row(10, "killed when some objects of the cut are there", "only the others are written",
        (PROMISED,
         "integration/kills::a_repeat_ends_above_the_floor_whatever_it_is_configured_to")),
    Row(11, "killed between the commit and the deletion", "left files are deleted at the start",
        (PROMISED, KILLS)),
    Row(
        12, "suspended beyond the session in mid-upload, then woken",
        "no write with an old lease, no commit, nothing twice",
        (SLEEPER, "contract/consumer::the_lease_ends_when_the_clock_passes_it",
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
        (PROMISED,
         ("integration/large_object::one_s3_partition_is_uploaded_in_parts_with_memory_that_does_not_"
         "grow_with_it")),
    ),
    Row(
        17, "the event loop stands still", "a stale lease writes nothing; the stack is logged",
        (SLEEPER,
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
