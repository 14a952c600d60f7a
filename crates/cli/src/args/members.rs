//! `claviger members`.

use clap::Subcommand;
use claviger_core::person::PersonId;

/// `claviger members`.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the people who have signed in
    List,
    /// Show a person
    Show {
        /// Its id
        id: PersonId,
    },
    /// Suspend a person: its sessions end, and the keys that go back to it are refused until it is restored
    Suspend {
        /// Its id
        id: PersonId,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Restore a person who was suspended or removed
    Restore {
        /// Its id
        id: PersonId,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Remove a person: the keys that go back to it are revoked, or handed over
    Remove {
        /// Its id
        id: PersonId,
        /// Hand its keys over to this person, who answers for them from then on
        #[arg(long, value_name = "PERSON")]
        hand_over_to: Option<PersonId>,
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
        id: PersonId,
    },
    /// End every session of a person
    SignOut {
        /// Its id
        id: PersonId,
    },
}
