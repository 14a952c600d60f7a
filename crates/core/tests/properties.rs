//! What must hold for every grant, every line of keys and every path. How many cases are tried is set by
//! `PROPTEST_CASES`; `./check --nightly` tries 100,000 of each.

#![expect(clippy::expect_used, reason = "a test says by a panic what is wrong")]

use std::{net::IpAddr, sync::Arc, time::Duration};

use claviger_core::{
    action::{
        Action, ChangeWorkspace, ListSecrets, MintKey, ReadAudit, ReadWorkspace, RevealSecrets,
        RevokeKey, WhoAmI, WritePolicy,
    },
    authorize::{Facts, authorize},
    delegation,
    endpoint::Endpoint,
    grant::{Delegation, Grant, Labels, RateLimit, WorkspaceFacts, Workspaces},
    id::{KeyId, OrgId, WorkspaceId},
    key::{OrgKey, OwnSecret},
    path::normalise,
    permission::{Permission, PermissionSet},
    tier::{Actor, Authority, Minter, Principal, Tier},
    time::Timestamp,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
    sample::select,
};

fn labels() -> impl Strategy<Value = Labels> {
    let value = select(vec!["a", "b"]).prop_map(str::to_owned);
    btree_map(
        select(vec!["agent", "stage"]).prop_map(str::to_owned),
        value,
        1..3,
    )
}

fn workspaces() -> impl Strategy<Value = Workspaces> {
    prop_oneof![
        3 => Just(Workspaces::All),
        3 => vec(0_u128..4, 0..4).prop_map(|ids| Workspaces::Ids(ids.into_iter().map(WorkspaceId::from_u128).collect())),
        2 => labels().prop_map(Workspaces::Labels),
    ]
}

fn permissions() -> impl Strategy<Value = PermissionSet> {
    prop_oneof![
        2 => Just(PermissionSet::ALL),
        1 => select(vec!["reader", "editor"]).prop_map(|name| PermissionSet::preset(name).expect("a preset")),
        3 => vec(select(Permission::ALL), 0..9).prop_map(|some| PermissionSet::of(&some)),
    ]
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let patterns = vec![
        "GET /workspaces/*",
        "* /workspaces/**",
        "GET /workspaces/*/secrets",
        "* /**",
        "POST /org/tokens",
        "GET /org/*",
        "DELETE /workspaces/*/secrets/*",
    ];
    prop_oneof![
        2 => Just(Vec::new()),
        1 => vec(select(patterns).prop_map(|text| text.parse().expect("a pattern")), 1..4),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    let nets = vec![
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3/32",
        "2001:db8::/32",
        "::/0",
    ];
    let ranges = vec(
        select(nets).prop_map(|text| text.parse().expect("a range")),
        0..3,
    );
    let limits = (option::of(1_u32..9), option::of(1_u32..9));
    let bounds = (
        option::of(0_u32..4),
        option::of(1_u32..9),
        option::of(1_u64..9000),
    );
    (
        permissions(),
        workspaces(),
        endpoints(),
        option::of(0_i64..9),
        ranges,
        (limits, bounds),
    )
        .prop_map(
            |(permissions, workspaces, endpoints, not_before, ip_allow, (limits, bounds))| Grant {
                permissions,
                workspaces,
                endpoints,
                not_before: not_before.map(Timestamp::from_millis),
                ip_allow,
                rate_limit: RateLimit {
                    per_minute: limits.0,
                    per_day: limits.1,
                },
                delegation: Delegation {
                    depth: bounds.0,
                    keys: bounds.1,
                    lifetime: bounds.2.map(Duration::from_secs),
                },
            },
        )
}

/// Another grant that has most fields of this one: of two at random one hardly ever covers the other.
fn near(grant: &Grant, other: Grant, keeps: u8) -> Grant {
    let keep = |bit: u8| keeps & (1 << bit) != 0;
    let pick = |bit| if keep(bit) { grant } else { &other };
    Grant {
        permissions: pick(0).permissions,
        workspaces: pick(1).workspaces.clone(),
        endpoints: pick(2).endpoints.clone(),
        not_before: pick(3).not_before,
        ip_allow: pick(4).ip_allow.clone(),
        rate_limit: pick(5).rate_limit,
        delegation: pick(6).delegation,
    }
}

/// A grant and one that is near it.
fn pair() -> impl Strategy<Value = (Grant, Grant)> {
    let keeps =
        vec(0_u8..7, 0..3).prop_map(|gone| gone.iter().fold(127, |all, bit| all & !(1 << bit)));
    (grant(), grant(), keeps).prop_map(|(one, other, keeps)| {
        let near = near(&one, other, keeps);
        (one, near)
    })
}

/// A request, but for who asks.
#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    path: &'static str,
    workspace: u128,
    labels: Option<Labels>,
    client: IpAddr,
}

