//! One request as the audit trail sees it: kept from its arrival to its record.

use std::{net::IpAddr, sync::Arc, time::Instant};

use claviger_core::{
    evidence::Brands,
    id::{EventId, OrgId, WorkspaceId},
    ledger::entry::{Draft, Entry, Kind, PATH_BYTES_MAX, USER_AGENT_BYTES_MAX},
    person::{Person, Session},
    tier::{Actor, Principal, Tier},
    time::Timestamp,
    token::Brand,
};
use http::{Method, Uri, header, request::Parts};

use crate::{clock, entropy, rate_limiter::Standing, web::layout::Theme};

/// What is known when the head of a request has arrived.
#[derive(Debug)]
pub struct Head {
    /// The id of the request and of its record.
    pub id: EventId,
    /// When it arrived.
    pub at: Timestamp,
    /// When it arrived, for measuring.
    pub started: Instant,
    /// The other end of the connection.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The decoded path, cut to what a record holds.
    pub path: String,
    /// The pattern of the route; empty for none.
    pub route: &'static str,
    /// Whether it is for a page of the Canvas.
    pub is_page: bool,
    /// Light or dark, for a page.
    pub theme: Theme,
    /// The query, of a page alone: where to go on after a sign-in.
    pub query: Option<String>,
    /// The page that a form was sent from, by its path and query: where to go on after a sign-in.
    pub from: Option<String>,
    /// `User-Agent`, cut to what a record holds.
    pub user_agent: Option<String>,
    brands: Brands,
}

/// The fewest characters after the prefix by which a text is taken for a secret.
const SECRET_TAIL_MIN: usize = 24;

/// A text of the caller with what looks like a secret cut to its public prefix: people paste keys
/// where ids belong, and neither a log nor the audit trail may hold them.
fn without_secrets(text: &str, brands: &Brands) -> String {
    let mut kept = text.to_owned();
    // Most texts have nothing of the kind, and every request brings two.
    // From the end, so that places before stay what they are.
    for (at, _) in text.rmatch_indices('_') {
        let head = text.get(..at).unwrap_or_default();
        let is_brand = |brand: &Brand| head.ends_with(brand.as_str());
        if ![brands.org_key, brands.workspace_token]
            .iter()
            .any(is_brand)
        {
            continue;
        }
        let body = at + 1;
        let tail = text.get(body..).unwrap_or_default();
        let length = tail.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if length >= SECRET_TAIL_MIN {
            kept.replace_range(body + 8..body + length, "********");
        }
    }
    kept
}

/// The page of the Canvas that a form stands on, as the browser says. It proves nothing, and decides
/// nothing but where somebody goes on who had to sign in first.
fn page_before(parts: &Parts) -> Option<String> {
    if parts.method == Method::GET || !parts.uri.path().starts_with("/canvas/") {
        return None;
    }
    let referrer = parts.headers.get(header::REFERER)?.to_str().ok()?;
    let page: Uri = referrer.parse().ok()?;
    page.path_and_query().map(ToString::to_string)
}

impl Head {
    /// Notes the head of a request.
    #[must_use]
    pub fn new(client: IpAddr, parts: &Parts, brands: &Brands) -> Self {
        let (path, headers) = (parts.uri.path(), &parts.headers);
        let at = clock::now();
        let cut = |text: &str, max: usize| {
            let cut = text.get(..text.floor_char_boundary(max));
            without_secrets(cut.unwrap_or_default(), brands)
        };
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Self {
            id: EventId::from_parts(at, entropy::bits()),
            at,
            started: Instant::now(),
            client,
            method: parts.method.clone(),
            path: cut(path, PATH_BYTES_MAX),
            route: "",
            is_page: false,
            theme: Theme::System,
            query: parts.uri.query().map(|query| cut(query, PATH_BYTES_MAX)),
            from: page_before(parts).map(|from| cut(&from, PATH_BYTES_MAX)),
            user_agent: agent.map(|agent| cut(agent, USER_AGENT_BYTES_MAX)),
            brands: *brands,
        }
    }
}

