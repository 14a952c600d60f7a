//! Credentials and their order: bearers, `ADMIN_TOKEN`, `X-Org-Id`, and the deprecated tier 3.

use claviger_server::admin_token::AdminToken;
use serde_json::json;

use crate::{
    ask::exchange_head,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    two_authorization_headers_are_refused,
    bad_credential_is_not_ignored_for_a_weaker_one,
    only_the_whole_secret_learns_of_its_state,
    challenges_are_those_of_rfc_6750,
    origin_and_referer_are_no_credential,
    admin_token_acts_on_the_org_it_names,
    key_names_no_org_but_its_own,
    deleted_org_takes_its_keys_with_it,
    keys_of_the_admin_token_outlive_it,
    workspace_token_is_told_of_its_end,
    migration_page_of_the_link_is_there,
    workspace_tokens_can_be_turned_off,
    workspace_token_reaches_nothing_else,
);

const BARE: &str = "Bearer realm=\"claviger\"";

async fn two_authorization_headers_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let good = format!("Authorization: Bearer {}", key.secret);
    for second in [
        good.as_str(),
        "Authorization: Bearer x",
        "authorization: Basic YTpi",
    ] {
        let headers = ["Host: localhost", &good, second];
        let answer = exchange_head(&service, "GET /org/whoami", &headers).await;
        answer.problem(400, "two_credentials");
    }
}