fn asked() -> impl Strategy<Value = Asked> {
    let paths = vec![
        "/workspaces/ws_1",
        "/workspaces/ws_1/secrets",
        "/workspaces/ws_1/secrets/A",
        "/org/tokens",
        "/org/audit",
        "/",
    ];
    let clients = vec![
        "10.1.2.3",
        "10.9.0.1",
        "192.0.2.1",
        "2001:db8::1",
        "::ffff:10.1.2.3",
    ];
    let client = select(clients).prop_map(|text| text.parse().expect("an address"));
    (
        select(vec!["GET", "POST", "DELETE"]),
        select(paths),
        0_u128..5,
        option::of(labels()),
        client,
    )
        .prop_map(|(method, path, workspace, labels, client)| Asked {
            method,
            path,
            workspace,
            labels,
            client,
        })
}

fn principal(authority: Authority) -> Arc<Principal> {
    Arc::new(Principal {
        tier: Tier::OrgKey,
        org: OrgId::from_u128(1),
        actor: Actor::Anonymous,
        key: None,
        minter: None,
        own_workspace: None,
        replaced_until: None,
        impersonator: None,
        session: None,
        is_break_glass: false,
        authority,
    })
}

fn may<A: Action>(authority: &Authority, asked: &Asked) -> bool {
    let principal = principal(authority.clone());
    let workspace = WorkspaceFacts {
        id: WorkspaceId::from_u128(asked.workspace),
        labels: asked.labels.as_ref(),
    };
    let facts = Facts {
        principal: &principal,
        workspace: Some(workspace),
        method: asked.method,
        path: asked.path,
        client: asked.client,
    };
    authorize::<A>(&facts).is_ok()
}

/// Which of a number of actions of every kind are allowed.
fn allowed(authority: &Authority, asked: &Asked) -> [bool; 10] {
    [
        may::<WhoAmI>(authority, asked),
        may::<MintKey>(authority, asked),
        may::<RevokeKey>(authority, asked),
        may::<ReadWorkspace>(authority, asked),
        may::<ChangeWorkspace>(authority, asked),
        may::<ListSecrets>(authority, asked),
        may::<RevealSecrets>(authority, asked),
        may::<ReadAudit>(authority, asked),
        may::<WritePolicy>(authority, asked),
        may::<claviger_core::action::WriteSecrets>(authority, asked),
    ]
}

fn is_within(inner: [bool; 10], outer: [bool; 10]) -> bool {
    inner
        .iter()
        .zip(outer)
        .all(|(inner, outer)| !inner || outer)
}

fn of(grants: &[Grant]) -> Authority {
    Authority::of(grants.iter().cloned().map(Arc::new).collect())
}

fn key(grant: Grant, expires_at: Option<i64>) -> OrgKey {
    OrgKey {
        id: KeyId::from_u128(1),
        org: OrgId::from_u128(1),
        name: "k".to_owned(),
        prefix: "mole_a1b2c3d4".parse().expect("a prefix"),
        minter: Minter {
            created_by: Actor::AdminToken,
            root: Actor::AdminToken,
            chain: Vec::new(),
        },
        created_at: Timestamp::from_millis(0),
        expires_at: expires_at.map(Timestamp::from_millis),
        grant,
        metadata: [].into(),
        suspension: None,
        resumed_at: None,
        revocation: None,
        last_use: None,
        secret: OwnSecret {
            since: Timestamp::from_millis(0),
            last_use: None,
        },
        rotate_every: None,
    }
}

