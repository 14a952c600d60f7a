//! What a key may hand on, and on which other keys it may act.

use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Minted, Service, text};

on_each_database!(
    omitted_fields_are_inherited,
    asking_for_more_names_the_field,
    expiry_is_inherited_and_never_exceeded,
    narrowing_an_ancestor_narrows_nothing_less,
    key_revokes_itself_with_a_narrow_grant,
    narrow_key_does_not_act_on_a_wider_one,
    key_acts_on_its_descendants,
    endpoints_and_addresses_limit_a_key,
    unusable_grants_are_refused_by_field,
    workspace_token_is_within_its_makers_grant,
    workspace_token_dies_with_the_key_that_made_it,
    endpoints_bound_the_revocation_of_others,
);

async fn refused_field(service: &Service, by: &Minted, body: &Value) -> String {
    let ask = service.ask_as(&by.secret, "POST", "/org/tokens").json(body);
    ask.send().await.field(403, "beyond_minter")
}

async fn omitted_fields_are_inherited(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let narrow = json!({
        "name": "narrow",
        "permissions": ["org.tokens:mint", "channels:*"],
        "workspaces": [workspace],
        "ip_allow": ["127.0.0.0/8"],
    });
    let by = service.mint(ADMIN, narrow).await;
    let child = service
        .make(&by.secret, "/org/tokens", json!({"name": "child"}))
        .await;
    let own = service.get(&by.secret, "/org/whoami").await;
    assert_eq!(child["grant"], own["grant"]);
    assert_eq!(child["grant"]["workspaces"], json!([workspace]));
    assert_eq!(child["grant"]["ip_allow"], json!(["127.0.0.0/8"]));
    let whole = service
        .make(ADMIN, "/org/tokens", json!({"name": "whole"}))
        .await;
    assert_eq!(
        whole["grant"],
        json!({"permissions": ["*"], "workspaces": "*"})
    );
}

async fn asking_for_more_names_the_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (mine, other) = (
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    );
    let narrow = json!({
        "name": "narrow",
        "permissions": ["org.tokens:*", "channels:read"],
        "workspaces": [mine],
        "endpoints": ["POST /org/tokens", "GET /workspaces/*/channels"],
        "ip_allow": ["127.0.0.0/8"],
    });
    let by = service.mint(ADMIN, narrow).await;
    for (field, value) in [
        ("permissions", json!(["channels:write"])),
        ("permissions", json!(["*"])),
        ("permissions", json!(["channels:*"])),
        ("workspaces", json!("*")),
        ("workspaces", json!([other])),
        ("workspaces", json!([mine, other])),
        ("workspaces", json!({"labels": {"a": "b"}})),
        ("endpoints", json!([])),
        ("endpoints", json!(["GET /**"])),
        ("ip_allow", json!([])),
        ("ip_allow", json!(["0.0.0.0/0"])),
    ] {
        let body = json!({"name": "n", field: value});
        assert_eq!(refused_field(&service, &by, &body).await, field, "{body}");
    }
    let preset = json!({"name": "n", "preset": "admin"});
    let named = refused_field(&service, &by, &preset).await;
    assert!(
        ["preset", "permissions"].contains(&named.as_str()),
        "{named}"
    );
    let less = json!({"name": "less", "permissions": ["channels:read"]});
    service.mint(&by.secret, less).await;
    let listed = service.get(ADMIN, "/org/tokens?status=all").await;
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(2));
}

async fn expiry_is_inherited_and_never_exceeded(backend: Backend) {
    let service = Service::guarded(backend).await;
    let by = service
        .make(
            ADMIN,
            "/org/tokens",
            json!({"name": "by", "expires_in": "1h"}),
        )
        .await;
    let ends = text(&by["expires_at"]);
    let by = Minted::of(&by);
    let child = service
        .make(&by.secret, "/org/tokens", json!({"name": "child"}))
        .await;
    assert_eq!(child["expires_at"], ends.as_str());
    let sooner = json!({"name": "sooner", "expires_in": "90s"});
    let sooner = service.make(&by.secret, "/org/tokens", sooner).await;
    assert!(text(&sooner["expires_at"]) < ends);
    for (field, value) in [("expires_in", "2h"), ("expires_at", "2199-01-01T00:00:00Z")] {
        let body = json!({"name": "later", field: value});
        assert_eq!(refused_field(&service, &by, &body).await, field);
    }
    for (field, value) in [
        ("expires_in", "0s"),
        ("expires_in", "-1h"),
        ("expires_in", "soon"),
        ("expires_in", "99999999999999999999d"),
        ("expires_at", "2001-01-01T00:00:00Z"),
        ("expires_at", "tomorrow"),
        ("not_before", "whenever"),
    ] {
        let ask = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .json(&json!({"name": "n", field: value}));
        assert_eq!(
            ask.send().await.field(422, "out_of_range"),
            field,
            "{value}"
        );
    }
    let both = json!({"name": "n", "expires_in": "1h", "expires_at": "2199-01-01T00:00:00Z"});
    let ask = service.ask_as(ADMIN, "POST", "/org/tokens").json(&both);
    assert_eq!(ask.send().await.field(422, "out_of_range"), "expires_in");
    let later = json!({"name": "n", "not_before": "2199-01-01T00:00:00Z"});
    let later = service.mint(ADMIN, later).await;
    let answer = service
        .ask_as(&later.secret, "GET", "/org/whoami")
        .send()
        .await;
    answer.problem(401, "token_not_yet_valid");
    assert_eq!(
        service.get(ADMIN, &later.path()).await["status"],
        "not_yet_valid"
    );
}

