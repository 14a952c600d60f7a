//! What the security page can show: the cards are its filters.

use super::review::Mark;

/// The path of the page.
pub(super) const PATH: &str = "/canvas/security";

/// What the page shows below its cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// Every key against which something speaks.
    All,
    /// Those with this mark.
    Marked(Mark),
    AdminToken,
    WorkspaceTokens,
}

impl Show {
    pub(super) const ALL: [Self; 8] = [
        Self::All,
        Self::Marked(Mark::NoExpiry),
        Self::Marked(Mark::NeverUsed),
        Self::Marked(Mark::Idle),
        Self::Marked(Mark::OverBroad),
        Self::Marked(Mark::MakerLeft),
        Self::AdminToken,
        Self::WorkspaceTokens,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Marked(Mark::NoExpiry) => "no_expiry",
            Self::Marked(Mark::NeverUsed) => "never_used",
            Self::Marked(Mark::Idle) => "idle",
            Self::Marked(Mark::OverBroad) => "over_broad",
            Self::Marked(Mark::MakerLeft) => "maker_left",
            Self::AdminToken => "admin_token",
            Self::WorkspaceTokens => "workspace_tokens",
        }
    }

    pub(super) fn href(self) -> String {
        match self.word() {
            "" => PATH.to_owned(),
            word => format!("{PATH}?show={word}"),
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::All => "Keys to look at",
            Self::Marked(Mark::NoExpiry) => "No expiry",
            Self::Marked(Mark::NeverUsed) => "Never used",
            Self::Marked(Mark::Idle) => "Idle 90 days",
            Self::Marked(Mark::OverBroad) => "Over-broad",
            Self::Marked(Mark::MakerLeft) => "Maker left",
            Self::AdminToken => "ADMIN_TOKEN",
            Self::WorkspaceTokens => "Workspace tokens",
        }
    }

    pub(super) const fn lead(self) -> &'static str {
        match self {
            Self::All => "Keys against which something speaks, the newest first.",
            Self::Marked(Mark::NoExpiry) => {
                "They do not end by themselves. Give each an end, and mint its successor before that."
            }
            Self::Marked(Mark::NeverUsed) => {
                "Minted a week ago or more, and never used. Revoke them, unless somebody is about to use them."
            }
            Self::Marked(Mark::Idle) => {
                "Not used for 90 days. Revoke them, or suspend them and see who asks."
            }
            Self::Marked(Mark::OverBroad) => {
                "They hold much that they do not use. Narrow each to what it uses."
            }
            Self::Marked(Mark::MakerLeft) => {
                "Made by people who were removed or suspended since, or have not signed in for 90 days. Whoever minted a key saw its secret: rotate it, or revoke it."
            }
            Self::AdminToken => {
                "ADMIN_TOKEN is for emergencies: it may do everything, and stands for nobody in particular. These are its requests of the last 30 days."
            }
            Self::WorkspaceTokens => {
                "The deprecated tokens of workspaces. Replace each by an org key before they end."
            }
        }
    }
}
