//! Tier 0: open to this machine until the first key, and never again.

use claviger_wire::headers::FORWARDING;
use serde_json::json;

use crate::{
    ask::exchange_head,
    service::{Backend, Service, logged},
};

on_each_database!(
    first_mint_needs_no_credential_and_closes_the_tier,
    each_forwarding_header_keeps_it_shut,
    only_a_loopback_host_opens_it,
    pages_of_other_sites_cannot_use_it,
    second_fetch_site_header_is_not_overlooked,
    any_takes_a_forwarded_request_but_none_of_a_page,
    off_and_public_settings_keep_it_shut,
    admin_token_keeps_it_shut,
    restart_does_not_reopen_it,
    end_of_every_key_and_workspace_does_not_reopen_it,
    wiped_database_does_not_reopen_it,
    restored_data_directory_does_not_reopen_it,
    of_racing_first_mints_one_wins,
    each_use_is_logged_as_a_warning,
    refused_mint_leaves_it_open,
);

/// Whether a plain local request is let in.
async fn is_open(service: &Service) -> bool {
    let answer = service.ask("GET", "/org/whoami").send().await;
    match answer.status {
        200 => true,
        401 => {
            answer.problem(401, "no_credential");
            false
        }
        other => panic!("{other}: {}", answer.text()),
    }
}

async fn first_mint_needs_no_credential_and_closes_the_tier(backend: Backend) {
    let service = Service::fresh(backend).await;
    let whoami = service.ask("GET", "/org/whoami").send().await.ok(200);
    assert_eq!(
        (whoami["actor"].as_str(), whoami["tier"].as_str()),
        (Some("bootstrap"), Some("0"))
    );
    assert_eq!(whoami["key"], json!(null));
    let minted = service
        .ask("POST", "/org/tokens")
        .json(&json!({"name": "first"}))
        .send()
        .await;
    let minted = minted.ok(201);
    assert_eq!(minted["created_by"], "bootstrap");
    assert_eq!(
        minted["grant"],
        json!({"permissions": ["*"], "workspaces": "*"})
    );
    assert!(!is_open(&service).await);
    let again = service
        .ask("POST", "/org/tokens")
        .json(&json!({"name": "second"}));
    again.send().await.problem(401, "no_credential");
    let key = crate::service::Minted::of(&minted);
    let keys = service.get(&key.secret, "/org/tokens?status=all").await;
    assert_eq!(keys["tokens"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys["tokens"][0]["parent_id"], json!(null));
}

async fn each_forwarding_header_keeps_it_shut(backend: Backend) {
    let service = Service::fresh(backend).await;
    for name in FORWARDING {
        for value in ["127.0.0.1", ""] {
            let ask = service.ask("POST", "/org/tokens").header(name, value);
            let answer = ask.json(&json!({"name": "n"})).send().await;
            assert_eq!(answer.code(), "no_credential", "{name}: {value}");
        }
    }
    assert!(is_open(&service).await);
}

async fn only_a_loopback_host_opens_it(backend: Backend) {
    let service = Service::fresh(backend).await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:80",
        "127.8.8.8",
        "[::1]:8080",
    ] {
        let header = format!("Host: {host}");
        let answer = exchange_head(&service, "GET /org/whoami", &[&header]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in [
        "keys.example.com",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:10.0.0.1]",
        "127.1",
        "localhost@example.com",
        "",
    ] {
        let header = format!("Host: {host}");
        let answer = exchange_head(&service, "GET /org/whoami", &[&header]).await;
        assert!(
            matches!(answer.status, 400 | 401),
            "{host}: {}",
            answer.text()
        );
    }
    let two = ["Host: localhost", "Host: localhost"];
    let answer = exchange_head(&service, "GET /org/whoami", &two).await;
    assert!(matches!(answer.status, 400 | 401), "{}", answer.text());
    let none = exchange_head(&service, "GET /org/whoami", &[]).await;
    assert!(matches!(none.status, 400 | 401), "{}", none.text());
    let absolute = "GET http://keys.example.com/org/whoami";
    let answer = exchange_head(&service, absolute, &["Host: localhost"]).await;
    assert!(matches!(answer.status, 400 | 401), "{}", answer.text());
    assert!(is_open(&service).await);
}

async fn pages_of_other_sites_cannot_use_it(backend: Backend) {
    let service = Service::fresh(backend).await;
    let own = format!("http://{}", service.address());
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", own.as_str()),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "something-new"),
        ("sec-fetch-site", ""),
    ] {
        let answer = service
            .ask("GET", "/org/whoami")
            .header(name, value)
            .send()
            .await;
        assert_eq!(answer.code(), "no_credential", "{name}: {value}");
    }
    for value in ["same-origin", "none"] {
        let ask = service
            .ask("GET", "/org/whoami")
            .header("sec-fetch-site", value);
        ask.send().await.ok(200);
    }
}

async fn second_fetch_site_header_is_not_overlooked(backend: Backend) {
    let service = Service::fresh(backend).await;
    let twice = [
        "Host: localhost",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Site: cross-site",
    ];
    let answer = exchange_head(&service, "GET /org/whoami", &twice).await;
    answer.problem(401, "no_credential");
}

