//! What every backend must do: each behaviour is written once, and is a test of both databases.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong"
)]

#[path = "conformance/anchors.rs"]
mod anchors;
#[path = "conformance/audit.rs"]
mod audit;
#[path = "conformance/audit_index.rs"]
mod audit_index;
#[path = "conformance/bed.rs"]
mod bed;
#[path = "conformance/channels.rs"]
mod channels;
#[path = "conformance/checkpoints.rs"]
mod checkpoints;
#[path = "conformance/clock.rs"]
mod clock;
#[path = "conformance/deployment.rs"]
mod deployment;
#[path = "conformance/endings.rs"]
mod endings;
#[path = "conformance/faults.rs"]
mod faults;
#[path = "conformance/key_changes.rs"]
mod key_changes;
#[path = "conformance/key_lists.rs"]
mod key_lists;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/lines.rs"]
mod lines;
#[path = "conformance/orgs.rs"]
mod orgs;
#[path = "conformance/outsiders.rs"]
mod outsiders;
#[path = "conformance/people.rs"]
mod people;
#[path = "conformance/races.rs"]
mod races;
#[path = "conformance/races_of_endings.rs"]
mod races_of_endings;
#[path = "conformance/races_of_requests.rs"]
mod races_of_requests;
#[path = "conformance/reach.rs"]
mod reach;
#[path = "conformance/request_limits.rs"]
mod request_limits;
#[path = "conformance/requests.rs"]
mod requests;
#[path = "conformance/retention.rs"]
mod retention;
#[path = "conformance/rotations.rs"]
mod rotations;
#[path = "conformance/secrets.rs"]
mod secrets;
#[path = "conformance/sessions.rs"]
mod sessions;
#[path = "conformance/shelf.rs"]
mod shelf;
#[path = "conformance/signals.rs"]
mod signals;
#[path = "conformance/sinks.rs"]
mod sinks;
#[path = "conformance/support.rs"]
mod support;
#[path = "conformance/target.rs"]
mod target;
#[path = "conformance/tree.rs"]
mod tree;
#[path = "conformance/usage.rs"]
mod usage;
#[path = "conformance/witness.rs"]
mod witness;
#[path = "conformance/workspace_tokens.rs"]
mod workspace_tokens;
#[path = "conformance/workspaces.rs"]
mod workspaces;

/// Makes two tests of each behaviour, so that none can be run on one backend alone.
macro_rules! conformance {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// What was made into tests, as `module::name`.
        const LISTED: &[&str] = &[$(concat!(stringify!($module), "::", stringify!($name))),*];

        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::bed::Bed::sqlite()).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::bed::Bed::postgres()).await;
                }
            )*
        }
    };
}

