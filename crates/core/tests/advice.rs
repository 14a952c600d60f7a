//! Advice is never wider than what the key holds, and never too narrow for what it did.

#![expect(clippy::expect_used, reason = "a test says by a panic what is wrong")]

use std::{net::IpAddr, sync::Arc, time::Duration};

use claviger_core::{
    action::{
        Action, ChangeWorkspace, CreateWorkspace, DeleteWorkspace, ListSecrets, ListWorkspaces,
        MintKey, ReadAudit, ReadChannels, ReadKeys, ReadWorkspace, RevealSecrets, RevokeKey,
        RotateKey, WhoAmI, WriteSecrets,
    },
    advice::{
        Ages, Concern, Habits, Left, RouteNeeds, SENSITIVE, Situation, UsedCall, advise, concerns,
        still_allows,
    },
    authorize::{Facts, authorize},
    grant::{Delegation, Grant, Labels, RateLimit, WorkspaceFacts, Workspaces},
    id::{OrgId, WorkspaceId},
    permission::{Permission, PermissionSet},
    tier::{Actor, Authority, Principal, Tier},
    time::Timestamp,
};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
    sample::{select, subsequence},
};

/// A route, with what decides on it.
#[derive(Clone, Copy)]
struct Route {
    method: &'static str,
    path: &'static str,
    needs: RouteNeeds,
    decide: fn(&Facts<'_>) -> bool,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn route<A: Action>(method: &'static str, path: &'static str) -> Route {
    Route {
        method,
        path,
        needs: RouteNeeds {
            action: A::NAME,
            needs: A::NEEDS,
            scope: A::SCOPE,
        },
        decide: |facts| authorize::<A>(facts).is_ok(),
    }
}

fn routes() -> Vec<Route> {
    vec![
        route::<WhoAmI>("GET", "/org/whoami"),
        route::<ReadKeys>("GET", "/org/tokens/{id}"),
        route::<MintKey>("POST", "/org/tokens"),
        route::<RotateKey>("POST", "/org/tokens/{id}/rotate"),
        route::<RotateKey>("POST", "/org/tokens/{self}/rotate"),
        route::<RevokeKey>("DELETE", "/org/tokens/{id}"),
        route::<ReadAudit>("GET", "/org/audit"),
        route::<ListWorkspaces>("GET", "/workspaces"),
        route::<CreateWorkspace>("POST", "/workspaces"),
        route::<ReadWorkspace>("GET", "/workspaces/{id}"),
        route::<ChangeWorkspace>("PATCH", "/workspaces/{id}"),
        route::<DeleteWorkspace>("DELETE", "/workspaces/{id}"),
        route::<ReadChannels>("GET", "/workspaces/{id}/channels/{cid}"),
        route::<ListSecrets>("GET", "/workspaces/{id}/secrets"),
        route::<ListSecrets>("HEAD", "/workspaces/{id}/secrets"),
        route::<WriteSecrets>("PUT", "/workspaces/{id}/secrets"),
        route::<RevealSecrets>("GET", "/workspaces/{id}/secrets/values"),
    ]
}

/// One request.
#[derive(Debug, Clone)]
struct Request {
    route: Route,
    workspace: u128,
    client: IpAddr,
}

impl Request {
    fn is_about_a_workspace(&self) -> bool {
        self.route.path.starts_with("/workspaces/{id}")
    }

    fn workspace(&self) -> Option<WorkspaceId> {
        let id = WorkspaceId::from_u128(self.workspace);
        self.is_about_a_workspace().then_some(id)
    }

    fn path(&self) -> String {
        let id = WorkspaceId::from_u128(self.workspace).to_string();
        let path = self.route.path.replace("{id}", &id);
        path.replace("{cid}", "ch_1").replace("{self}", "tok_1")
    }

