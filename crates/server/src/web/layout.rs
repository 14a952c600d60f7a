//! What surrounds every page: the person, the navigation, the theme.

use claviger_core::time::Timestamp;
use http::{HeaderMap, header};

use crate::web::{
    parts::{Crumb, Flash},
    time::When,
};

/// The cookie that keeps the choice of light or dark. It holds nothing else and is readable by scripts.
pub const THEME_COOKIE: &str = "claviger_theme";

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nav {
    /// Settings → Org API Keys.
    Keys,
    /// What waits for approval.
    Requests,
    /// What should be looked at.
    Security,
    /// The limits on what may be minted.
    Policy,
    /// The trail.
    Audit,
    /// Workspaces.
    Workspaces,
    /// People.
    Members,
    /// The person's own sessions.
    Account,
}

impl Nav {
    /// Every place, in the order of the navigation.
    pub const ALL: [Self; 8] = [
        Self::Keys,
        Self::Requests,
        Self::Security,
        Self::Policy,
        Self::Audit,
        Self::Workspaces,
        Self::Members,
        Self::Account,
    ];

    /// The word that people read.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Keys => "Org API Keys",
            Self::Requests => "Requests",
            Self::Security => "Security",
            Self::Policy => "Policy",
            Self::Audit => "Audit",
            Self::Workspaces => "Workspaces",
            Self::Members => "Members",
            Self::Account => "Account",
        }
    }

    /// Its path.
    #[must_use]
    pub const fn href(self) -> &'static str {
        match self {
            Self::Keys => "/canvas/keys",
            Self::Requests => "/canvas/requests",
            Self::Security => "/canvas/security",
            Self::Policy => "/canvas/policy",
            Self::Audit => "/canvas/audit",
            Self::Workspaces => "/canvas/workspaces",
            Self::Members => "/canvas/members",
            Self::Account => "/canvas/account",
        }
    }

    /// Its icon.
    #[must_use]
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Keys => "key",
            Self::Requests => "inbox",
            Self::Security => "shield",
            Self::Policy => "rule",
            Self::Audit => "trail",
            Self::Workspaces => "boxes",
            Self::Members => "people",
            Self::Account => "person",
        }
    }

    /// The letter that leads there after `g`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Keys => 'k',
            Self::Requests => 'r',
            Self::Security => 's',
            Self::Policy => 'p',
            Self::Audit => 'a',
            Self::Workspaces => 'w',
            Self::Members => 'm',
            Self::Account => 'y',
        }
    }

    fn bit(self) -> u8 {
        Self::ALL
            .iter()
            .position(|other| *other == self)
            .map_or(0, |at| 1_u8 << at)
    }
}

/// The places that a person may go to. The empty set shows none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NavSet(u8);

impl NavSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(u8::MAX);

    /// These places.
    #[must_use]
    pub fn of(places: &[Nav]) -> Self {
        Self(places.iter().fold(0, |bits, place| bits | place.bit()))
    }

    /// With one more place if the person may go there.
    #[must_use]
    pub fn with(self, place: Nav, may: bool) -> Self {
        Self(if may { self.0 | place.bit() } else { self.0 })
    }

    /// Whether the place is in it.
    #[must_use]
    pub fn has(self, place: Nav) -> bool {
        self.0 & place.bit() != 0
    }
}

/// The person whom a page is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name.
    pub name: String,
    /// The address; empty where the provider gives none.
    pub email: String,
    /// The role, as people read it.
    pub role: String,
    /// How the person is written in the trail: `session:<id>`.
    pub label: String,
}

