//! Settings → Org API Keys: every key of the org, one a row.

use askama::Template;

use crate::web::{
    charts::Spark,
    layout::Page,
    parts::{Badge, Chip, Choice, KeyStatus, Pager},
    time::When,
};

/// The path of the list.
pub const PATH: &str = "/canvas/keys";

/// The list.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/list.html")]
pub struct KeysPage {
    /// What surrounds it.
    pub page: Page,
    /// The keys of this part of the list.
    pub rows: Vec<KeyRow>,
    /// How many keys there are of each status, for the chips: what `None` counts is every live key. A
    /// number is absent where counting would take too long.
    pub counts: Vec<(Option<KeyStatus>, Option<u64>)>,
    /// What the list is filtered and sorted by.
    pub filters: Filters,
    /// Who made keys: the labels of actors with their names.
    pub creators: Vec<Choice>,
    /// The workspaces that a filter may name.
    pub workspaces: Vec<Choice>,
    /// Tags that keys carry, as `name=value`: those of the rows. Another may be typed.
    pub tags: Vec<String>,
    /// The list may be sorted: with revoked keys it is newest first.
    pub is_sortable: bool,
    /// Where this part of the list stands.
    pub pager: Pager,
    /// The org has, or has had, a key: without one the page leads to the first.
    pub has_keys: bool,
    /// The person may mint.
    pub may_mint: bool,
    /// The person may suspend and revoke.
    pub may_stop: bool,
}

/// A key as a row.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// The person or the org at the root of its line.
    pub owner: String,
    /// Who made it, as people read it: a name, the name of a key, `ADMIN_TOKEN`.
    pub created_by: String,
    /// The same as the trail writes it.
    pub created_by_label: String,
    /// What it may do.
    pub grant: Vec<Badge>,
    /// Where: `All workspaces`, a name, `3 workspaces`, `agent=data-pipeline`.
    pub workspaces: String,
    /// The same in full, for whoever points at it; empty for no more than that.
    pub workspaces_title: String,
    /// What it is now.
    pub status: KeyStatus,
    /// When it was made.
    pub created: When,
    /// When any of its secrets was last accepted.
    pub last_used: Option<When>,
    /// From which address.
    pub last_used_from: String,
    /// When it ends by itself.
    pub expires: Option<When>,
    /// When it was revoked.
    pub revoked: Option<When>,
    /// Its calls of the last 30 days.
    pub calls: Spark,
    /// Its tags, as `name=value`.
    pub tags: Vec<String>,
}

/// What a list is filtered and sorted by, as the address of the page says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Words in name, prefix, owner.
    pub q: String,
    /// A status, or `all`; empty for every live key.
    pub status: String,
    /// The label of who made it.
    pub created_by: String,
    /// The id of a workspace that it reaches.
    pub workspace: String,
    /// A tag, as `name=value`.
    pub tag: String,
    /// `name`, `created`, `last_used`, `expires`, with `-` before it for the other way round.
    pub sort: String,
}

impl Filters {
    /// The names of the query parameters.
    pub const NAMES: [&'static str; 6] = ["q", "status", "created_by", "workspace", "tag", "sort"];

    /// Reads them with `get`, which gives a query parameter by its name.
    #[must_use]
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let text = |name| get(name).unwrap_or_default().trim().to_owned();
        Self {
            q: text("q"),
            status: text("status"),
            created_by: text("created_by"),
            workspace: text("workspace"),
            tag: text("tag"),
            sort: text("sort"),
        }
    }

    /// The address of the list with them.
    #[must_use]
    pub fn href(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let values = [
            &self.q,
            &self.status,
            &self.created_by,
            &self.workspace,
            &self.tag,
            &self.sort,
        ];
        for (name, value) in Self::NAMES.iter().zip(values) {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        match query.finish() {
            query if query.is_empty() => PATH.to_owned(),
            query => format!("{PATH}?{query}"),
        }
    }

    /// Whether anything is left out of the list of live keys.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        let narrowing = [
            &self.q,
            &self.status,
            &self.created_by,
            &self.workspace,
            &self.tag,
        ];
        narrowing.iter().any(|value| !value.is_empty())
    }

    /// The same list sorted by a column; by the column that it is sorted by, the other way round.
    #[must_use]
    pub fn sorted_by(&self, column: &str) -> String {
        let other_way = self.sort == column;
        let sort = format!("{}{column}", if other_way { "-" } else { "" });
        Self {
            sort,
            ..self.clone()
        }
        .href()
    }

    /// How the list is sorted by a column: the word of `aria-sort`.
    #[must_use]
    pub fn order(&self, column: &str) -> &'static str {
        match self.sort.strip_prefix('-') {
            Some(sorted) if sorted == column => "descending",
            None if self.sort == column => "ascending",
            _ => "none",
        }
    }

    fn with_status(&self, status: &str) -> String {
        Self {
            status: status.to_owned(),
            ..self.clone()
        }
        .href()
    }
}