    /// Labels of a workspace follow from its number.
    fn is_let_in(&self, grant: &Grant) -> bool {
        let principal = Arc::new(Principal {
            tier: Tier::OrgKey,
            org: OrgId::from_u128(1),
            actor: Actor::Anonymous,
            key: None,
            minter: None,
            own_workspace: None,
            replaced_until: None,
            impersonator: None,
            session: None,
            authority: Authority::of(vec![Arc::new(grant.clone())]),
        });
        let labels = self.labels();
        let path = self.path();
        let facts = Facts {
            principal: &principal,
            workspace: self.workspace().map(|id| WorkspaceFacts {
                id,
                labels: Some(&labels),
            }),
            method: self.route.method,
            path: &path,
            client: self.client,
        };
        (self.route.decide)(&facts) && self.operation_agrees(grant, &labels)
    }

    fn labels(&self) -> Labels {
        let value = if self.workspace < 3 { "a" } else { "b" };
        [("agent".to_owned(), value.to_owned())].into()
    }

    /// What the operations ask for beyond the permit.
    fn operation_agrees(&self, grant: &Grant, labels: &Labels) -> bool {
        let is_unbound = grant.workspaces == Workspaces::All;
        let may_label = is_unbound || grant.permissions.has(Permission::OrgAdmin);
        let made = WorkspaceFacts {
            id: WorkspaceId::from_u128(99),
            labels: Some(labels),
        };
        let takes = |permission| {
            grant.permissions.has(permission)
                && grant.reaches_endpoint(self.route.method, &self.path())
        };
        match self.route.path {
            "/org/tokens/{id}/rotate" => takes(Permission::TokensMint),
            "/org/tokens/{id}" if self.route.method == "DELETE" => takes(Permission::TokensRevoke),
            "/org/audit" => is_unbound,
            "/workspaces" if self.route.method == "POST" => {
                may_label && grant.workspaces.reaches(made)
            }
            "/workspaces/{id}" if self.route.method == "PATCH" => may_label,
            _ => true,
        }
    }