async fn bad_credential_is_not_ignored_for_a_weaker_one(backend: Backend) {
    let service = Service::fresh(backend).await;
    service.ask("GET", "/org/whoami").send().await.ok(200);
    for (value, code) in [
        ("", "not_bearer"),
        ("Bearer", "not_bearer"),
        ("Bearer ", "not_bearer"),
        ("Basic YTpi", "not_bearer"),
        ("Bearer a b", "not_bearer"),
        ("Bearer mole_", "malformed_token"),
        ("Bearer mole_short", "malformed_token"),
        ("Bearer molw_short", "malformed_token"),
        ("Bearer anything-else", "unknown_token"),
        ("bearer anything-else", "unknown_token"),
    ] {
        let ask = service
            .ask("GET", "/org/whoami")
            .header("authorization", value);
        let answer = ask.send().await;
        answer.problem(401, code);
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    let other_brand = "Bearer sk_live_0123456789012345678901234567890123456789";
    let ask = service
        .ask("GET", "/org/whoami")
        .header("authorization", other_brand);
    ask.send().await.problem(401, "unknown_token");
    service.ask("GET", "/org/whoami").send().await.ok(200);
}

async fn only_the_whole_secret_learns_of_its_state(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    let whoami = async |token: &str| {
        let answer = service.ask_as(token, "GET", "/org/whoami").send().await;
        (answer.status, answer.code())
    };
    assert_eq!(whoami(&key.secret).await, (401, "token_revoked".to_owned()));
    let mut other_end = key.secret.clone();
    let last = other_end.pop().expect("54 characters");
    other_end.push(if last == '0' { '1' } else { '0' });
    let longer = format!("{}0", key.secret);
    for near in [
        &key.prefix,
        &key.secret[..53].to_owned(),
        &other_end,
        &longer,
    ] {
        assert_eq!(whoami(near).await, (401, "malformed_token".to_owned()));
    }
}

async fn challenges_are_those_of_rfc_6750(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let none = service.ask("GET", "/org/whoami").send().await;
    assert_eq!(none.header("www-authenticate"), Some(BARE));
    let unknown = service.ask_as("x", "GET", "/org/whoami").send().await;
    let expected =
        format!("{BARE}, error=\"invalid_token\", error_description=\"the token is not known\"");
    assert_eq!(unknown.header("www-authenticate"), Some(expected.as_str()));
    let forbidden = service.ask_as(&key.secret, "POST", "/workspaces");
    let forbidden = forbidden.json(&json!({"name": "w"})).send().await;
    forbidden.problem(403, "missing_permission");
    assert!(
        forbidden.json()["detail"]
            .as_str()
            .is_some_and(|t| t.contains("`workspaces:write`"))
    );
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    let revoked = service
        .ask_as(&key.secret, "GET", "/org/whoami")
        .send()
        .await;
    let expected =
        format!("{BARE}, error=\"invalid_token\", error_description=\"the key was revoked\"");
    assert_eq!(revoked.header("www-authenticate"), Some(expected.as_str()));
}

async fn origin_and_referer_are_no_credential(backend: Backend) {
    let service = Service::fresh(backend).await;
    let key = service.bootstrap().await;
    let own = format!("http://{}", service.address());
    let ask = service
        .ask("GET", "/org/whoami")
        .header("origin", &own)
        .header("referer", &own);
    ask.send().await.problem(401, "no_credential");
    let with_key = service.ask_as(&key.secret, "GET", "/org/whoami");
    with_key
        .header("origin", "https://elsewhere.example")
        .send()
        .await
        .ok(200);
}

async fn admin_token_acts_on_the_org_it_names(backend: Backend) {
    let service = Service::guarded(backend).await;
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let id = text(&org["id"]);
    let whoami = async |named: &str| {
        let ask = service
            .ask_as(ADMIN, "GET", "/org/whoami")
            .header("x-org-id", named);
        ask.send().await
    };
    let own = service.get(ADMIN, "/org/whoami").await;
    assert_eq!(
        (own["org"]["name"].as_str(), own["tier"].as_str()),
        (Some("default"), Some("2b"))
    );
    assert_eq!(own["actor"], "admin-token");
    for named in [id.as_str(), "acme"] {
        assert_eq!(whoami(named).await.ok(200)["org"]["id"], id.as_str());
    }
    for unknown in [
        "nowhere",
        "",
        "org_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        whoami(unknown).await.problem(400, "unknown_org");
    }
    let token = format!("Authorization: Bearer {ADMIN}");
    let twice = [
        "Host: localhost",
        &token,
        "X-Org-Id: acme",
        "X-Org-Id: default",
    ];
    let answer = exchange_head(&service, "GET /org/whoami", &twice).await;
    answer.problem(400, "unknown_org");
    let mint = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", "acme");
    let minted = mint.json(&json!({"name": "k"})).send().await.ok(201);
    let key = service
        .get(&text(&minted["auth_token"]), "/org/whoami")
        .await;
    assert_eq!(key["org"]["name"], "acme");
    assert_eq!(key["root"], "admin-token");
    let listed = service.get(ADMIN, "/org/tokens?status=all").await;
    assert_eq!(
        listed["tokens"],
        json!([]),
        "a key of another org is in the list"
    );
}

async fn key_names_no_org_but_its_own(backend: Backend) {
    let service = Service::guarded(backend).await;
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let own = service.get(&key.secret, "/org/whoami").await;
    let whoami = async |named: &str| {
        let ask = service
            .ask_as(&key.secret, "GET", "/org/whoami")
            .header("x-org-id", named);
        ask.send().await
    };
    whoami("default").await.ok(200);
    whoami(&text(&own["org"]["id"])).await.ok(200);
    let known = whoami(&text(&org["id"])).await.problem(403, "other_org");
    let unknown = whoami("nowhere").await.problem(403, "other_org");
    assert_eq!(known["detail"], unknown["detail"]);
}

async fn deleted_org_takes_its_keys_with_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let mint = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", "acme");
    let key = crate::service::Minted::of(&mint.json(&json!({"name": "k"})).send().await.ok(201));
    let workspace = service.workspace(&key.secret).await;
    let token = service.workspace_token(&key.secret, &workspace).await;
    let path = format!("/admin/orgs/{}", text(&org["id"]));
    let deleted = service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    assert_eq!(
        (
            &deleted["keys_revoked"],
            &deleted["workspace_tokens_revoked"]
        ),
        (&json!(1), &json!(1))
    );
    let ask = service.ask_as(&key.secret, "GET", "/org/whoami");
    ask.send().await.problem(401, "token_revoked");
    let under = format!("/workspaces/{workspace}/channels");
    service
        .ask_as(&token, "GET", &under)
        .send()
        .await
        .problem(401, "token_revoked");
    service
        .ask_as(ADMIN, "DELETE", &path)
        .send()
        .await
        .problem(404, "not_found");
    let ask = service
        .ask_as(ADMIN, "GET", "/org/whoami")
        .header("x-org-id", "acme");
    ask.send().await.problem(400, "unknown_org");
    let orgs = service.get(ADMIN, "/admin/orgs").await;
    let default = format!("/admin/orgs/{}", text(&orgs["orgs"][0]["id"]));
    service
        .ask_as(ADMIN, "DELETE", &default)
        .send()
        .await
        .problem(409, "refused");
}

async fn keys_of_the_admin_token_outlive_it(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    service.flags().config = None;
    service.flags().bootstrap = Some("any".to_owned());
    service.restart().await;
    service.get(&key.secret, "/org/whoami").await;
    let answer = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
    answer.problem(401, "unknown_token");
    let nobody = service.ask("GET", "/org/whoami").send().await;
    nobody.problem(401, "no_credential");
}

