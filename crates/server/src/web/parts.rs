//! What the components show: tones, badges, statuses, choices, chips, tabs, lists in pages.

use crate::web::time::thousands;

/// What a colour means. A tone never stands alone: words or a sign say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Neutral,
    /// All is well.
    Good,
    /// Look at it soon.
    Warn,
    /// Wrong, or about to end something.
    Bad,
    /// Worth knowing.
    Info,
}

impl Tone {
    /// The word in class names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
        }
    }

    /// The icon that says the same.
    #[must_use]
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Neutral | Self::Info => "info",
            Self::Good => "check",
            Self::Warn => "alert",
            Self::Bad => "stop",
        }
    }
}

/// A few words in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The words.
    pub label: String,
    /// What they mean.
    pub tone: Tone,
    /// More words for whoever points at it; empty for none.
    pub title: String,
}

impl Badge {
    /// A badge of this tone.
    #[must_use]
    pub fn new(tone: Tone, label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            tone,
            title: String::new(),
        }
    }

    /// A status of HTTP.
    #[must_use]
    pub fn http(status: u16) -> Self {
        let tone = match status {
            500.. => Tone::Bad,
            400.. => Tone::Warn,
            200..300 => Tone::Good,
            _ => Tone::Neutral,
        };
        Self::new(tone, status.to_string())
    }

    /// With more words for whoever points at it.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }
}

/// What a key is now, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// It works.
    Active,
    /// It works, and so does the secret that it had before.
    Rotating,
    /// It works, and ends soon.
    Expiring,
    /// Its time has not come.
    NotYetValid,
    /// It was stopped, and can be resumed.
    Suspended,
    /// The org's policy refuses it.
    Blocked,
    /// Its time is over.
    Expired,
    /// It was ended for good.
    Revoked,
}

impl KeyStatus {
    /// Every status, in the order of filters.
    pub const ALL: [Self; 8] = [
        Self::Active,
        Self::Rotating,
        Self::Expiring,
        Self::NotYetValid,
        Self::Suspended,
        Self::Blocked,
        Self::Expired,
        Self::Revoked,
    ];

    /// The word in class names and addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Expiring => "expiring",
            Self::NotYetValid => "not_yet_valid",
            Self::Suspended => "suspended",
            Self::Blocked => "blocked",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The word that people read.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Rotating => "Rotating",
            Self::Expiring => "Expiring",
            Self::NotYetValid => "Not yet valid",
            Self::Suspended => "Suspended",
            Self::Blocked => "Blocked",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
        }
    }

    /// The tone.
    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Good,
            Self::Rotating | Self::NotYetValid => Tone::Info,
            Self::Expiring | Self::Suspended => Tone::Warn,
            Self::Blocked | Self::Revoked => Tone::Bad,
            Self::Expired => Tone::Neutral,
        }
    }

    /// Whether it will never work again.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

/// One of several values of a field: an option of a select, a radio card, a checkbox of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// What people read.
    pub label: String,
    /// A sentence below it; empty for none.
    pub help: String,
    /// It is chosen.
    pub is_chosen: bool,
    /// It cannot be chosen.
    pub is_disabled: bool,
}

impl Choice {
    /// A choice; `chosen` is the value that the form has now.
    #[must_use]
    pub fn new(value: impl Into<String>, label: impl Into<String>, chosen: &str) -> Self {
        let value = value.into();
        Self {
            is_chosen: value == chosen,
            value,
            label: label.into(),
            ..Self::default()
        }
    }

    /// With a sentence below it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// A filter that is a link: it leads to the same list with or without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chip {
    /// What it lets through.
    pub label: String,
    /// Where it leads.
    pub href: String,
    /// How many there are, if it is known.
    pub count: Option<u64>,
    /// It is in force.
    pub is_active: bool,
}

impl Chip {
    /// The number as people write it.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        self.count.map(thousands)
    }
}

/// One of several views of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// Its name.
    pub label: String,
    /// Where it leads.
    pub href: String,
    /// A number beside it.
    pub count: Option<u64>,
    /// It is the one that is shown.
    pub is_current: bool,
}

impl Tab {
    /// The number as people write it.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        self.count.map(thousands)
    }
}

/// A page above this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crumb {
    /// Its name.
    pub label: String,
    /// Where it is; empty for what has no page of its own.
    pub href: String,
}

impl Crumb {
    /// A page above this one; an empty `href` is no link.
    #[must_use]
    pub fn new(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
        }
    }
}

/// Where a list stands: lists go forward by cursor, and back to the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pager {
    /// How many rows this page shows.
    pub shown: u64,
    /// How many there are in all, if it is known.
    pub total: Option<u64>,
    /// The beginning of the list, unless this is it.
    pub first: Option<String>,
    /// The next page.
    pub next: Option<String>,
}

impl Pager {
    /// What is shown, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let shown = thousands(self.shown);
        match self.total {
            Some(total) if total == self.shown => format!("{shown} in all"),
            Some(total) => format!("{shown} of {}", thousands(total)),
            None => format!("{shown} shown"),
        }
    }

    /// Whether this page holds the whole list.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.first.is_none() && self.next.is_none()
    }
}

/// What has just happened, said once at the top of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    /// What it means.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

impl Flash {
    /// It worked.
    #[must_use]
    pub fn done(text: impl Into<String>) -> Self {
        Self {
            tone: Tone::Good,
            text: text.into(),
        }
    }

    /// It did not.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self {
            tone: Tone::Bad,
            text: text.into(),
        }
    }
}

/// Names by their ids as an attribute holds them, for `live.js`. An id that is its own name is left
/// out.
#[must_use]
pub fn names_json<I: std::fmt::Display, N: std::fmt::Display>(
    names: impl Iterator<Item = (I, N)>,
) -> String {
    let names = names.map(|(id, name)| (id.to_string(), name.to_string()));
    let named = names.filter(|(id, name)| !id.ends_with(&format!(":{name}")));
    let named = named.map(|(id, name)| (id, serde_json::Value::String(name)));
    serde_json::Value::Object(named.collect()).to_string()
}