/// A request whose caller is known, or known to be nobody.
#[derive(Debug)]
pub struct Trace {
    /// The id of the request and of its record.
    pub id: EventId,
    /// When it arrived.
    pub at: Timestamp,
    started: Instant,
    /// The other end of the connection.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The decoded path.
    pub path: String,
    /// The pattern of the route.
    pub route: &'static str,
    /// Whether it is for a page of the Canvas.
    pub is_page: bool,
    /// Light or dark, for a page.
    pub theme: Theme,
    /// The query as it was sent.
    pub query: Option<String>,
    /// The page that a form was sent from, by its path and query.
    pub from: Option<String>,
    /// `User-Agent`, cut to what a record holds.
    pub user_agent: Option<String>,
    brands: Brands,
    /// The workspace that the path names.
    pub workspace: Option<WorkspaceId>,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// How the tightest rate limit above the request stands, once it was counted.
    pub standing: std::sync::OnceLock<Standing>,
    /// Who signed in with this request.
    signed_in: std::sync::OnceLock<Actor>,
    /// The record that was made for a change, for the line.
    recorded: parking_lot::Mutex<Option<Vec<u8>>>,
}

/// How a request ended, as its record says it.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The status.
    pub status: u16,
    /// The stable code of a refusal or error.
    pub code: Option<&'a str>,
    /// A JSON object.
    pub change: Option<&'a str>,
    /// How many requests it stands for.
    pub count: u64,
}

impl Trace {
    /// Joins a head and a principal.
    #[must_use]
    pub fn new(head: Head, principal: Arc<Principal>, workspace: Option<WorkspaceId>) -> Self {
        Self {
            id: head.id,
            at: head.at,
            started: head.started,
            client: head.client,
            method: head.method,
            path: head.path,
            route: head.route,
            is_page: head.is_page,
            theme: head.theme,
            query: head.query,
            from: head.from,
            user_agent: head.user_agent,
            brands: head.brands,
            workspace,
            principal,
            standing: std::sync::OnceLock::new(),
            signed_in: std::sync::OnceLock::new(),
            recorded: parking_lot::Mutex::default(),
        }
    }

    /// Whether the caller holds a credential that is known here.
    #[must_use]
    pub fn is_attributed(&self) -> bool {
        self.principal.tier != Tier::Anonymous
    }

    /// How long the request has taken so far, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Everything that the record says.
    #[must_use]
    pub fn draft<'a>(&'a self, ending: Ending<'a>) -> Draft<'a> {
        let principal = &*self.principal;
        let kind = if ending.code.is_some() && (ending.count > 1 || !self.is_attributed()) {
            Kind::Refusals
        } else {
            Kind::of(principal)
        };
        Draft {
            id: self.id,
            nonce: entropy::bits(),
            at: self.at,
            org: principal.org,
            kind,
            tier: principal.tier,
            actor: self.signed_in.get().unwrap_or(&principal.actor),
            key: principal.key,
            chain: principal
                .minter
                .as_ref()
                .map_or(&[], |minter| &minter.chain),
            root: principal.root(),
            impersonator: principal.impersonator.as_deref(),
            method: self.method.as_str(),
            path: &self.path,
            route: self.route,
            workspace: self.workspace,
            status: ending.status,
            code: ending.code,
            duration_us: self.duration_us(),
            client: Some(self.client),
            user_agent: self.user_agent.as_deref(),
            count: ending.count,
            change: ending.change,
        }
    }

    /// The record of a change that succeeded.
    #[must_use]
    pub fn entry_of_change(&self, status: u16, change: &serde_json::Value) -> Entry {
        let change = without_secrets(&ascii_json(change), &self.brands);
        let ending = Ending {
            status,
            code: None,
            change: Some(&change),
            count: 1,
        };
        let entry = self.draft(ending).write();
        *self.recorded.lock() = Some(entry.bytes().to_vec());
        entry
    }

