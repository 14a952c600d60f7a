//! Rotation: another secret for the same key, and both work until the overlap ends.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    both_secrets_work_until_the_overlap_ends,
    zero_overlap_ends_the_old_secret_at_once,
    old_secret_is_told_of_its_end,
    finish_ends_the_old_secret,
    cancel_ends_the_new_secret,
    second_rotation_waits_for_the_end_of_the_first,
    key_rotates_itself,
    replaced_secret_brings_itself_back_in_no_way,
    narrow_key_cannot_rotate_a_wider_one,
    what_ends_the_key_ends_both_secrets,
    rotation_outlives_a_restart,
    bad_overlaps_are_refused,
    of_racing_rotations_one_wins,
    of_racing_requests_with_one_secret_one_rotates_the_key,
    replaced_secret_is_the_key_in_everything_but_its_end,
    child_does_not_rotate_the_key_that_it_descends_from,
    key_that_ends_does_not_rotate_one_that_lives_longer,
    gauge_of_keys_counts_keys_and_not_secrets,
    rotated_key_that_is_revoked_meanwhile_leaves_no_secret,
    trail_says_which_secret_was_used,
);

async fn rotate(service: &Service, by: &str, key: &Minted, body: Value) -> Answer {
    let path = format!("{}/rotate", key.path());
    service.ask_as(by, "POST", &path).json(&body).send().await
}

async fn end(service: &Service, by: &str, key: &Minted, how: &str) -> Answer {
    let path = format!("{}/rotate/{how}", key.path());
    service.ask_as(by, "POST", &path).send().await
}

async fn whoami(service: &Service, secret: &str) -> Answer {
    service.ask_as(secret, "GET", "/org/whoami").send().await
}

/// A key that was rotated, and its new secret.
async fn rotated(service: &Service, overlap: &str) -> (Minted, String) {
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let answer = rotate(service, ADMIN, &key, json!({"overlap": overlap})).await;
    let new = text(&answer.ok(200)["auth_token"]);
    (key, new)
}

async fn both_secrets_work_until_the_overlap_ends(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "editor"}))
        .await;
    let answer = rotate(&service, ADMIN, &key, json!({"overlap": "1s"})).await;
    let made = answer.ok(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(made["id"], key.id.as_str());
    assert_eq!(made["previous_prefix"], key.prefix.as_str());
    assert_eq!(
        made["warning"],
        "copy this token now; it will not be shown again"
    );
    let new = text(&made["auth_token"]);
    assert!(new.starts_with(&text(&made["prefix"])) && new != key.secret);
    let by_new = whoami(&service, &new).await.ok(200);
    assert_eq!(
        (&by_new["key"]["id"], &by_new["key"]["prefix"]),
        (&json!(key.id), &made["prefix"])
    );
    // The old one works until the very instant, and never after.
    let early = whoami(&service, &key.secret).await;
    let is_over = early.status == 401 && early.code() == "token_rotated_out";
    assert!(early.status == 200 || is_over, "{}", early.text());
    let until = text(&made["overlap_until"]);
    let ask = |service: &Service| service.ask_as(&key.secret, "GET", "/org/whoami");
    let refused = service.until(ask, |answer| answer.status != 200).await;
    refused.problem(401, "token_rotated_out");
    let now = claviger_server::clock::now();
    assert!(
        now >= until.parse().expect("a time"),
        "refused at {now}, not before {until}"
    );
    whoami(&service, &new).await.ok(200);
    assert!(
        service
            .get(ADMIN, &key.path())
            .await
            .get("previous")
            .is_none()
    );
    let used = service
        .audit(ADMIN, &format!("&actor={}&status=200", key.actor()))
        .await;
    let last = used.iter().map(|record| text(&record["time"])).max();
    assert!(
        last.is_none_or(|last| last < until),
        "accepted after {until}"
    );
}

async fn zero_overlap_ends_the_old_secret_at_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    for zero in ["0", "0s"] {
        let (key, new) = rotated(&service, zero).await;
        whoami(&service, &key.secret)
            .await
            .problem(401, "token_rotated_out");
        whoami(&service, &new).await.ok(200);
    }
}

