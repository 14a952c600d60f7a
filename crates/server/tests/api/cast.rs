//! `Cast`: every kind of caller of the access table.

use claviger_core::token::{Brand, Secret};
use serde_json::{Value, json};

use crate::service::{ADMIN, Minted, Service, text};

/// Every kind of caller, in the order of the table.
pub(crate) const CALLERS: &[&str] = &[
    "nobody",
    "malformed bearer",
    "unknown key",
    "revoked key",
    "expired key",
    "key with every permission",
    "key of a reader",
    "key bound to another workspace",
    "key of another org",
    "token of this workspace",
    "token of another workspace",
    "ADMIN_TOKEN",
    "ADMIN_TOKEN in another org",
    "ADMIN_TOKEN in an unknown org",
    "key that is not valid yet",
    "key bound to other labels",
    "key for other endpoints",
    "key for other addresses",
    "suspended key",
    "key below a suspended one",
    "replaced secret",
    "rotated-out secret",
    "key of an editor",
    "key that the policy blocks",
    "key that the policy cuts",
    "malformed workspace token",
    "unknown workspace token",
    "revoked workspace token",
    "token of a suspended maker",
    "wrong ADMIN_TOKEN",
    "person",
    "person, from another site",
    "person who has signed out",
];

/// The credentials that are the same for every route.
pub(crate) struct Cast {
    pub(crate) other_org: String,
    revoked: Minted,
    expired: Minted,
    admin: Minted,
    reader: Minted,
    editor: Minted,
    bound: Minted,
    foreign: Minted,
    other_token: String,
    future: Minted,
    by_labels: Minted,
    by_endpoint: Minted,
    by_address: Minted,
    suspended: Minted,
    below: Minted,
    replaced: Minted,
    rotated_out: Minted,
    blocked: Minted,
    cut: Minted,
    revoked_token: String,
    orphaned_token: String,
}

impl Cast {
    pub(crate) async fn new(service: &Service) -> Self {
        let name = |name: &str| json!({"name": name});
        let org = service.make(ADMIN, "/admin/orgs", name("other")).await;
        let other_org = text(&org["id"]);
        let foreign = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .header("x-org-id", &other_org);
        let foreign = foreign.json(&name("foreign")).send().await.ok(201);
        let other_workspace = service.workspace(ADMIN).await;
        let revoked = service.mint(ADMIN, name("revoked")).await;
        let end = service.ask_as(ADMIN, "DELETE", &revoked.path());
        end.send().await.ok(200);
        let replaced = service.mint(ADMIN, name("replaced")).await;
        let rotated_out = service.mint(ADMIN, name("rotated out")).await;
        for (key, overlap) in [(&replaced, "30d"), (&rotated_out, "0")] {
            let path = format!("{}/rotate", key.path());
            let ask = service.ask_as(ADMIN, "POST", &path);
            ask.json(&json!({"overlap": overlap})).send().await.ok(200);
        }
        let suspended = service.mint(ADMIN, name("suspended")).await;
        let below = service.mint(&suspended.secret, name("below")).await;
        let orphaned_token = service
            .workspace_token(&suspended.secret, &other_workspace)
            .await;
        let path = format!("{}/suspend", suspended.path());
        service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
        Self {
            expired: expired_key(service).await,
            admin: service.mint(ADMIN, name("admin")).await,
            reader: service
                .mint(ADMIN, json!({"name": "reader", "preset": "reader"}))
                .await,
            editor: service
                .mint(ADMIN, json!({"name": "editor", "preset": "editor"}))
                .await,
            bound: service
                .mint(
                    ADMIN,
                    json!({"name": "bound", "workspaces": [&other_workspace]}),
                )
                .await,
            foreign: Minted::of(&foreign),
            other_token: service.workspace_token(ADMIN, &other_workspace).await,
            future: limited(service, "not_before", json!("2100-01-01T00:00:00Z")).await,
            by_labels: limited(service, "workspaces", json!({"labels": {"agent": "other"}})).await,
            by_endpoint: limited(service, "endpoints", json!(["GET /nowhere"])).await,
            by_address: limited(service, "ip_allow", json!(["192.0.2.0/24"])).await,
            other_org,
            revoked,
            suspended,
            below,
            replaced,
            rotated_out,
            blocked: under_policy(service, json!({"require_expiry": true})).await,
            cut: under_policy(service, json!({"permissions": ["workspaces:read"]})).await,
            revoked_token: revoked_token(service, &other_workspace).await,
            orphaned_token,
        }
    }