impl KeysPage {
    /// The chips: every live key, each status that any key has, and every key.
    #[must_use]
    pub fn chips(&self) -> Vec<Chip> {
        let chip = |label: &str, status: &str, count| Chip {
            label: label.to_owned(),
            href: self.filters.with_status(status),
            count,
            is_active: self.filters.status == status,
        };
        let counted = self
            .counts
            .iter()
            .filter_map(|(status, count)| match status {
                None => Some(chip("Live", "", *count)),
                Some(status)
                    if count.is_none_or(|count| count > 0)
                        || self.filters.status == status.as_str() =>
                {
                    Some(chip(status.label(), status.as_str(), *count))
                }
                Some(_) => None,
            });
        counted.chain([chip("All", "all", None)]).collect()
    }

    /// How the list may be sorted where it has no head.
    #[must_use]
    pub fn sorts(&self) -> Vec<Choice> {
        [
            ("", "Newest first"),
            ("created", "Oldest first"),
            ("name", "Name"),
            ("-last_used", "Last used"),
            ("last_used", "Longest idle"),
            ("expires", "Ends first"),
        ]
        .map(|(value, label)| Choice::new(value, label, &self.filters.sort))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::time::Timestamp;

    use super::*;
    use crate::web::parts::Tone;

    #[test]
    fn address_of_a_list_says_how_it_is_filtered() {
        let filters = Filters {
            q: "a&b".to_owned(),
            status: "revoked".to_owned(),
            sort: "name".to_owned(),
            ..Filters::default()
        };
        assert_eq!(
            filters.href(),
            "/canvas/keys?q=a%26b&status=revoked&sort=name"
        );
        assert_eq!(Filters::default().href(), "/canvas/keys");
        assert_eq!(
            filters.sorted_by("name"),
            "/canvas/keys?q=a%26b&status=revoked&sort=-name"
        );
        assert_eq!(filters.order("name"), "ascending");
        assert_eq!(filters.order("created"), "none");
        let parameters = [("q", " x "), ("tag", "team=data")];
        let read = Filters::read(|name| {
            let found = parameters.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| *value)
        });
        assert_eq!(read.href(), "/canvas/keys?q=x&tag=team%3Ddata");
        assert!(read.is_narrow() && !Filters::default().is_narrow());
    }

    /// A row that is longer than most.
    fn row(number: u64, now: Timestamp) -> KeyRow {
        let before = now.minus(std::time::Duration::from_secs(number * 86_400));
        KeyRow {
            id: format!("tok_{number:026}"),
            name: "data-pipeline <nightly>".to_owned(),
            prefix: format!("mole_{number:08}"),
            owner: "Grace Hopper".to_owned(),
            created_by: "orchestrator-eu".to_owned(),
            created_by_label: "org-token:mole_a1b2c3d4".to_owned(),
            grant: ["channels:send", "secrets:read", "+2"]
                .map(|label| Badge::new(Tone::Neutral, label))
                .into(),
            workspaces: "agent=data-pipeline".to_owned(),
            workspaces_title: String::new(),
            status: KeyStatus::Active,
            created: When::new(before, now),
            last_used: Some(When::new(before, now)),
            last_used_from: "203.0.113.77".to_owned(),
            expires: Some(When::new(before, now)),
            revoked: None,
            calls: Spark {
                days: (0..30).map(|day| (day * 7 + number) % 19).collect(),
            },
            tags: vec![],
        }
    }

    fn list(rows: u64) -> KeysPage {
        let now = Timestamp::from_millis(1_795_000_000_000);
        KeysPage {
            page: Page::new("Org API Keys", now),
            rows: (0..rows).map(|number| row(number, now)).collect(),
            counts: vec![(None, Some(rows)), (Some(KeyStatus::Revoked), Some(0))],
            filters: Filters::default(),
            creators: vec![],
            workspaces: vec![],
            tags: vec![],
            is_sortable: true,
            pager: Pager::default(),
            has_keys: rows > 0,
            may_mint: true,
            may_stop: true,
        }
    }

    #[test]
    fn full_list_and_all_its_files_are_less_than_150_kilobytes() {
        let text = list(u64::from(super::super::index::ROWS)).render().unwrap();
        let sum = text.len() + crate::web::assets::transfer_bytes();
        assert!(
            sum < 150_000,
            "{sum} bytes, {} of them the page",
            text.len()
        );
    }

    #[test]
    fn list_shows_what_the_person_may_do_and_no_more() {
        let mut page = list(2);
        let text = page.render().unwrap();
        assert!(text.contains("data-pipeline &#60;nightly&#62;"));
        assert!(text.contains("value=\"revoke\"") && text.contains("/canvas/keys/new"));
        assert!(!text.contains(" style=") && !text.contains("<script>"));
        (page.may_mint, page.may_stop) = (false, false);
        let text = page.render().unwrap();
        assert!(!text.contains("value=\"revoke\"") && !text.contains("/canvas/keys/new"));
        assert!(!text.contains("name=\"id\""));
    }

    #[test]
    fn org_without_a_key_is_led_to_the_first() {
        let mut page = list(0);
        let text = page.render().unwrap();
        assert!(text.contains("No key yet") && text.contains("/canvas/keys/new"));
        // With keys that no filter lets through it is another page.
        page.has_keys = true;
        let text = page.render().unwrap();
        assert!(text.contains("No key fits") && !text.contains("No key yet"));
    }
}
