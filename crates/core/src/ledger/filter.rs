//! Which records a query wants. The kept bytes are the only truth there is: a filter reads them.

use std::{borrow::Cow, sync::Arc};

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    entry::Kind,
    index::{Member, STATUS_MIN, USUAL_KIND, USUAL_METHOD, Wanted, status_terms},
    search::Search,
};
use crate::{
    id::{KeyId, WorkspaceId},
    json::push_string,
    time::Timestamp,
};

/// Conditions on records. Those that are given must all hold; with none of them every record fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What the record is about.
    pub kind: Option<Kind>,
    /// The actor label, whole.
    pub actor: Option<String>,
    /// The key that was presented.
    pub key: Option<KeyId>,
    /// The key that was presented, or one above it at that time.
    pub under: Option<KeyId>,
    /// The key to which something was done.
    pub about: Option<KeyId>,
    /// The workspace.
    pub workspace: Option<WorkspaceId>,
    /// The pattern of the route, whole; empty for the requests that reached none.
    pub route: Option<String>,
    /// The method, in upper case.
    pub method: Option<String>,
    /// The lowest and the highest status.
    pub status: Option<(u16, u16)>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// A text in the path, or in the name of who acted, or of the workspace.
    pub search: Option<Arc<Search>>,
}

/// What a filter reads of a record.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    chain: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    route: Cow<'a, str>,
    #[serde(borrow, default)]
    workspace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    status: u16,
    #[serde(borrow, default)]
    change: Option<&'a RawValue>,
}

impl Record<'_> {
    /// Whether it was this key to which something was done: `{"revoked": {"id": "tok_…", …}}`.
    fn is_about(&self, key: &str) -> bool {
        let change: Option<serde_json::Map<String, serde_json::Value>> = self
            .change
            .and_then(|change| serde_json::from_str(change.get()).ok());
        let mut said = change.iter().flat_map(serde_json::Map::values);
        said.any(|said| {
            // Of a key that was collected, `id` is that of the request.
            let ids = [said.get("id"), said.get("token_id")];
            ids.into_iter().flatten().any(|id| id == key)
        })
    }
}

/// An [`AuditFilter`] made ready to be asked about many records.
#[derive(Debug, Clone)]
pub struct Matcher {
    filter: AuditFilter,
    key: Option<String>,
    under: Option<String>,
    about: Option<String>,
    workspace: Option<String>,
    /// What a record that fits must hold, byte for byte. Callers cannot forge it: in their texts a
    /// quotation mark is escaped.
    needles: Arc<[Finder<'static>]>,
    wanted: Arc<Wanted>,
    is_open: bool,
    /// Nothing but a text.
    is_search: bool,
}

/// What the index has of all records that fit.
fn wanted(filter: &AuditFilter) -> Wanted {
    let mut wanted = Wanted::default();
    if let Some(search) = &filter.search {
        wanted.and_search(search);
    }
    let mut add = |member, value: &[u8]| wanted.and(member, value);
    if let Some(key) = filter.key {
        add(Member::Key, key.to_string().as_bytes());
    }
    if let Some(above) = filter.under {
        add(Member::Line, above.to_string().as_bytes());
    }
    if let Some(changed) = filter.about {
        add(Member::About, changed.to_string().as_bytes());
    }
    if let Some(workspace) = filter.workspace {
        add(Member::Workspace, workspace.to_string().as_bytes());
    }
    if let Some(kind) = filter
        .kind
        .map(Kind::as_str)
        .filter(|kind| *kind != USUAL_KIND)
    {
        add(Member::Kind, kind.as_bytes());
    }
    let method = filter.method.as_ref();
    for (member, text) in [
        (Member::Actor, filter.actor.as_ref()),
        (Member::Route, filter.route.as_ref()),
        (Member::Method, method.filter(|name| *name != USUAL_METHOD)),
    ] {
        if let Some(text) = text {
            let mut written = Vec::new();
            push_string(&mut written, text);
            let inner = written.strip_prefix(b"\"").unwrap_or_default();
            add(member, inner.strip_suffix(b"\"").unwrap_or_default());
        }
    }
    if let Some((lowest, highest)) = filter.status
        && lowest >= STATUS_MIN
        && lowest / 100 == highest / 100
    {
        let [one, class] = status_terms(lowest);
        let (member, number) = if lowest == highest { one } else { class };
        add(member, &number.to_be_bytes());
    }
    wanted
}

impl From<AuditFilter> for Matcher {
    fn from(filter: AuditFilter) -> Self {
        let key = filter.key.map(|id| id.to_string());
        let under = filter.under.map(|id| id.to_string());
        let about = filter.about.map(|id| id.to_string());
        let workspace = filter.workspace.map(|id| id.to_string());
        let member = |name: &str, value: &str| format!("\"{name}\":\"{value}\"");
        let mut needles = Vec::new();
        if let Some(key) = &key {
            needles.push(member("key", key));
        }
        if let Some(above) = &under {
            needles.push(format!("\"{above}\""));
        }
        if let Some(changed) = &about {
            needles.push(format!("id\":\"{changed}\""));
        }
        if let Some(workspace) = &workspace {
            needles.push(member("workspace", workspace));
        }
        let plain = |text: &&String| {
            let is_plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            text.bytes().all(is_plain)
        };
        if let Some(kind) = filter.kind {
            needles.push(member("kind", kind.as_str()));
        }
        if let Some(actor) = filter.actor.as_ref().filter(plain) {
            needles.push(member("actor", actor));
        }
        if let Some(method) = filter.method.as_ref().filter(plain) {
            needles.push(member("method", method));
        }
        if let Some(route) = filter.route.as_ref().filter(plain) {
            needles.push(member("route", route));
        }
        if let Some((lowest, highest)) = filter.status
            && lowest == highest
        {
            needles.push(format!("\"status\":{lowest},"));
        }
        Self {
            is_open: filter == AuditFilter::default(),
            is_search: filter
                == AuditFilter {
                    search: filter.search.clone(),
                    ..AuditFilter::default()
                },
            wanted: Arc::new(wanted(&filter)),
            filter,
            key,
            under,
            about,
            workspace,
            needles: needles.iter().map(|needle| finder(needle)).collect(),
        }
    }
}

fn finder(needle: &str) -> Finder<'static> {
    Finder::new(needle).into_owned()
}