async fn any_takes_a_forwarded_request_but_none_of_a_page(backend: Backend) {
    let service = Service::with(backend, |flags| flags.bootstrap = Some("any".to_owned())).await;
    let forwarded = service
        .ask("GET", "/org/whoami")
        .header("x-forwarded-for", "192.0.2.1");
    forwarded
        .header("host", "keys.example.com")
        .send()
        .await
        .ok(200);
    let page = service
        .ask("GET", "/org/whoami")
        .header("origin", "https://evil.example");
    page.send().await.problem(401, "no_credential");
    service.bootstrap().await;
    assert!(!is_open(&service).await);
}

async fn off_and_public_settings_keep_it_shut(backend: Backend) {
    let public = |url: &str| Some(url.to_owned());
    let mut service =
        Service::with(backend, |flags| flags.bootstrap = Some("off".to_owned())).await;
    assert!(!is_open(&service).await);
    for asked in [None, Some("loopback".to_owned())] {
        service.stop().await;
        service.flags().bootstrap.clone_from(&asked);
        service.flags().public_url = public("https://keys.example.com");
        service.start().await.expect("the server starts");
        assert!(
            !is_open(&service).await,
            "{asked:?} beside a public address"
        );
        service.stop().await;
        service.flags().public_url = None;
        service.flags().listen = public("0.0.0.0:0");
        service.start().await.expect("the server starts");
        let port = service.address().replace("0.0.0.0", "127.0.0.1");
        let asked_again = reqwest::get(format!("http://{port}/org/whoami")).await;
        assert_eq!(
            asked_again.expect("an answer").status().as_u16(),
            401,
            "{asked:?}"
        );
        service.flags().listen = public("127.0.0.1:0");
    }
    service.stop().await;
    service.flags().bootstrap = None;
    service.start().await.expect("the server starts");
    assert!(is_open(&service).await);
}

async fn admin_token_keeps_it_shut(backend: Backend) {
    let service = Service::guarded_with(backend, |flags| flags.bootstrap = Some("any".to_owned()));
    assert!(!is_open(&service.await).await);
}

async fn restart_does_not_reopen_it(backend: Backend) {
    let mut service = Service::fresh(backend).await;
    service.restart().await;
    assert!(is_open(&service).await);
    let key = service.bootstrap().await;
    service.restart().await;
    assert!(!is_open(&service).await);
    service.get(&key.secret, "/org/whoami").await;
}

async fn end_of_every_key_and_workspace_does_not_reopen_it(backend: Backend) {
    let mut service = Service::fresh(backend).await;
    let key = service.bootstrap().await;
    let workspace = service.workspace(&key.secret).await;
    let path = format!("/workspaces/{workspace}");
    service
        .ask_as(&key.secret, "DELETE", &path)
        .send()
        .await
        .ok(200);
    assert!(!is_open(&service).await);
    service
        .ask_as(&key.secret, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    assert!(!is_open(&service).await);
    service.restart().await;
    assert!(!is_open(&service).await);
}

async fn wiped_database_does_not_reopen_it(backend: Backend) {
    let mut service = Service::fresh(backend).await;
    service.bootstrap().await;
    service.wipe_database().await;
    service.start().await.expect("the server starts");
    assert!(!is_open(&service).await);
    service.restart().await;
    assert!(!is_open(&service).await);
}

async fn restored_data_directory_does_not_reopen_it(backend: Backend) {
    let mut service = Service::fresh(backend).await;
    service.bootstrap().await;
    service.stop().await;
    std::fs::remove_file(service.data_dir().join("bootstrap-closed")).expect("the mark");
    service.start().await.expect("the server starts");
    assert!(!is_open(&service).await);
}

async fn of_racing_first_mints_one_wins(backend: Backend) {
    let service = Service::fresh(backend).await;
    let mint = |at: usize| {
        let ask = service
            .ask("POST", "/org/tokens")
            .json(&json!({"name": format!("racer {at}")}));
        ask.send()
    };
    let answers = futures_util::future::join_all((0..24).map(mint)).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(won.len(), 1);
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(lost.status, 401, "{}", lost.text());
        assert_eq!(
            lost.header("www-authenticate"),
            Some("Bearer realm=\"claviger\"")
        );
    }
    let key = crate::service::Minted::of(&won[0].json());
    let keys = service.get(&key.secret, "/org/tokens?status=all").await;
    assert_eq!(keys["tokens"].as_array().map(Vec::len), Some(1));
}

async fn each_use_is_logged_as_a_warning(backend: Backend) {
    let service = Service::fresh(backend).await;
    let made = service
        .ask("POST", "/workspaces")
        .json(&json!({"name": "w"}));
    let id = made.send().await.ok(201)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for _ in 0..2 {
        service
            .ask("GET", &format!("/workspaces/{id}"))
            .send()
            .await
            .ok(200);
    }
    let lines = logged(&format!("/workspaces/{id}"));
    let warnings = lines
        .iter()
        .filter(|line| line.contains("WARN") && line.contains("tier 0"));
    assert_eq!(warnings.count(), 2, "{lines:?}");
}

async fn refused_mint_leaves_it_open(backend: Backend) {
    let service = Service::fresh(backend).await;
    for body in [json!({"name": ""}), json!({"name": "n", "preset": "king"})] {
        let answer = service.ask("POST", "/org/tokens").json(&body).send().await;
        assert_eq!(answer.code(), "out_of_range");
    }
    assert!(is_open(&service).await);
    service.bootstrap().await;
    assert!(!is_open(&service).await);
}