    /// The record of a sign-in, in the trail of the person's org: by whoever is signed in now.
    #[must_use]
    pub fn entry_of_sign_in(
        &self,
        person: &Person,
        session: &Session,
        change: &serde_json::Value,
    ) -> Entry {
        let change = without_secrets(&ascii_json(change), &self.brands);
        let actor = person.id.actor();
        let root = session
            .minter
            .as_ref()
            .map_or(&actor, |minter| &minter.root);
        let draft = Draft {
            org: person.org,
            // With ADMIN_TOKEN, or with a link that it made.
            kind: match session.admin_token {
                Some(_) => Kind::BreakGlass,
                None => Kind::Request,
            },
            tier: Tier::Session,
            actor: &actor,
            key: None,
            chain: session.chain(),
            root,
            impersonator: session.impersonator.as_deref(),
            ..self.draft(Ending {
                status: 303,
                code: None,
                change: Some(&change),
                count: 1,
            })
        };
        let entry = draft.write();
        *self.recorded.lock() = Some(entry.bytes().to_vec());
        self.signed_in.set(actor.clone()).unwrap_or_default();
        entry
    }

    /// The record of something that went with the change of a request: it says who asked, and what
    /// became of one key more.
    #[must_use]
    pub fn entry_beside(&self, org: OrgId, status: u16, change: &serde_json::Value) -> Entry {
        let change = without_secrets(&ascii_json(change), &self.brands);
        let mut draft = self.draft(Ending {
            status,
            code: None,
            change: Some(&change),
            count: 1,
        });
        self.place(&mut draft, org);
        Draft {
            id: entropy::new_id(),
            kind: Kind::Cascade,
            ..draft
        }
        .write()
    }

    /// The status of the answer to a change that succeeded: a page leads on to another.
    #[must_use]
    pub const fn status_of_change(&self) -> u16 {
        if self.is_page { 303 } else { 200 }
    }

    /// The record of a change in the trail of this org. Of several changes of one request one is its
    /// own: that record has the request's id, the others have ids of theirs.
    #[must_use]
    pub fn entry_in(&self, org: OrgId, is_own: bool, change: &serde_json::Value) -> Entry {
        let change = without_secrets(&ascii_json(change), &self.brands);
        let mut draft = self.draft(Ending {
            status: self.status_of_change(),
            code: None,
            change: Some(&change),
            count: 1,
        });
        self.place(&mut draft, org);
        if !is_own {
            draft.id = entropy::new_id();
            return draft.write();
        }
        let entry = draft.write();
        *self.recorded.lock() = Some(entry.bytes().to_vec());
        entry
    }

    /// Puts a record into the trail of this org. Of a caller from another org it says no
    /// more than its address.
    fn place<'a>(&'a self, draft: &mut Draft<'a>, org: OrgId) {
        if org != self.principal.org {
            draft.org = org;
            draft.key = None;
            draft.chain = &[];
            draft.actor = &Actor::Anonymous;
            draft.root = &Actor::Anonymous;
        }
    }

    /// The bytes of the record that was committed with a change.
    #[must_use]
    pub fn take_recorded(&self) -> Option<Vec<u8>> {
        self.recorded.lock().take()
    }
}

/// JSON with everything outside printable ASCII escaped, as records hold it.
pub(crate) fn ascii_json(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if text.is_ascii() && !text.contains('\u{7f}') {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    let mut units = [0_u16; 2];
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use claviger_core::{
        evidence::Brands,
        token::{Brand, Secret},
    };

    use super::without_secrets;

    #[test]
    fn a_pasted_secret_is_cut_to_its_prefix() {
        let brands = Brands {
            org_key: Brand::ORG_KEY,
            workspace_token: Brand::WORKSPACE_TOKEN,
        };
        for brand in [Brand::ORG_KEY, Brand::WORKSPACE_TOKEN] {
            let secret = Secret::from_entropy(&brand, &[9; 32]);
            let path = format!("/org/tokens/{0}/x/{0}", secret.expose());
            let kept = without_secrets(&path, &brands);
            let expected = format!("/org/tokens/{0}********/x/{0}********", secret.prefix());
            assert_eq!(kept, expected);
        }
        let plain = "/workspaces/ws_01J/secrets/mole_hill";
        assert_eq!(without_secrets(plain, &brands), plain);
    }
}