async fn workspace_token_is_told_of_its_end(backend: Backend) {
    let end = |date: &str| Some(date.to_owned());
    let service = Service::guarded_with(backend, |flags| {
        flags.workspace_tokens = end("2027-06-30T00:00:00Z");
    })
    .await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let base = format!("/workspaces/{workspace}");
    for (path, status) in [
        (format!("{base}/channels"), 200),
        (format!("{base}/channels/ch_nonsense"), 404),
        (base, 403),
        ("/nowhere".to_owned(), 403),
    ] {
        let answer = service.ask_as(&token, "GET", &path).send().await;
        assert_eq!(answer.status, status, "{path}");
        let since = answer
            .header("deprecation")
            .and_then(|text| text.strip_prefix('@'));
        let since: i64 = since.and_then(|text| text.parse().ok()).expect("RFC 9745");
        assert!(
            since * 1000 <= claviger_server::clock::now().millis(),
            "deprecated in the future"
        );
        assert_eq!(
            answer.header("sunset"),
            Some("Wed, 30 Jun 2027 00:00:00 GMT")
        );
        let link = answer.header("link").expect("a link");
        assert!(link.contains("rel=\"deprecation\""), "{link}");
    }
    let with_key = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
    for name in ["deprecation", "sunset", "link"] {
        assert_eq!(with_key.header(name), None);
    }
}

async fn migration_page_of_the_link_is_there(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let answer = service.ask_as(&token, "GET", "/nowhere").send().await;
    let link = answer.header("link").expect("a link");
    let page = link.trim_start_matches('<').split('>').next();
    let page = service.ask("GET", page.expect("a target")).send().await;
    assert_eq!(page.status, 200, "{link}: {}", page.text());
}

async fn workspace_tokens_can_be_turned_off(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    service.flags().workspace_tokens = Some("off".to_owned());
    service.restart().await;
    let path = format!("/workspaces/{workspace}/channels");
    service
        .ask_as(&token, "GET", &path)
        .send()
        .await
        .problem(401, "workspace_tokens_off");
    service.flags().workspace_tokens = Some("on".to_owned());
    service.restart().await;
    service.get(&token, &path).await;
}

async fn workspace_token_reaches_nothing_else(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let listed = service
        .get(ADMIN, &format!("/workspaces/{workspace}/tokens"))
        .await;
    let id = text(&listed["tokens"][0]["id"]);
    let absent = "/workspaces/ws_01ARZ3NDEKTSV4RRFFQ69G5FAV/channels";
    for path in [
        absent,
        "/workspaces/nonsense/channels",
        "/org/whoami",
        "/workspaces",
    ] {
        let answer = service.ask_as(&token, "GET", path).send().await;
        answer.problem(403, "outside_workspace_token");
    }
    let path = format!("/workspaces/{workspace}/tokens/{id}");
    service
        .ask_as(&token, "DELETE", &path)
        .send()
        .await
        .problem(403, "outside_workspace_token");
    service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    let under = format!("/workspaces/{workspace}/channels");
    service
        .ask_as(&token, "GET", &under)
        .send()
        .await
        .problem(401, "token_revoked");
    service.ask_as(ADMIN, "DELETE", &path).send().await;
}

#[tokio::test]
async fn weak_admin_token_stops_the_start_with_the_command_that_makes_a_good_one() {
    for (token, words) in [
        ("short", "has 5 characters and needs at least 32"),
        ("0123456789abcdef0123456789abcde", "has 31 characters"),
        (
            "a token with spaces that is long enough to pass",
            "may hold only",
        ),
        ("mole_0123456789abcdef0123456789abcdef", "begins like a key"),
        ("molw_0123456789abcdef0123456789abcdef", "begins like a key"),
        ("", "has 0 characters"),
    ] {
        let mut service = Service::stopped(Backend::Sqlite);
        service.set_admin_token(token);
        let error = service.start().await.expect_err(token).to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.contains("openssl rand -hex 32"), "{error}");
        assert!(
            token.is_empty() || !error.contains(token),
            "the token is in the words"
        );
    }
}

#[test]
fn admin_token_file_is_read_again_and_a_bad_one_leaves_the_old() {
    let mut service = Service::stopped(Backend::Sqlite);
    service.set_admin_token(ADMIN);
    let holder = AdminToken::new(&service.config()).expect("a good token");
    let next = "another-token-of-enough-characters-0123456789";
    assert!(holder.matches(ADMIN) && !holder.matches(next) && !holder.matches(""));
    std::fs::write(service.admin_token_file(), next).expect("a file");
    holder.reload().expect("a good token");
    assert!(holder.matches(next) && !holder.matches(ADMIN));
    std::fs::write(service.admin_token_file(), "weak").expect("a file");
    holder.reload().expect_err("a weak token");
    assert!(holder.matches(next) && !holder.matches("weak"));
    std::fs::remove_file(service.admin_token_file()).expect("the file");
    holder.reload().expect_err("no file");
    assert!(holder.matches(next) && holder.is_set());
}