impl Who {
    /// One or two letters that stand for the person.
    #[must_use]
    pub fn initials(&self) -> String {
        let letters = self
            .name
            .split_whitespace()
            .filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()));
        letters.take(2).flat_map(char::to_uppercase).collect()
    }
}

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// What the cookie of a request says.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter();
        let pairs = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'));
        let chosen = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == THEME_COOKIE).then_some(value));
        match chosen {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    /// The word in the cookie and in `data-theme`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// An entry of the navigation as it is shown.
#[derive(Debug, Clone, Copy)]
pub struct NavItem {
    /// Where it leads.
    pub nav: Nav,
    /// The page is there, or below.
    pub is_current: bool,
    /// A number beside it; 0 for none.
    pub count: u64,
}

/// Some entries of the navigation, under a title where they have one.
#[derive(Debug, Clone)]
pub struct NavGroup {
    /// What they have in common; empty for nothing.
    pub title: &'static str,
    /// The entries, at least one.
    pub items: Vec<NavItem>,
}

/// What every page has. A page template embeds it in a field `page` and begins with
/// `{% extends "canvas/layout.html" %}`.
#[derive(Debug, Clone)]
pub struct Page {
    /// The title of the window, and the heading unless the page has another.
    pub title: String,
    /// The name of the org.
    pub org: String,
    /// Where in the navigation the page is.
    pub active: Option<Nav>,
    /// The person; nobody is signed in on `canvas/bare.html`.
    pub who: Option<Who>,
    /// Where the person may go.
    pub may: NavSet,
    /// How many requests wait for approval.
    pub requests_waiting: u64,
    /// The pages above this one, from the top.
    pub crumbs: Vec<Crumb>,
    /// What has just happened.
    pub flash: Option<Flash>,
    /// Light or dark.
    pub theme: Theme,
    /// The moment that relative times are seen from.
    pub now: Timestamp,
}

impl Page {
    /// A page for nobody in particular, to which the other fields are added.
    #[must_use]
    pub fn new(title: impl Into<String>, now: Timestamp) -> Self {
        Self {
            title: title.into(),
            org: String::new(),
            active: None,
            who: None,
            may: NavSet::NONE,
            requests_waiting: 0,
            crumbs: vec![],
            flash: None,
            theme: Theme::System,
            now,
        }
    }

    /// The same surroundings with another title, at another place, below these pages.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>, active: Nav) -> Self {
        self.title = title.into();
        self.active = Some(active);
        self
    }

    /// Below this page.
    #[must_use]
    pub fn below(mut self, label: impl Into<String>, href: impl Into<String>) -> Self {
        self.crumbs.push(Crumb::new(label, href));
        self
    }

    /// A time as seen from this page.
    #[must_use]
    pub fn when(&self, at: Timestamp) -> When {
        When::new(at, self.now)
    }

    /// Whether the person may go there.
    #[must_use]
    pub fn may(&self, place: Nav) -> bool {
        self.may.has(place)
    }

    /// The navigation: what is set, what is watched, where agents live, and the person.
    #[must_use]
    pub fn groups(&self) -> Vec<NavGroup> {
        let groups: [(&str, &[Nav]); 3] = [
            ("Settings", &[Nav::Keys, Nav::Policy, Nav::Members]),
            ("Oversight", &[Nav::Requests, Nav::Security, Nav::Audit]),
            ("", &[Nav::Workspaces, Nav::Account]),
        ];
        let shown = groups.map(|(title, places)| NavGroup {
            title,
            items: self.shown(places),
        });
        let shown = shown.into_iter();
        shown.filter(|group| !group.items.is_empty()).collect()
    }

    fn shown(&self, group: &[Nav]) -> Vec<NavItem> {
        let places = group.iter().filter(|place| self.may.has(**place));
        places
            .map(|place| NavItem {
                nav: *place,
                is_current: self.active == Some(*place),
                count: match place {
                    Nav::Requests => self.requests_waiting,
                    _ => 0,
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn navigation_shows_what_the_person_may_see() {
        let mut page = Page::new("Audit", Timestamp::from_millis(0));
        assert!(page.groups().is_empty());
        page.may = NavSet::of(&[Nav::Audit, Nav::Account]).with(Nav::Members, false);
        page.active = Some(Nav::Audit);
        let names = |items: &[NavItem]| {
            let names = items.iter().map(|item| (item.nav.label(), item.is_current));
            names.collect::<Vec<_>>()
        };
        let shown: Vec<_> = page
            .groups()
            .iter()
            .map(|group| (group.title, names(&group.items)))
            .collect();
        let expected = [
            ("Oversight", vec![("Audit", true)]),
            ("", vec![("Account", false)]),
        ];
        assert_eq!(shown, expected);
        page.may = NavSet::ALL;
        let settings = &page.groups()[0];
        assert_eq!(settings.title, "Settings");
        let places = settings.items.iter().map(|item| item.nav.label());
        assert!(places.eq(["Org API Keys", "Policy", "Members"]));
    }

    #[test]
    fn theme_is_read_from_its_cookie_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(Theme::of(&headers), Theme::System);
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=dark; claviger_theme=light"),
        );
        assert_eq!(Theme::of(&headers), Theme::Light);
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("claviger_theme=\"><b>"),
        );
        assert_eq!(Theme::of(&headers), Theme::System);
    }
}