    /// The org that a caller names.
    pub(crate) fn org(&self, caller: &str) -> Option<&str> {
        match caller {
            "ADMIN_TOKEN in another org" => Some(&self.other_org),
            "ADMIN_TOKEN in an unknown org" => Some("org_01J00000000000000000000000"),
            _ => None,
        }
    }

    /// The cookie of a caller, and where its browser says that the request comes from.
    pub(crate) async fn session(
        &self,
        service: &Service,
        caller: &str,
    ) -> Option<(String, &'static str)> {
        let site = match caller {
            "person" | "person who has signed out" => "same-origin",
            "person, from another site" => "cross-site",
            _ => return None,
        };
        let cookie = service.sign_in(ADMIN).await;
        if caller == "person who has signed out" {
            let out = service.ask("POST", "/canvas/sign-out").session(&cookie);
            assert_eq!(out.send().await.status, 303);
        }
        Some((cookie, site))
    }

    /// The header of a caller.
    pub(crate) fn authorization(&self, caller: &str, own_token: Option<&str>) -> Option<String> {
        let unknown = Secret::from_entropy(&Brand::ORG_KEY, &[7; 32]);
        let unknown_token = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[7; 32]);
        let token = match caller {
            "nobody" => return None,
            person if person.starts_with("person") => return None,
            "malformed bearer" => "mole_tooshort",
            "unknown key" => unknown.expose(),
            "revoked key" => &self.revoked.secret,
            "expired key" => &self.expired.secret,
            "key with every permission" => &self.admin.secret,
            "key of a reader" => &self.reader.secret,
            "key of an editor" => &self.editor.secret,
            "key bound to another workspace" => &self.bound.secret,
            "key of another org" => &self.foreign.secret,
            // A route about no workspace gets the token of some workspace.
            "token of this workspace" => own_token.unwrap_or(&self.other_token),
            "token of another workspace" => &self.other_token,
            "key that is not valid yet" => &self.future.secret,
            "key bound to other labels" => &self.by_labels.secret,
            "key for other endpoints" => &self.by_endpoint.secret,
            "key for other addresses" => &self.by_address.secret,
            "replaced secret" => &self.replaced.secret,
            "rotated-out secret" => &self.rotated_out.secret,
            "suspended key" => &self.suspended.secret,
            "key below a suspended one" => &self.below.secret,
            "key that the policy blocks" => &self.blocked.secret,
            "key that the policy cuts" => &self.cut.secret,
            "malformed workspace token" => "molw_tooshort",
            "unknown workspace token" => unknown_token.expose(),
            "revoked workspace token" => &self.revoked_token,
            "token of a suspended maker" => &self.orphaned_token,
            "wrong ADMIN_TOKEN" => "not-the-admin-token-0123456789abcdef-9876",
            name if name.starts_with("ADMIN_TOKEN") => ADMIN,
            other => panic!("no such caller: {other}"),
        };
        Some(format!("Bearer {token}"))
    }
}

/// A key with every permission under one condition.
async fn limited(service: &Service, field: &str, value: Value) -> Minted {
    let mut body = json!({"name": field});
    body[field] = value;
    service.mint(ADMIN, body).await
}

/// A key whose time is over: it lives for a moment, and is asked until that has passed.
async fn expired_key(service: &Service) -> Minted {
    let at = claviger_server::clock::now().plus(std::time::Duration::from_millis(500));
    let key = service
        .mint(
            ADMIN,
            json!({"name": "expired", "expires_at": at.to_string()}),
        )
        .await;
    let whoami = |service: &Service| service.ask_as(&key.secret, "GET", "/org/whoami");
    let answer = service.until(whoami, |answer| answer.status != 200).await;
    answer.problem(401, "token_expired");
    key
}

/// A key of an org of its own that has this policy.
async fn under_policy(service: &Service, policy: Value) -> Minted {
    let first = policy.as_object().and_then(|rules| rules.keys().next());
    let name = first.expect("a rule").replace('_', "-");
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": name}))
        .await;
    let org = text(&org["id"]);
    let ask = |method: &str, path: &str, body: &Value| {
        let ask = service.ask_as(ADMIN, method, path).header("x-org-id", &org);
        ask.json(body).send()
    };
    let key = ask("POST", "/org/tokens", &json!({"name": "k"}))
        .await
        .ok(201);
    ask("PUT", "/org/policy", &policy).await.ok(200);
    Minted::of(&key)
}

/// A token of this workspace that was revoked.
async fn revoked_token(service: &Service, workspace: &str) -> String {
    let tokens = format!("/workspaces/{workspace}/tokens");
    let made = service.make(ADMIN, &tokens, json!({})).await;
    let path = format!("{tokens}/{}", text(&made["id"]));
    service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    text(&made["auth_token"])
}