async fn old_secret_is_told_of_its_end(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    let answer = whoami(&service, &key.secret).await;
    answer.ok(200);
    assert!(
        answer
            .header("deprecation")
            .is_some_and(|value| value.starts_with('@'))
    );
    assert!(
        answer
            .header("sunset")
            .is_some_and(|value| value.ends_with(" GMT"))
    );
    let answer = whoami(&service, &new).await;
    assert_eq!(
        (answer.header("deprecation"), answer.header("sunset")),
        (None, None)
    );
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(shown["previous"]["prefix"], key.prefix.as_str());
    assert!(
        shown["previous"]["last_used_at"].is_string(),
        "it was seen since"
    );
}

async fn finish_ends_the_old_secret(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    let shown = end(&service, ADMIN, &key, "finish").await.ok(200);
    assert_eq!(shown["prefix"], new[..13]);
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
    whoami(&service, &new).await.ok(200);
    end(&service, ADMIN, &key, "finish")
        .await
        .problem(404, "not_found");
    end(&service, ADMIN, &key, "cancel")
        .await
        .problem(404, "not_found");
}

async fn cancel_ends_the_new_secret(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    let shown = end(&service, ADMIN, &key, "cancel").await.ok(200);
    assert_eq!(shown["prefix"], key.prefix.as_str());
    whoami(&service, &new)
        .await
        .problem(401, "token_rotated_out");
    let answer = whoami(&service, &key.secret).await;
    answer.ok(200);
    assert_eq!(answer.header("sunset"), None, "it is the key's own again");
    let again = rotate(&service, ADMIN, &key, json!({})).await.ok(200);
    whoami(&service, &text(&again["auth_token"])).await.ok(200);
}

async fn second_rotation_waits_for_the_end_of_the_first(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, first) = rotated(&service, "30d").await;
    rotate(&service, ADMIN, &key, json!({}))
        .await
        .problem(409, "rotation_lasts");
    whoami(&service, &first).await.ok(200);
    end(&service, ADMIN, &key, "finish").await.ok(200);
    let second = rotate(&service, ADMIN, &key, json!({"overlap": "0"}))
        .await
        .ok(200);
    whoami(&service, &text(&second["auth_token"])).await.ok(200);
    for ended in [&key.secret, &first] {
        whoami(&service, ended)
            .await
            .problem(401, "token_rotated_out");
    }
}

async fn key_rotates_itself(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "k", "permissions": [], "endpoints": ["GET /nowhere"]});
    let key = service.mint(ADMIN, body).await;
    let made = rotate(&service, &key.secret, &key, json!({})).await.ok(200);
    let new = text(&made["auth_token"]);
    end(&service, &new, &key, "finish").await.ok(200);
    whoami(&service, &new).await.ok(200);
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
}

async fn replaced_secret_brings_itself_back_in_no_way(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    rotate(&service, &key.secret, &key, json!({}))
        .await
        .problem(403, "replaced_secret");
    end(&service, &key.secret, &key, "cancel")
        .await
        .problem(403, "replaced_secret");
    whoami(&service, &new).await.ok(200);
    // To give itself up does no harm.
    end(&service, &key.secret, &key, "finish").await.ok(200);
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
}

async fn narrow_key_cannot_rotate_a_wider_one(backend: Backend) {
    let service = Service::guarded(backend).await;
    let wide = service.mint(ADMIN, json!({"name": "wide"})).await;
    let clerk = json!({"name": "clerk", "permissions": ["org.tokens:*"]});
    let clerk = service.mint(ADMIN, clerk).await;
    rotate(&service, &clerk.secret, &wide, json!({}))
        .await
        .problem(403, "wider_key");
    let below = service.mint(&clerk.secret, json!({"name": "below"})).await;
    rotate(&service, &clerk.secret, &below, json!({}))
        .await
        .ok(200);
    let reader = service
        .mint(ADMIN, json!({"name": "reader", "preset": "reader"}))
        .await;
    rotate(&service, &reader.secret, &below, json!({}))
        .await
        .problem(403, "missing_permission");
    whoami(&service, &wide.secret).await.ok(200);
}

