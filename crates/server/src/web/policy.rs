//! The org's policy: what it says, what another one would do, and setting it.

mod fields;

use askama::Template;
use claviger_core::{
    action::{Action, ReadPolicy, WritePolicy},
    digest::Digest,
    permission::Permission,
    policy::Policy,
};
use http::{Method, StatusCode};

use self::fields::Fields;
pub(super) use self::fields::{number, words};

use super::{
    fault::Fault,
    html,
    layout::{Nav, Page},
    page,
    parts::Choice,
};
use crate::{
    api::policies as api,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::policies::{self, Effect, Told},
    router::Routes,
};

/// The path of the page.
const PATH: &str = "/canvas/policy";
/// How many keys of each kind a preview names.
const KEYS_NAMED_MAX: usize = 50;
/// The fields that have a place for what is wrong with them.
const FIELDS: &str = "permissions presets ip_allow lifetime_max required_metadata minters keys_max \
    depth_max suspend_idle_after suspend_on keep_audit_for";

/// The page.
#[derive(Debug, Template)]
#[template(path = "canvas/policy.html")]
struct PolicyPage {
    page: Page,
    fields: Fields,
    /// What the policy in force asks for, in words.
    rules: Vec<(&'static str, String)>,
    fault: Fault,
    preview: Option<Preview>,
    /// The policy that the form was made from.
    seen: String,
    may_write: bool,
}

/// What a policy would do.
#[derive(Debug)]
struct Preview {
    living: usize,
    groups: Vec<Group>,
    /// How many records lose their bodies, in words; empty for none.
    dropped: String,
    /// The key that would be blocked and with it the session of whoever looks; empty for none.
    own: String,
}

/// Keys to which it would do the same.
#[derive(Debug)]
struct Group {
    title: String,
    text: &'static str,
    tone: &'static str,
    keys: Vec<(String, String, String, String)>,
    unnamed: usize,
}

impl Preview {
    /// Whether no key would notice, and nothing is lost.
    fn is_harmless(&self) -> bool {
        self.groups.is_empty() && self.dropped.is_empty()
    }

    fn of(effect: &Effect) -> Self {
        let groups = [
            (
                &effect.blocked,
                "blocked",
                "bad",
                "Refused as soon as the policy is in force, until they fit or the policy changes.",
            ),
            (
                &effect.below,
                "blocked with them",
                "bad",
                "They fit themselves, but a key above them does not.",
            ),
            (
                &effect.cut,
                "cut",
                "warn",
                "They go on working, without the permissions that the policy does not allow.",
            ),
            (
                &effect.outside,
                "last used from elsewhere",
                "warn",
                "Refused from addresses that the policy does not allow; this is where they came from last.",
            ),
            (
                &effect.suspended,
                "suspended by the clock",
                "warn",
                "Suspended within ten minutes. Each can be resumed.",
            ),
        ];
        let groups = groups.into_iter().filter(|(told, ..)| told.count > 0);
        Self {
            living: effect.living,
            groups: groups
                .map(|(told, what, tone, text)| Group::of(told, what, tone, text))
                .collect(),
            dropped: match effect.dropped {
                0 => String::new(),
                count => super::time::thousands(count),
            },
            own: String::new(),
        }
    }
}

impl Group {
    fn of(told: &Told, what: &str, tone: &'static str, text: &'static str) -> Self {
        let plural = if told.count == 1 { "" } else { "s" };
        let named = told.first.iter().take(KEYS_NAMED_MAX);
        let keys: Vec<_> = named
            .map(|(key, reason)| {
                let (id, prefix) = (key.id.to_string(), key.prefix.to_string());
                (id, key.name.clone(), prefix, super::fault::sentence(reason))
            })
            .collect();
        Self {
            title: format!(
                "{} key{plural} {what}",
                super::time::thousands(u64::try_from(told.count).unwrap_or(u64::MAX))
            ),
            text,
            tone,
            unnamed: told.count.saturating_sub(keys.len()),
            keys,
        }
    }
}

impl PolicyPage {
    fn of<A: Action>(call: &Call<A>, fields: Option<Fields>, fault: Fault) -> Self {
        let in_force = in_force(call);
        let wire = api::view(&in_force);
        let fields = fields.unwrap_or_else(|| Fields::of(&wire));
        Self {
            page: page::of(call, "Policy", Nav::Policy),
            rules: fields::rules(&wire),
            fields,
            fault,
            preview: None,
            seen: mark(&in_force),
            may_write: page::may::<WritePolicy>(&call.trace),
        }
    }