conformance! {
    retention::old_bodies_go_and_their_hashes_stay,
    retention::what_is_not_signed_or_in_no_tile_stays,
    retention::queries_find_what_is_left_however_much_was_indexed,
    retention::nothing_derived_of_dropped_bodies_is_left,
    retention::failed_drop_changes_nothing,
    retention::long_trail_is_dropped_in_lots,
    retention::old_addresses_of_an_org_are_forgotten,
    signals::habits_of_a_key_are_kept_and_replaced,
    sinks::new_receiver_begins_at_the_end_and_a_known_one_goes_on,
    sinks::what_was_sent_never_moves_back_and_is_kept_for_each_receiver,
    sinks::trails_behind_are_listed_in_parts_and_with_those_of_deleted_orgs,
    clock::policy_is_kept_for_each_org,
    clock::notice_is_kept_once_for_each_instant,
    clock::what_is_due_is_listed,
    clock::rotated_key_is_due_a_span_later,
    clock::idle_key_stops_unless_it_was_used_meanwhile,
    clock::use_is_kept_with_the_secret_that_it_was_of,
    clock::clock_of_an_overlap_starts_once,
    lines::line_shows_what_is_above_and_below,
    lines::each_death_of_a_cascade_is_recorded,
    lines::children_live_on_under_the_key_above,
    lines::children_of_a_key_of_the_org_become_the_orgs,
    lines::child_that_would_get_wider_stays_where_it_is,
    lines::mint_below_a_key_that_moved_is_refused,
    lines::mint_beyond_a_limit_is_refused,
    lines::of_racing_mints_no_more_win_than_the_limit,
    lines::selection_finds_what_fits_all_of_it,
    lines::many_keys_stop_and_go_on_at_once,
    deployment::fresh_store_has_the_default_org_and_an_open_bootstrap,
    deployment::reopened_store_is_as_it_was,
    deployment::second_open_is_refused_until_the_first_is_closed,
    deployment::of_racing_first_opens_one_wins,
    deployment::closed_store_answers_unavailable,
    deployment::lost_deployment_row_leaves_the_bootstrap_closed,
    deployment::lost_deployment_row_of_an_unused_store_closes_the_bootstrap,
    deployment::master_key_check_is_kept_once,
    deployment::of_racing_master_key_checks_one_is_kept,
    deployment::rekey_reseals_every_row,
    deployment::rekey_takes_away_what_providers_gave,
    deployment::rekey_of_nothing_keeps_the_new_check,
    deployment::refusing_resealer_changes_nothing,
    deployment::bootstrap_stays_closed,
    deployment::any_mint_closes_the_bootstrap,
    deployment::failed_first_mint_leaves_the_bootstrap_open,
    orgs::inserted_org_is_found_by_name_and_by_id,
    orgs::org_can_begin_its_own_trail,
    orgs::orgs_are_listed_oldest_first,
    orgs::org_name_is_unique_among_the_living,
    orgs::deleted_org_takes_all_but_its_trail_with_it,
    orgs::deleted_org_keeps_taking_records,
    orgs::deleting_an_unknown_org_is_not_found,
    orgs::nothing_can_be_changed_in_a_deleted_org,
    keys::minted_key_is_found_and_listed_as_it_was_made,
    keys::key_of_another_org_is_not_found,
    keys::minting_for_an_unknown_org_is_not_found,
    keys::prefix_is_unique_in_the_deployment,
    keys::repeated_mint_is_recognised_for_a_day,
    keys::repeated_mint_is_recognised_though_its_key_is_revoked,
    keys::idempotency_keys_of_actors_and_orgs_are_apart,
    keys::failed_mint_does_not_use_up_its_idempotency_key,
    key_changes::change_sets_name_and_metadata_and_no_more,
    key_changes::narrowed_key_has_the_new_grant_and_the_earlier_end,
    key_changes::suspended_key_keeps_its_first_instant_until_it_is_resumed,
    rotations::rotated_key_keeps_everything_but_its_secret,
    rotations::secrets_are_told_by_the_names_of_their_keys,
    rotations::one_rotation_at_a_time,
    rotations::finished_rotation_ends_the_old_secret_and_cancelled_one_the_new,
    rotations::secret_of_another_key_is_taken_also_when_it_was_replaced,
    rotations::replaced_secret_neither_rotates_its_key_nor_cancels,
    rotations::key_is_found_by_the_prefix_of_a_replaced_secret,
    rotations::revoked_foreign_and_unknown_keys_are_not_rotated,
    key_changes::revoked_key_cannot_be_changed,
    keys::last_use_never_moves_back,
    keys::every_key_is_loaded_but_those_long_dead,
    keys::thousands_of_keys_are_loaded_once_each,
    key_lists::status_filter_judges_at_its_instant,
    key_lists::text_filter_finds_parts_of_names_and_prefixes,
    key_lists::creator_filter_wants_the_whole_label,
    key_lists::workspace_filter_finds_grants_that_name_it_or_reach_all,
    key_lists::filters_hold_together,
    key_lists::pages_walk_all_keys_once_newest_first,
    endings::revocation_takes_every_generation_and_no_sibling,
    endings::revocation_gives_the_digests_of_all_that_died,
    endings::repeated_revocation_answers_with_the_first,
    endings::key_may_revoke_itself,
    endings::revoking_an_unknown_key_is_not_found,
    endings::ended_key_changes_and_reveals_nothing,
    endings::ended_parent_has_no_child_whoever_acts,
    endings::change_that_cannot_be_recorded_does_not_happen,
    workspaces::inserted_workspace_is_found_and_listed,
    workspaces::workspaces_are_listed_newest_first_in_pages,
    workspaces::workspace_of_another_org_is_not_found,
    workspaces::workspace_change_sets_what_it_names,
    workspaces::deleted_workspace_takes_its_content_with_it,
    workspace_tokens::inserted_token_is_listed_and_loaded,
    workspace_tokens::tokens_are_listed_newest_first_in_pages,
    workspace_tokens::token_needs_a_workspace_of_its_org,
    workspace_tokens::token_prefix_is_unique,
    workspace_tokens::revoked_token_is_given_with_its_digest_and_gone,
    workspace_tokens::token_of_another_place_is_not_revoked,
    workspace_tokens::last_use_of_a_token_never_moves_back,
    channels::inserted_channel_of_every_kind_is_found_and_listed,
    channels::channels_are_listed_newest_first_in_pages,
    channels::channel_change_sets_what_it_names,
    channels::channel_of_another_place_is_not_found,
    channels::deleted_channel_is_gone,
    secrets::each_put_makes_the_next_version_and_seals_for_it,
    secrets::secrets_outlive_a_restart,
    secrets::names_are_in_the_order_of_their_bytes,
    secrets::secrets_of_another_place_are_not_found,
    secrets::deleted_secret_is_gone_and_may_come_again,
    secrets::empty_and_large_seals_come_back_as_they_were,
    secrets::reveal_needs_a_living_actor,
    secrets::workspace_holds_so_many_secrets_and_no_more,
    audit::records_are_kept_in_order_byte_for_byte,
    audit::part_looks_at_a_bounded_stretch_and_says_where_to_go_on,
    audit::trails_of_orgs_are_apart,
    audit::appending_nothing_writes_nothing,
    audit::batch_is_all_or_nothing,
    audit::unknown_org_has_no_records,
    audit::each_filter_finds_what_it_says,
    audit::filter_that_fits_nothing_finds_nothing,
    audit::cursor_is_stable_while_records_arrive,
    audit::export_resumes_where_it_ended,
    audit_index::queries_find_the_same_however_much_is_indexed,
    audit_index::few_records_of_a_long_trail_are_found_in_one_call,
    audit_index::seldom_things_are_found_past_whole_chapters,
    audit_index::names_are_found_by_any_part_of_them,
    audit_index::indexing_goes_on_where_it_was,
    tree::tree_is_that_of_the_records_whoever_writes_them,
    tree::what_fails_leaves_the_tree_as_it_was,
    tree::tiles_are_those_of_the_records_however_many_are_made,
    tree::edge_of_a_trail_that_grew_faster_than_its_tiles_is_there,
    tree::what_a_tree_does_not_have_is_not_found,
    tree::trail_from_before_gets_its_tree_when_it_is_opened,
    tree::trail_with_a_missing_record_has_no_tiles_and_others_have,
    checkpoints::checkpoints_are_kept_in_order,
    checkpoints::checkpoint_never_goes_back,
    checkpoints::of_racing_checkpoints_the_last_has_the_most_records,
    anchors::places_are_kept_with_what_they_know,
    anchors::signatures_of_witnesses_are_kept_with_their_checkpoint,
    anchors::trails_of_living_orgs_are_listed,
    anchors::tree_that_is_made_anew_goes_on_from_there,
    reach::what_lies_in_workspaces_is_counted_and_named,
    shelf::keys_are_found_by_id_and_by_tag,
    shelf::calls_of_keys_are_told_day_by_day,
    usage::counts_are_added_up_by_hour_route_and_workspace,
    usage::days_are_those_of_utc_and_count_each_thing_once,
    usage::span_begins_with_its_first_hour_and_ends_before_its_last_instant,
    usage::counts_of_keys_of_another_org_are_not_read,
    usage::calls_and_routes_are_those_of_each_key,
    usage::addresses_keep_their_first_and_last_time,
    usage::address_seen_longest_ago_gives_way,
    usage::descendants_are_the_living_of_every_generation,
    usage::purge_forgets_what_is_old_a_bounded_part_at_a_time,
    usage::nothing_counted_is_nothing_answered,
    races::of_racing_first_mints_one_wins,
    races::of_racing_repetitions_of_a_mint_one_wins,
    races::of_racing_mints_with_one_prefix_one_wins,
    races::of_racing_orgs_of_one_name_one_wins,
    races::of_racing_revocations_one_is_the_first,
    races::of_two_keys_that_revoke_each_other_one_lives,
    races::racing_puts_take_one_version_each,
    races::racing_changes_and_records_leave_gapless_trails,
    races::reader_of_a_trail_never_sees_a_gap_that_is_filled_later,
    races::rekey_during_puts_leaves_no_old_seal,
    races_of_endings::minting_key_that_is_revoked_leaves_no_survivor,
    races_of_endings::minting_descendants_of_a_revoked_key_leave_no_survivor,
    races_of_endings::revocations_of_two_generations_at_once_agree,
    races_of_endings::actor_that_is_revoked_changes_nothing_afterwards,
    races_of_endings::org_that_is_deleted_leaves_no_living_key,
    races_of_endings::workspace_that_is_deleted_leaves_nothing_behind,
    requests::request_is_found_and_listed_as_it_was_made,
    requests::requests_are_listed_newest_first_in_pages,
    requests::request_filters_judge_at_their_instant_and_know_the_asker,
    requests::request_of_another_org_is_not_found,
    requests::approved_request_is_collected_once,
    requests::closed_and_expired_requests_take_no_step,
    requests::approval_is_void_while_its_approver_does_not_hold_it,
    requests::ended_key_neither_asks_nor_decides_nor_collects,
    requests::taken_prefix_leaves_the_request_to_be_collected,
    requests::first_mint_by_collection_closes_the_bootstrap,
    request_limits::asker_has_so_many_pending_requests_and_no_more,
    request_limits::org_has_so_many_pending_requests_and_no_more,
    request_limits::oldest_closed_requests_make_room_in_a_full_org,
    request_limits::old_requests_are_purged_by_new_ones,
    requests::deleted_org_has_no_requests,
    requests::step_that_cannot_be_recorded_does_not_happen,
    races_of_requests::of_racing_collections_one_gets_the_key,
    races_of_requests::of_racing_decisions_one_stands,
    races_of_requests::collection_while_the_approver_is_revoked_leaves_no_living_key,
    races_of_requests::racing_asks_stay_within_the_limit,
    people::person_is_kept_as_described_last,
    people::id_of_another_issuer_is_somebody_else,
    people::people_are_listed_by_id_in_pages_with_what_they_hold,
    people::suspended_person_neither_signs_in_nor_mints,
    people::removed_person_is_not_suspended,
    people::removed_person_takes_its_line_along,
    people::heir_gets_what_goes_back_to_a_person,
    people::nothing_is_handed_over_that_may_not_be,
    people::nothing_is_minted_past_a_removal,
    sessions::session_is_loaded_as_it_began,
    sessions::sessions_end_one_by_one_or_all,
    sessions::ended_session_changes_nothing,
    sessions::uses_are_kept_and_old_sessions_purged,
    sessions::person_has_so_many_sessions_and_no_more,
    sessions::sessions_of_a_key_are_counted_and_ended_by_themselves,
    sessions::what_a_provider_gave_is_spent_once,
    sessions::provider_is_asked_by_one_at_a_time,
    sessions::sign_in_is_taken_once,
    sessions::links_of_one_maker_stop_nobody,
}

/// The names of the behaviours that a source file has: the functions that take a bed and no more.
fn behaviours(source: &str) -> Vec<String> {
    let after = source.split("async fn ").skip(1);
    after
        .filter_map(|rest| {
            let (name, arguments) = rest.split_once('(')?;
            let (arguments, _) = arguments.split_once(')')?;
            let arguments: String = arguments.split_whitespace().collect();
            (arguments.trim_end_matches(',') == "bed:&Bed").then(|| name.to_owned())
        })
        .collect()
}

#[test]
fn every_behaviour_is_listed() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).expect("the directory of this suite") {
        let path = file.expect("an entry of the directory").path();
        let module = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a module");
        let source = std::fs::read_to_string(&path).expect("a source file");
        found.extend(
            behaviours(&source)
                .iter()
                .map(|name| format!("{module}::{name}")),
        );
    }
    found.sort();
    let mut listed: Vec<_> = LISTED.iter().map(ToString::to_string).collect();
    listed.sort();
    assert!(!found.is_empty());
    assert_eq!(found, listed, "found in the sources, and listed");
}