    fn counted(&self) -> UsedCall {
        UsedCall {
            method: self.route.method.to_owned(),
            route: self.route.path.to_owned(),
            needs: Some(self.route.needs),
            workspace: self.workspace(),
            calls: 1,
        }
    }
}

fn request() -> impl Strategy<Value = Request> {
    let clients = vec!["10.1.2.3", "192.0.2.1", "2001:db8::1"];
    (select(routes()), 0_u128..6, select(clients)).prop_map(|(route, workspace, client)| Request {
        route,
        workspace,
        client: client.parse().expect("an address"),
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let permissions = prop_oneof![
        2 => Just(PermissionSet::ALL),
        3 => subsequence(Permission::ALL.to_vec(), 0..=Permission::ALL.len())
            .prop_map(|held| PermissionSet::of(&held)),
    ];
    let labels: Labels = [("agent".to_owned(), "a".to_owned())].into();
    let ids = subsequence((0..6_u128).collect::<Vec<_>>(), 0..6);
    let workspaces = prop_oneof![
        3 => Just(Workspaces::All),
        3 => ids.prop_map(|ids| Workspaces::Ids(ids.into_iter().map(WorkspaceId::from_u128).collect())),
        1 => Just(Workspaces::Labels(labels)),
    ];
    let patterns = vec![
        "* /**",
        "GET /**",
        "* /workspaces/**",
        "* /workspaces/*/secrets",
        "GET /workspaces/*/*",
        "PUT /workspaces/00/secrets",
        "POST /org/tokens/*/rotate",
    ];
    let ranges = vec!["10.0.0.0/8", "0.0.0.0/0", "::/0"];
    let rate = option::of(1_u32..100);
    (
        permissions,
        workspaces,
        prop_oneof![2 => Just(Vec::new()), 3 => vec(select(patterns), 1..4)],
        prop_oneof![2 => Just(Vec::new()), 1 => vec(select(ranges), 1..3)],
        rate,
    )
        .prop_map(
            |(permissions, workspaces, endpoints, ranges, per_day)| Grant {
                delegation: Delegation::default(),
                permissions,
                workspaces,
                endpoints: endpoints
                    .iter()
                    .map(|text| text.parse().expect("a pattern"))
                    .collect(),
                not_before: None,
                ip_allow: ranges
                    .iter()
                    .map(|text| text.parse().expect("a range"))
                    .collect(),
                rate_limit: RateLimit {
                    per_minute: None,
                    per_day,
                },
            },
        )
}

proptest! {
    #[test]
    fn suggestion_is_covered_by_what_is_held_and_lets_every_used_call_in(
        own in grant(),
        requests in vec(request(), 1..12),
        wants_endpoints in any::<bool>(),
        wants_addresses in any::<bool>(),
        tokens in vec(0_u128..6, 0..2),
        has_selectors_below in any::<bool>(),
        is_complete in any::<bool>(),
    ) {
        let used: Vec<_> = requests.iter().map(Request::counted).collect();
        let clients: Vec<_> = requests.iter().map(|request| request.client).collect();
        let tokens: Vec<_> = tokens.into_iter().map(WorkspaceId::from_u128).collect();
        let situation = Situation {
            own: &own,
            used: &used,
            is_complete,
            has_selectors_below,
            tokens_below: &tokens,
            wants_endpoints,
            addresses: wants_addresses.then_some(&*clients),
        };
        let advice = advise(&situation).expect("something was done");
        let narrow = &advice.suggestion;
        assert_eq!(own.covers(narrow), Ok(()), "{own:?} {narrow:?}");
        for request in &requests {
            // What the key could not do now, it did with a grant that it no longer has.
            if request.is_let_in(&own) {
                assert!(request.is_let_in(narrow), "{request:?} {own:?} {narrow:?}");
                assert!(still_allows(&own, narrow, &request.counted()), "{request:?} {narrow:?}");
            }
        }
        for permission in &advice.unused {
            assert!(own.permissions.has(*permission) && !narrow.permissions.has(*permission));
        }
    }

    #[test]
    fn what_is_foretold_as_refused_is_refused(own in grant(), done in vec(request(), 1..6), before in request()) {
        let used: Vec<_> = done.iter().map(Request::counted).collect();
        let advice = advise(&situation(&own, &used)).expect("something was done");
        if !still_allows(&own, &advice.suggestion, &before.counted()) {
            assert!(!before.is_let_in(&advice.suggestion), "{before:?} {:?}", advice.suggestion);
        }
    }
}

const fn situation<'a>(own: &'a Grant, used: &'a [UsedCall]) -> Situation<'a> {
    Situation {
        own,
        used,
        is_complete: true,
        has_selectors_below: false,
        tokens_below: &[],
        wants_endpoints: false,
        addresses: None,
    }
}

fn calls(wanted: &[(&str, &str, u128)]) -> Vec<UsedCall> {
    let request = |(method, path, workspace): &(&str, &str, u128)| {
        let mut all = routes().into_iter();
        let route = all.find(|route| route.method == *method && route.path == *path);
        let client = "10.0.0.1".parse().expect("an address");
        Request {
            route: route.expect("a route"),
            workspace: *workspace,
            client,
        }
        .counted()
    };
    wanted.iter().map(request).collect()
}

#[test]
fn a_reader_of_two_workspaces_is_left_with_these() {
    let own = Grant::admin();
    let used = calls(&[
        ("GET", "/workspaces/{id}/secrets", 4),
        ("GET", "/workspaces/{id}/secrets", 2),
        ("GET", "/org/whoami", 0),
    ]);
    let asked = Situation {
        wants_endpoints: true,
        addresses: Some(&["10.0.0.1".parse().expect("an address")]),
        ..situation(&own, &used)
    };
    let advice = advise(&asked).expect("advice");
    let text = advice.suggestion.to_json();
    let (two, four) = (WorkspaceId::from_u128(2), WorkspaceId::from_u128(4));
    let expected = format!(
        "{{\"permissions\":[\"secrets:read\"],\"workspaces\":[\"{two}\",\"{four}\"],\
         \"endpoints\":[\"GET /org/whoami\",\"GET /workspaces/*/secrets\"],\
         \"ip_allow\":[\"10.0.0.1/32\"]}}"
    );
    assert_eq!(text, expected);
    assert_eq!(advice.kept, []);
    assert_eq!(advice.unused.len(), Permission::ALL.len() - 1);
    let said = advice.risk_removed.join("; ");
    for part in [
        "read the values of secrets",
        "administer the org",
        "but 2",
        "1 address",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn who_lists_workspaces_keeps_the_binding_and_is_told_why() {
    let own = Grant::admin();
    let used = calls(&[("GET", "/workspaces", 0), ("GET", "/workspaces/{id}", 1)]);
    let advice = advise(&situation(&own, &used)).expect("advice");
    assert_eq!(advice.suggestion.workspaces, Workspaces::All);
    let kept: Vec<_> = advice.kept.iter().map(|kept| kept.field).collect();
    assert_eq!(kept, ["workspaces"]);
}

#[test]
fn a_key_that_rotates_itself_needs_no_permission_for_it() {
    let own = Grant::admin();
    let used = calls(&[("POST", "/org/tokens/{self}/rotate", 0)]);
    let advice = advise(&situation(&own, &used)).expect("advice");
    assert_eq!(advice.suggestion.permissions, PermissionSet::NONE);
    let used = calls(&[("POST", "/org/tokens/{id}/rotate", 0)]);
    let advice = advise(&situation(&own, &used)).expect("advice");
    let mint = PermissionSet::of(&[Permission::TokensMint]);
    assert_eq!(advice.suggestion.permissions, mint);
}

#[test]
fn nothing_done_is_nothing_advised() {
    let own = Grant::admin();
    assert_eq!(advise(&situation(&own, &[])), None);
    let mut refused = calls(&[("GET", "/workspaces", 0)]);
    refused.iter_mut().for_each(|call| call.calls = 0);
    assert_eq!(advise(&situation(&own, &refused)), None);
}

#[test]
fn from_too_many_addresses_no_list_is_made() {
    let own = Grant::admin();
    let used = calls(&[("GET", "/org/whoami", 0)]);
    let many: Vec<IpAddr> = (0..17_u8).map(|at| IpAddr::from([10, 0, 0, at])).collect();
    for (count, ranges) in [(16, 16), (17, 0)] {
        let asked = Situation {
            addresses: many.get(..count),
            ..situation(&own, &used)
        };
        let advice = advise(&asked).expect("advice");
        assert_eq!(advice.suggestion.ip_allow.len(), ranges);
        assert_eq!(advice.kept.is_empty(), ranges > 0);
    }
}

#[test]
fn what_speaks_against_a_key_depends_on_its_ages() {
    let day = Duration::from_secs(86_400);
    let ages = Ages {
        unused: day * 7,
        idle: day * 90,
    };
    let now = Timestamp::from_millis(1_790_000_000_000);
    let admin = Grant::admin();
    let habits = Habits {
        created_at: now.minus(day * 100),
        last_used_at: Some(now),
        expires_at: Some(now.plus(day)),
        grant: &admin,
        used: Some(
            PermissionSet::of(SENSITIVE).union(PermissionSet::of(&[Permission::ChannelsRead])),
        ),
        left: None,
    };
    let judge = |habits: Habits<'_>| {
        let found = concerns(&habits, ages, now);
        found.iter().map(|c| c.code()).collect::<Vec<_>>()
    };
    assert_eq!(judge(habits), [""; 0]);
    let endless = Habits {
        expires_at: None,
        ..habits
    };
    assert_eq!(judge(endless), ["no_expiry"]);
    let never = Habits {
        last_used_at: None,
        ..habits
    };
    assert_eq!(judge(never), ["never_used"]);
    let young = Habits {
        created_at: now.minus(day * 6),
        ..never
    };
    assert_eq!(judge(young), [""; 0]);
    let idle = Habits {
        last_used_at: Some(now.minus(day * 90)),
        ..habits
    };
    assert_eq!(judge(idle), ["idle"]);
    let broad = Habits {
        used: Some(PermissionSet::NONE),
        ..habits
    };
    assert_eq!(judge(broad), ["over_broad"]);
    let unknown = Habits {
        used: None,
        ..broad
    };
    assert_eq!(judge(unknown), [""; 0]);
    let left = Habits {
        left: Some(Left::Removed),
        ..broad
    };
    assert_eq!(judge(left), ["maker_left", "over_broad"]);
    let text = Concern::OverBroad(PermissionSet::of(&[Permission::SecretsReveal])).text();
    assert_eq!(text, "the key holds `secrets:reveal` and does not use it");
}
