//! `claviger members`.

use clap::Subcommand;

use super::pair::segment;

/// `claviger members`.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the people who have signed in
    List,
    /// Show a person
    Show {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Suspend a person: its sessions end, and the keys that go back to it are refused until it is restored
    Suspend {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Restore a person who was suspended or removed
    Restore {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Remove a person: the keys that go back to it are revoked, or handed over
    Remove {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// Hand its keys over to this person, who answers for them from then on
        #[arg(long, value_name = "PERSON")]
        hand_over_to: Option<String>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List the sessions of a person
    Sessions {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// End every session of a person
    SignOut {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
}
