//! The story of a newcomer, told with the real binary and its command line, on both databases.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a story that cannot be told has failed, and the panic says where"
)]

#[path = "support/story/admin.rs"]
mod admin;
#[path = "support/story/advice.rs"]
mod advice;
#[path = "support/story/anchors.rs"]
mod anchors;
#[path = "support/bed.rs"]
mod bed;
#[path = "support/captured.rs"]
mod captured;
#[path = "support/cli.rs"]
mod cli;
#[path = "support/story/history.rs"]
mod history;
#[path = "support/story/leak.rs"]
mod leak;
#[path = "support/story/ledger.rs"]
mod ledger;
#[path = "support/story/live.rs"]
mod live;
#[path = "support/story/newcomer.rs"]
mod newcomer;
#[path = "support/story/pages.rs"]
mod pages;
#[path = "support/story/policy.rs"]
mod policy;
#[path = "support/story/process.rs"]
mod process;
#[path = "support/story/reader.rs"]
mod reader;
#[path = "support/story/rekey.rs"]
mod rekey;
#[path = "support/story/requests.rs"]
mod requests;
#[path = "support/run.rs"]
mod run;
#[path = "support/story/scan.rs"]
mod scan;
#[path = "support/server.rs"]
mod server;
#[path = "support/story/siem.rs"]
mod siem;
#[path = "support/story/tools.rs"]
mod tools;
#[path = "support/story/trail.rs"]
mod trail;

use bed::Bed;
use claviger_testkit::Postgres;

/// Tells each story on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($file:ident::$story:ident as $name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$file::$story(&super::Bed::sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                super::$file::$story(&super::Bed::postgres(super::Postgres::shared()));
            })*
        }
    };
}

on_both_databases! {
    newcomer::walk as newcomer_mints_a_key_and_uses_every_workspace_route,
    newcomer::rotation as key_is_rotated_by_hand_and_the_old_one_is_refused_at_once,
    newcomer::descendants as key_takes_its_descendants_with_it,
    requests::walk as agent_asks_for_a_key_and_collects_what_an_admin_approved,
    leak::checked_and_revoked as leaked_keys_are_checked_and_revoked_from_a_scan,
    policy::walk as policy_is_set_after_it_was_shown_what_it_blocks,
    policy::many as many_keys_are_stopped_after_a_look_at_what_would_stop,
    process::second_process as second_process_is_refused,
    process::restart as sigterm_flushes_and_a_restart_keeps_everything,
    admin::short_token as short_admin_token_is_refused_at_start,
    admin::hangup as hangup_reads_the_admin_token_again,
    admin::people_of_any_id as people_of_any_id_are_reached,
    advice::page as page_on_least_privilege_works_as_it_stands,
    advice::narrow as narrowing_asks_first_and_leaves_what_is_used,
    trail::followed as trail_is_followed_as_it_grows,
    trail::radius as blast_radius_of_a_leaked_key_is_told,
    trail::exported as exports_are_gone_on_with_in_every_format,
    trail::exported_by_org as export_of_one_org_is_not_gone_on_with_for_another,
    ledger::folder as folder_of_the_log_is_written_and_continued,
    live::verify as running_server_is_verified_and_what_was_done_to_its_database_is_named,
    ledger::rotation as rotation_of_the_ledger_key_is_followed_by_a_folder,
    anchors::proved as witness_and_file_prove_a_trail_and_show_that_a_database_is_another,
    siem::killed as records_reach_a_receiver_from_a_server_that_is_killed,
    rekey::offline as rekey_is_offline_and_keeps_values_readable,
    rekey::interrupted as interrupted_rekey_recovers_at_the_next_start,
    rekey::other_master_key as other_master_key_is_refused_at_start,
}