async fn what_ends_the_key_ends_both_secrets(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    let suspend = format!("{}/suspend", key.path());
    service.ask_as(ADMIN, "POST", &suspend).send().await.ok(200);
    for secret in [&key.secret, &new] {
        whoami(&service, secret)
            .await
            .problem(401, "token_suspended");
    }
    let resume = format!("{}/resume", key.path());
    service.ask_as(ADMIN, "POST", &resume).send().await.ok(200);
    let narrow = service.ask_as(ADMIN, "PATCH", &key.path());
    narrow
        .json(&json!({"permissions": ["channels:read"]}))
        .send()
        .await
        .ok(200);
    for secret in [&key.secret, &new] {
        let own = whoami(&service, secret).await.ok(200);
        assert_eq!(own["grant"]["permissions"], json!(["channels:read"]));
    }
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    for secret in [&key.secret, &new] {
        whoami(&service, secret).await.problem(401, "token_revoked");
    }
    rotate(&service, ADMIN, &key, json!({}))
        .await
        .problem(409, "revoked");
}

async fn rotation_outlives_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let (lasting, new) = rotated(&service, "30d").await;
    let (over, _) = rotated(&service, "0").await;
    let parent = service.mint(ADMIN, json!({"name": "parent"})).await;
    let child = service.mint(&parent.secret, json!({"name": "child"})).await;
    rotate(&service, ADMIN, &parent, json!({"overlap": "0"}))
        .await
        .ok(200);
    for _ in 0..2 {
        whoami(&service, &lasting.secret).await.ok(200);
        whoami(&service, &new).await.ok(200);
        whoami(&service, &over.secret)
            .await
            .problem(401, "token_rotated_out");
        whoami(&service, &child.secret).await.ok(200);
        service.restart().await;
    }
    end(&service, ADMIN, &lasting, "finish").await.ok(200);
    whoami(&service, &lasting.secret)
        .await
        .problem(401, "token_rotated_out");
}

async fn bad_overlaps_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for overlap in ["31d", "-1s", "1", "soon", "", "1.5h"] {
        let answer = rotate(&service, ADMIN, &key, json!({"overlap": overlap})).await;
        assert_eq!(answer.field(422, "out_of_range"), "overlap", "{overlap}");
    }
    let answer = rotate(&service, ADMIN, &key, json!({"overlap": 5})).await;
    assert_eq!(answer.field(400, "bad_field"), "overlap");
    assert!(
        service
            .get(ADMIN, &key.path())
            .await
            .get("previous")
            .is_none()
    );
    whoami(&service, &key.secret).await.ok(200);
}

async fn of_racing_rotations_one_wins(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..20 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let race = (0..4).map(|_| rotate(&service, ADMIN, &key, json!({})));
        let answers = futures_util::future::join_all(race).await;
        let won: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .collect();
        assert_eq!(won.len(), 1);
        whoami(&service, &text(&won[0].json()["auth_token"]))
            .await
            .ok(200);
        whoami(&service, &key.secret).await.ok(200);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            lost.problem(409, "rotation_lasts");
        }
    }
}

async fn rotated_key_that_is_revoked_meanwhile_leaves_no_secret(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..50 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let revoke = service.ask_as(ADMIN, "DELETE", &key.path()).send();
        let (made, revoked) = tokio::join!(rotate(&service, ADMIN, &key, json!({})), revoke);
        revoked.ok(200);
        whoami(&service, &key.secret)
            .await
            .problem(401, "token_revoked");
        if made.status == 200 {
            let new = text(&made.json()["auth_token"]);
            whoami(&service, &new).await.problem(401, "token_revoked");
        } else {
            made.problem(409, "revoked");
        }
    }
}

async fn of_racing_requests_with_one_secret_one_rotates_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..20 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let race = (0..4).map(|_| rotate(&service, &key.secret, &key, json!({"overlap": "0"})));
        let answers = futures_util::future::join_all(race).await;
        let won: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .collect();
        assert_eq!(
            won.len(),
            1,
            "the second would displace what the first was given"
        );
        whoami(&service, &text(&won[0].json()["auth_token"]))
            .await
            .ok(200);
        // Cancelled with the old secret while the rotation is under way: never.
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let cancels = (0..4).map(|_| end(&service, &key.secret, &key, "cancel"));
        let (made, cancelled) = tokio::join!(
            rotate(&service, ADMIN, &key, json!({})),
            futures_util::future::join_all(cancels)
        );
        assert!(cancelled.iter().all(|answer| answer.status != 200));
        whoami(&service, &text(&made.ok(200)["auth_token"]))
            .await
            .ok(200);
    }
}