    fn presets(&self) -> Vec<Choice> {
        let presets = [
            (
                "reader",
                "Reader",
                "Every read, but not the values of secrets.",
            ),
            (
                "editor",
                "Editor",
                "Reads, and changes workspaces, channels and secrets.",
            ),
            ("admin", "Admin", "Everything."),
        ];
        presets
            .map(|(value, label, help)| Choice {
                is_chosen: self.fields.presets.iter().any(|chosen| chosen == value),
                ..Choice::new(value, label, "").help(help)
            })
            .into()
    }

    fn minters(&self) -> Vec<Choice> {
        let minters = [
            (
                "people",
                "People",
                "Whoever signs in here and has the role for it.",
            ),
            ("keys", "Keys", "Org API keys that hold org.tokens:mint."),
            (
                "admin_token",
                "ADMIN_TOKEN",
                "The break-glass credential of the deployment.",
            ),
        ];
        minters
            .map(|(value, label, help)| Choice {
                is_chosen: self.fields.minters.iter().any(|chosen| chosen == value),
                ..Choice::new(value, label, "").help(help)
            })
            .into()
    }

    fn signals(&self) -> Vec<Choice> {
        let signals = [
            (
                "new_network",
                "First use from a new network",
                "Not the first network of a key. Leave it out for keys that move.",
            ),
            (
                "new_endpoint",
                "First call to a new endpoint",
                "What a key calls in its first 24 hours is learnt.",
            ),
            (
                "refusal_burst",
                "A burst of refusals",
                "20 within a minute.",
            ),
            (
                "revoked_secret_used",
                "Use of a secret that has ended",
                "Above all of one that a rotation replaced: somebody still has it.",
            ),
        ];
        signals
            .map(|(value, label, help)| Choice {
                is_chosen: self.fields.suspend_on.iter().any(|chosen| chosen == value),
                ..Choice::new(value, label, "").help(help)
            })
            .into()
    }

    fn permissions(&self) -> String {
        let names: Vec<_> = Permission::ALL.iter().map(|one| one.as_str()).collect();
        names.join(", ")
    }
}

fn in_force<A: Action>(call: &Call<A>) -> Policy {
    let in_force = call.app.policies.of(call.org());
    in_force.map_or_else(Policy::default, |in_force| in_force.policy.clone())
}

/// By which a form knows the policy that it was made from.
fn mark(policy: &Policy) -> String {
    let text = serde_json::to_vec(&api::view(policy)).unwrap_or_default();
    let digest = Digest::of(&text);
    let bytes = digest.as_bytes().iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The page of the policy, and its form.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadPolicy, _, _>(&get, "/canvas/policy", show);
    routes.page::<WritePolicy, _, _>(&post, "/canvas/policy", put);
}

/// `GET /canvas/policy`.
async fn show(call: Call<ReadPolicy>) -> Result<Reply, Failure> {
    let query = call.query(&["done"])?;
    let mut page = PolicyPage::of(&call, None, Fault::default());
    page.page.flash = page::flash(query.get("done"));
    Ok(html::html(StatusCode::OK, &page))
}

/// `POST /canvas/policy`: says what the policy would do, or sets it.
async fn put(mut call: Call<WritePolicy>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let fields = Fields::read(&form);
    let outcome = match form.get("do") {
        Some("apply") => apply(&call, &fields, &form).await,
        _ => preview(&call, &fields).await,
    };
    outcome.map_err(|failure| match Fault::of(&failure) {
        Some(fault) => {
            let page = PolicyPage::of(&call, Some(fields), fault);
            html::refused(failure, &page)
        }
        None => failure,
    })
}

async fn preview(call: &Call<WritePolicy>, fields: &Fields) -> Result<Reply, Failure> {
    let policy = api::checked(fields.asked()?)?;
    let effect = policies::preview(&call.app, &call.permit, &policy).await?;
    let mut page = PolicyPage::of(call, Some(fields.clone()), Fault::default());
    let session = call.session();
    let chain = session.map_or(&[][..], |live| live.session.chain());
    let own = policies::blocked_of(&call.app, &call.permit, chain, &policy).await?;
    page.preview = Some(Preview {
        own: own.map(|key| key.name).unwrap_or_default(),
        ..Preview::of(&effect)
    });
    Ok(html::html(StatusCode::OK, &page))
}

async fn apply(call: &Call<WritePolicy>, fields: &Fields, form: &Form) -> Result<Reply, Failure> {
    let policy = api::checked(fields.asked()?)?;
    if form.get("seen") != Some(&mark(&in_force(call))) {
        return Err(Failure::Refused(
            "somebody has changed the policy since this page was shown: preview it again",
        ));
    }
    let (written, _) = api::put_as(call, policy, StatusCode::SEE_OTHER).await?;
    Ok(html::see_other(&format!("{PATH}?done=policy")).written(written.receipt))
}