async fn narrowing_an_ancestor_narrows_nothing_less(backend: Backend) {
    let service = Service::guarded(backend).await;
    let ends = claviger_server::clock::now().plus(std::time::Duration::from_millis(500));
    let root = json!({"name": "root", "expires_at": ends.to_string()});
    let root = service.mint(ADMIN, root).await;
    let child = service.mint(&root.secret, json!({"name": "child"})).await;
    let whoami = |service: &Service| service.ask_as(&child.secret, "GET", "/org/whoami");
    let end = service.until(whoami, |answer| answer.status != 200).await;
    end.problem(401, "token_expired");
}

async fn key_revokes_itself_with_a_narrow_grant(backend: Backend) {
    let service = Service::guarded(backend).await;
    let narrow =
        json!({"name": "n", "permissions": ["channels:read"], "endpoints": ["GET /workspaces"]});
    let key = service.mint(ADMIN, narrow).await;
    let other = service
        .mint(
            ADMIN,
            json!({"name": "o", "permissions": ["channels:read"]}),
        )
        .await;
    service.get(&key.secret, "/org/whoami").await;
    let answer = service
        .ask_as(&key.secret, "DELETE", &other.path())
        .send()
        .await;
    answer.problem(403, "missing_permission");
    let ended = service
        .ask_as(&key.secret, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    assert_eq!(ended["prefixes"], json!([key.prefix]));
    let again = service
        .ask_as(&key.secret, "DELETE", &key.path())
        .send()
        .await;
    again.problem(401, "token_revoked");
    assert_eq!(
        service.get(ADMIN, &key.path()).await["revoked_by"],
        key.actor()
    );
    service.get(&other.secret, "/org/whoami").await;
}

async fn narrow_key_does_not_act_on_a_wider_one(backend: Backend) {
    let service = Service::guarded(backend).await;
    let narrow = json!({"name": "narrow", "permissions": ["org.tokens:*", "channels:read"]});
    let by = service.mint(ADMIN, narrow).await;
    let wide = service.mint(ADMIN, json!({"name": "wide"})).await;
    let less = service
        .mint(
            ADMIN,
            json!({"name": "less", "permissions": ["channels:read"]}),
        )
        .await;
    let act = async |method: &str, key: &Minted| {
        let ask = service.ask_as(&by.secret, method, &key.path());
        if method == "PATCH" {
            ask.json(&json!({"name": "mine"}))
        } else {
            ask
        }
        .send()
        .await
    };
    for method in ["PATCH", "DELETE"] {
        act(method, &wide).await.problem(403, "wider_key");
        act(method, &less).await.ok(200);
    }
    let kept = service.get(&wide.secret, &wide.path()).await;
    assert_eq!(
        (&kept["name"], &kept["status"]),
        (&json!("wide"), &json!("active"))
    );
}

async fn key_acts_on_its_descendants(backend: Backend) {
    let service = Service::guarded(backend).await;
    let by = service
        .mint(ADMIN, json!({"name": "by", "preset": "admin"}))
        .await;
    let child = service.mint(&by.secret, json!({"name": "child"})).await;
    let grandchild = service
        .mint(&child.secret, json!({"name": "grandchild"}))
        .await;
    // A child is no narrower than its parent here, and so may act on it too, but not on a wider one.
    let bound = json!({"name": "bound", "permissions": ["org.tokens:*"]});
    let bound = service.mint(&grandchild.secret, bound).await;
    let answer = service
        .ask_as(&bound.secret, "DELETE", &child.path())
        .send()
        .await;
    answer.problem(403, "wider_key");
    service
        .ask_as(&by.secret, "DELETE", &grandchild.path())
        .send()
        .await
        .ok(200);
    let dead = service
        .ask_as(&bound.secret, "GET", "/org/whoami")
        .send()
        .await;
    dead.problem(401, "token_revoked");
    service.get(&child.secret, "/org/whoami").await;
}

async fn endpoints_and_addresses_limit_a_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let limited = json!({"name": "n", "endpoints": ["GET /workspaces/*/channels"]});
    let limited = service.mint(ADMIN, limited).await;
    let base = format!("/workspaces/{workspace}");
    service
        .get(&limited.secret, &format!("{base}/channels"))
        .await;
    let answer = service.ask_as(&limited.secret, "GET", &base).send().await;
    answer.problem(403, "outside_endpoints");
    service.get(&limited.secret, "/org/whoami").await;
    let far = json!({"name": "far", "ip_allow": ["192.0.2.0/24"]});
    let far = service.mint(ADMIN, far).await;
    let ask = service
        .ask_as(&far.secret, "GET", "/org/whoami")
        .header("x-forwarded-for", "192.0.2.1");
    ask.send().await.problem(403, "outside_addresses");
}

