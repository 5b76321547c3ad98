"""S3, and the way to it."""

from tests.fault_matrix.row import HOLDS, LOST, Row

S3 = (
    Row(
        40, "500, 503 and away for long", "pauses at the quota, stays a member, catches up",
        ("integration/outages::a_store_that_is_away_fills_the_spool_to_its_limit_and_no_further",
         "unit/uploader::no_wait_between_tries_is_longer_than_fifteen_seconds", HOLDS),
    ),
    Row(
        41, "no connection, black hole", "left at the deadline, told apart",
        ("contract/object_store::a_server_that_hangs_is_left_at_the_deadline",
         "contract/store_errors::what_keeps_a_call_from_the_store_is_told_apart"),
    ),
    Row(42, "silence, a stall, endless white space", "left at the deadline, tried again",
        (HOLDS,)),
    Row(
        43, "a lost reply to a part, Complete or Put", "exactly one object",
        (LOST, "unit/uploader::a_lost_reply_to_a_conditional_write_is_recognised_as_our_own"),
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
        (HOLDS, "contract/store_probe::a_refused_right_is_named_with_the_stores_words",
         "unit/uploader::without_conditional_writes_a_refused_look_means_absent_and_is_said_once"),
    ),
    Row(
        50, "no such bucket", "hold; it is never made by the sink",
        ("integration/outages::a_bucket_that_is_made_later_is_waited_for", HOLDS),
    ),
    Row(51, "the clock is wrong", "hold; goes on when it is right",
        (HOLDS, "contract/store_session::keys_that_have_ended_when_they_come_point_to_the_clock")),
    Row(
        52, "a bit flipped on the wire", "refused by the checksum, sent again",
        ("contract/object_store::a_body_is_sent_as_it_is_and_under_the_checksum_that_was_handed_over",
         LOST),
    ),
    Row(
        53, "too many, too small parts", "sizes follow from the body",
        ("unit/body_parts::parts_are_of_exactly_the_size_but_the_last",
         "unit/body_parts::the_part_size_grows_where_ten_thousand_would_not_do",
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