impl Matcher {
    /// Whether there is no condition, so that every record fits.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// What the index has of every record that fits: where that is not, nothing fits. Empty when the
    /// index says nothing about the conditions.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether any of several records can fit that began within these times, the bounds included.
    #[must_use]
    pub fn can_fit_between(&self, at_min: Timestamp, at_max: Timestamp) -> bool {
        let AuditFilter { since, until, .. } = self.filter;
        since.is_none_or(|since| at_max >= since) && until.is_none_or(|until| at_min < until)
    }

    /// Whether any record can fit within these lines. Reads them once, without parsing.
    #[must_use]
    pub fn can_fit_within(&self, lines: &[u8]) -> bool {
        self.needles
            .iter()
            .all(|needle| needle.find(lines).is_some())
    }

    /// Whether a record fits. Bytes that are no record fit only where there is no condition.
    #[must_use]
    pub fn fits(&self, record: &[u8]) -> bool {
        if self.is_open {
            return true;
        }
        if !self.can_fit_within(record) {
            return false;
        }
        let search = self.filter.search.as_ref();
        if !search.is_none_or(|search| search.fits(record)) {
            return false;
        }
        if self.is_search {
            return true;
        }
        let Ok(read) = serde_json::from_slice::<Record<'_>>(record) else {
            return false;
        };
        self.fits_read(&read)
    }

    fn fits_read(&self, read: &Record<'_>) -> bool {
        fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        let filter = &self.filter;
        let is_in_time = || {
            if filter.since.is_none() && filter.until.is_none() {
                return true;
            }
            let Ok(at) = read.time.parse::<Timestamp>() else {
                return false;
            };
            filter.since.is_none_or(|since| at >= since)
                && filter.until.is_none_or(|until| at < until)
        };
        is(filter.kind.map(Kind::as_str), Some(&*read.kind))
            && is(filter.actor.as_deref(), Some(&*read.actor))
            && is(self.key.as_deref(), read.key.as_deref())
            && self.under.as_ref().is_none_or(|above| {
                let key = read.key.iter();
                key.chain(&read.chain).any(|one| one == above)
            })
            && self.about.as_ref().is_none_or(|key| read.is_about(key))
            && is(self.workspace.as_deref(), read.workspace.as_deref())
            && is(filter.route.as_deref(), Some(&*read.route))
            && is(filter.method.as_deref(), Some(&*read.method))
            && filter
                .status
                .is_none_or(|(lowest, highest)| (lowest..=highest).contains(&read.status))
            && is_in_time()
    }
}