async fn replaced_secret_is_the_key_in_everything_but_its_end(backend: Backend) {
    let service = Service::guarded_with(backend, |flags| {
        flags.mints_per_minute = Some("3".to_owned());
    })
    .await;
    let (key, new) = rotated(&service, "30d").await;
    let mint = |secret: &str| {
        let ask = service.ask_as(secret, "POST", "/org/tokens");
        let ask = ask.header("idempotency-key", "once");
        ask.json(&json!({"name": "child"})).send()
    };
    let child = mint(&key.secret).await.ok(201);
    assert_eq!(
        child["expires_at"],
        json!(null),
        "not the end of the overlap"
    );
    mint(&new).await.problem(409, "minted_before");
    for secret in [&key.secret, &new] {
        let own = whoami(&service, secret).await.ok(200);
        assert_eq!(own["key"]["expires_at"], json!(null));
    }
    // The mint limit is of the key, not of its secret: two of three are used.
    mint(&key.secret).await.problem(409, "minted_before");
    for secret in [&new, &key.secret] {
        mint(secret).await.problem(429, "too_many_mints");
    }
}

async fn child_does_not_rotate_the_key_that_it_descends_from(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    let ask = service.ask_as(&key.secret, "POST", "/org/tokens");
    let child = ask.json(&json!({"name": "child"})).send().await.ok(201);
    let child = Minted::of(&child);
    end(&service, &child.secret, &key, "cancel")
        .await
        .problem(403, "wider_key");
    end(&service, &child.secret, &key, "finish")
        .await
        .problem(403, "wider_key");
    rotate(&service, &child.secret, &key, json!({}))
        .await
        .problem(403, "wider_key");
    let resume = format!("{}/resume", key.path());
    let resume = service.ask_as(&child.secret, "POST", &resume).send().await;
    resume.problem(403, "wider_key");
    whoami(&service, &new).await.ok(200);
}

async fn key_that_ends_does_not_rotate_one_that_lives_longer(backend: Backend) {
    let service = Service::guarded(backend).await;
    let brief = service
        .mint(ADMIN, json!({"name": "brief", "expires_in": "1h"}))
        .await;
    let endless = service.mint(ADMIN, json!({"name": "endless"})).await;
    rotate(&service, &brief.secret, &endless, json!({}))
        .await
        .problem(403, "wider_key");
    let briefer = service
        .mint(ADMIN, json!({"name": "briefer", "expires_in": "30m"}))
        .await;
    rotate(&service, &brief.secret, &briefer, json!({}))
        .await
        .ok(200);
    rotate(&service, &endless.secret, &brief, json!({}))
        .await
        .ok(200);
}

async fn gauge_of_keys_counts_keys_and_not_secrets(backend: Backend) {
    let service = Service::guarded(backend).await;
    rotated(&service, "30d").await;
    let page = service.ask("GET", "/metrics").send().await.text();
    let line = page
        .lines()
        .find(|line| line.starts_with("claviger_keys{status=\"active\"}"));
    assert_eq!(line, Some("claviger_keys{status=\"active\"} 1"));
}

async fn trail_says_which_secret_was_used(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, "30d").await;
    whoami(&service, &key.secret).await.ok(200);
    whoami(&service, &new).await.ok(200);
    let of_key = service.audit(ADMIN, &format!("&token={}", key.id)).await;
    let actors: Vec<_> = of_key.iter().map(|record| text(&record["actor"])).collect();
    assert_eq!(actors, [format!("org-token:{}", &new[..13]), key.actor()]);
    let rotations = service.audit(ADMIN, "&method=POST").await;
    let said = &rotations[0]["change"]["rotated"];
    assert_eq!(
        (&said["id"], &said["previous"]),
        (&json!(key.id), &json!(key.prefix))
    );
    assert!(!rotations[0].to_string().contains(&new));
}