proptest! {
    #[test]
    fn attenuation_never_widens((wide, narrow) in pair(), asked in asked()) {
        // What may be minted below a key can do nothing that the key cannot, even by itself.
        if wide.covers(&narrow).is_ok() {
            assert!(is_within(allowed(&of(&[narrow]), &asked), allowed(&of(&[wide]), &asked)));
        }
    }

    #[test]
    fn covering_is_transitive((one, two) in pair(), third in grant(), keeps in select(vec![0_u8, 126, 125, 123, 111, 63])) {
        let three = near(&two, third, keeps);
        if one.covers(&two).is_ok() && two.covers(&three).is_ok() {
            assert_eq!(one.covers(&three), Ok(()));
        }
    }

    #[test]
    fn descendant_is_within_each_ancestor(line in vec(grant(), 1..6), asked in asked()) {
        // Nearest first, and narrowed at any time after the mint: whatever the grants came to be.
        let own = allowed(&of(&line), &asked);
        for above in 0..line.len() {
            let ancestor = line.get(above..).expect("a part");
            assert!(is_within(own, allowed(&of(ancestor), &asked)));
        }
        for layer in &line {
            assert!(is_within(own, allowed(&of(std::slice::from_ref(layer)), &asked)));
        }
    }

    #[test]
    fn policy_only_takes_away(line in vec(grant(), 1..4), ceiling in grant(), asked in asked()) {
        let free = of(&line);
        let under = free.clone().under(Some(Arc::new(ceiling.clone())));
        let cut = allowed(&under, &asked);
        assert!(is_within(cut, allowed(&free, &asked)));
        assert!(is_within(cut, allowed(&of(&[ceiling]), &asked)));
    }

    #[test]
    fn key_that_lives_on_gets_no_wider((parent, child) in pair(), heir in option::of(grant()), asked in asked(),
        ends in (option::of(0_i64..3), option::of(0_i64..3), option::of(0_i64..3))) {
        let (child, parent) = (key(child, ends.0), key(parent, ends.1));
        let heir = heir.map(|grant| key(grant, ends.2));
        if delegation::can_live_on(&child, &parent, heir.as_ref()).is_ok() {
            let above = heir.iter().map(|heir| heir.grant.clone());
            let before: Vec<_> = [child.grant.clone(), parent.grant].into_iter().chain(above.clone()).collect();
            let after: Vec<_> = std::iter::once(child.grant).chain(above).collect();
            assert_eq!(allowed(&of(&after), &asked), allowed(&of(&before), &asked));
            let never = Timestamp::MAX;
            assert!(child.expires_at.unwrap_or(never) <= parent.expires_at.unwrap_or(never));
        }
    }

    #[test]
    fn bounds_of_delegation_only_grow_tighter(line in vec(grant(), 1..6), seconds in option::of(1_u64..10_000)) {
        // What a key may beget, each key above it might beget in its place.
        let lifetime = seconds.map(Duration::from_secs);
        if delegation::check(&of(&line), lifetime).is_ok() {
            for above in 1..line.len() {
                let ancestor = line.get(above..).expect("a part");
                assert_eq!(delegation::check(&of(ancestor), lifetime), Ok(()));
            }
        }
    }

    #[test]
    fn parsing_inverts_printing(grant in grant()) {
        assert_eq!(Grant::from_json(&grant.to_json()), Ok(grant));
    }

    #[test]
    fn path_that_is_read_has_one_reading(raw in prop_oneof![
        "/[ -~]{0,40}", "/([a-z.]{0,3}/){0,3}[a-z%0-9A-F./;\\\\]{0,20}", any::<String>(),
    ]) {
        if let Ok(path) = normalise(&raw) {
            assert!(path.starts_with('/'));
            assert!(!path.contains(['\\', ';', '%']) && !path.contains("//"));
            assert!(!path.chars().any(char::is_control));
            assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            // Read again it is the same, so whoever routes, decides or records sees one text.
            assert_eq!(normalise(&path).as_deref(), Ok(&*path));
            // However else it is written, as far as that is read at all, it is this text.
            let encoded: String = path
                .bytes()
                .map(|byte| match byte {
                    b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
                    other => format!("%{other:02x}"),
                })
                .collect();
            assert_eq!(normalise(&encoded).as_deref(), Ok(&*path));
        }
    }
}