#[cfg(test)]
mod tests {
    use super::{AuditFilter, Matcher};
    use crate::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::entry::Draft,
        tier::Actor,
        time::Timestamp,
    };

    const NOBODY: Actor = Actor::AdminToken;

    fn draft() -> Draft<'static> {
        let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
        Draft::of_operation(id, 0, Timestamp::from_millis(1), org, &NOBODY)
    }

    #[test]
    fn caller_cannot_make_a_record_look_like_that_of_another_key() {
        let victim = KeyId::from_u128(7);
        let forged = format!("/x\",\"key\":\"{victim}\",\"y\":\"");
        let record = Draft {
            path: &forged,
            user_agent: Some(&forged),
            key: Some(KeyId::from_u128(8)),
            ..draft()
        }
        .write();
        let of_victim = Matcher::from(AuditFilter {
            key: Some(victim),
            ..AuditFilter::default()
        });
        assert!(!of_victim.fits(record.bytes()));
        assert!(!of_victim.can_fit_within(record.bytes()));
    }

    /// A filter of one condition.
    fn one(set: impl FnOnce(&mut AuditFilter)) -> AuditFilter {
        let mut filter = AuditFilter::default();
        set(&mut filter);
        filter
    }

    #[test]
    fn each_condition_is_read_from_the_bytes() {
        let actor = Actor::Session("ü \"1\"".into());
        let (key, workspace) = (KeyId::from_u128(1), WorkspaceId::from_u128(2));
        let at = Timestamp::from_millis;
        let record = Draft {
            actor: &actor,
            key: Some(key),
            chain: &[KeyId::from_u128(8), KeyId::from_u128(9)],
            workspace: Some(workspace),
            route: "/x/{id}",
            method: "POST",
            status: 404,
            at: at(1000),
            change: Some(
                r#"{"x":{"a":{"id":"tok_00000000000000000000000003"},"id":"tok_00000000000000000000000004","token_id":"tok_00000000000000000000000005"}}"#,
            ),
            ..draft()
        }
        .write();
        let fitting = [
            AuditFilter::default(),
            one(|f| f.actor = Some(actor.to_string())),
            one(|f| f.key = Some(key)),
            one(|f| f.about = Some(KeyId::from_u128(4))),
            one(|f| f.about = Some(KeyId::from_u128(5))),
            one(|f| f.under = Some(key)),
            one(|f| f.under = Some(KeyId::from_u128(8))),
            one(|f| f.under = Some(KeyId::from_u128(9))),
            one(|f| f.workspace = Some(workspace)),
            one(|f| f.route = Some("/x/{id}".into())),
            one(|f| f.method = Some("POST".into())),
            one(|f| f.status = Some((404, 404))),
            one(|f| f.status = Some((400, 499))),
            one(|f| f.since = Some(at(1000))),
            one(|f| f.until = Some(at(1001))),
        ];
        let failing = [
            one(|f| f.actor = Some("session:ü".into())),
            one(|f| f.key = Some(KeyId::from_u128(2))),
            // That one stands deeper: somebody may have written it into what was changed.
            one(|f| f.about = Some(KeyId::from_u128(3))),
            one(|f| f.under = Some(KeyId::from_u128(7))),
            one(|f| f.workspace = Some(WorkspaceId::from_u128(1))),
            one(|f| f.route = Some("/x/".into())),
            one(|f| f.method = Some("post".into())),
            one(|f| f.status = Some((403, 403))),
            one(|f| f.status = Some((500, 599))),
            one(|f| f.since = Some(at(1001))),
            one(|f| f.until = Some(at(1000))),
        ];
        let fits = |filter: &AuditFilter| Matcher::from(filter.clone()).fits(record.bytes());
        assert_eq!(fitting.iter().find(|filter| !fits(filter)), None);
        assert_eq!(failing.iter().find(|filter| fits(filter)), None);
    }

    #[test]
    fn times_of_several_records_rule_them_out_together() {
        let at = Timestamp::from_millis;
        let matcher = Matcher::from(AuditFilter {
            since: Some(at(10)),
            until: Some(at(20)),
            ..AuditFilter::default()
        });
        for (bounds, can) in [
            ((0, 9), false),
            ((0, 10), true),
            ((19, 30), true),
            ((20, 30), false),
        ] {
            assert_eq!(
                matcher.can_fit_between(at(bounds.0), at(bounds.1)),
                can,
                "{bounds:?}"
            );
        }
    }
}