async fn unusable_grants_are_refused_by_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (field, value) in [
        ("permissions", json!(["channels:fly"])),
        ("permissions", json!([""])),
        ("preset", json!("king")),
        ("workspaces", json!("all")),
        ("workspaces", json!(["tok_01ARZ3NDEKTSV4RRFFQ69G5FAV"])),
        ("workspaces", json!({"labels": {"a b": "c"}})),
        ("endpoints", json!(["GET x"])),
        ("endpoints", json!(["GET /a/../b"])),
        ("ip_allow", json!(["everywhere"])),
        ("ip_allow", json!(["10.0.0.0/33"])),
        ("metadata", json!({"a b": "c"})),
    ] {
        let ask = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .json(&json!({"name": "n", field: value}));
        let named = ask.send().await.field(422, "out_of_range");
        assert!(named.starts_with(field), "{field} {value}: {named}");
    }
    let both = json!({"name": "n", "preset": "reader", "permissions": ["*"]});
    let ask = service.ask_as(ADMIN, "POST", "/org/tokens").json(&both);
    assert_eq!(ask.send().await.field(422, "out_of_range"), "preset");
    let listed = service.get(ADMIN, "/org/tokens?status=all").await;
    assert_eq!(listed["tokens"], json!([]));
}

async fn workspace_token_is_within_its_makers_grant(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let grant = json!({"name": "k", "permissions": ["org:admin"], "workspaces": [workspace]});
    let key = service.mint(ADMIN, grant).await;
    let path = format!("/workspaces/{workspace}/tokens");
    let answer = service.ask_as(&key.secret, "POST", &path).send().await;
    assert_eq!(answer.field(403, "beyond_minter"), "permissions");
}

async fn workspace_token_dies_with_the_key_that_made_it(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let maker = service.mint(ADMIN, json!({"name": "maker"})).await;
    let by_key = service.workspace_token(&maker.secret, &workspace).await;
    let by_org = service.workspace_token(ADMIN, &workspace).await;
    let path = format!("/workspaces/{workspace}/secrets");
    let own = service.ask_as(&by_key, "PUT", &path);
    let own = own.json(&json!({"key": "A", "value": "a"})).send().await;
    own.ok(200);
    let end = service.ask_as(ADMIN, "DELETE", &maker.path());
    end.send().await.ok(200);
    for _ in 0..2 {
        let refused = service.ask_as(&by_key, "GET", &path).send().await;
        refused.problem(401, "minter_inactive");
        service.get(&by_org, &path).await;
        service.restart().await;
    }
}

async fn endpoints_bound_the_revocation_of_others(backend: Backend) {
    let service = Service::guarded(backend).await;
    let victim = json!({"name": "v", "permissions": [], "endpoints": ["GET /workspaces"]});
    let victim = service.mint(ADMIN, victim).await;
    let grant = json!({"name": "k", "permissions": ["org.tokens:revoke"], "endpoints": ["GET /workspaces"]});
    let key = service.mint(ADMIN, grant).await;
    let ask = service.ask_as(&key.secret, "DELETE", &victim.path());
    ask.send().await.problem(403, "outside_endpoints");
    let ask = service.ask_as(&key.secret, "DELETE", &key.path());
    ask.send().await.ok(200);
}
