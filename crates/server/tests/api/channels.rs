//! Channels: what is kept of a configuration, and what of it is shown.

use serde_json::json;

use crate::service::{ADMIN, Backend, Service, text};

on_each_database!(
    channel_credentials_never_come_back,
    channel_configurations_are_checked_when_saved,
    address_that_two_readers_read_differently_is_refused,
);

async fn channel_credentials_never_come_back(backend: Backend) {
    let service = Service::guarded(backend).await;
    let base = format!("/workspaces/{}/channels", service.workspace(ADMIN).await);
    let telegram = format!("123456789:{}", "hush".repeat(9));
    let mut shown = String::new();
    for (kind, config, plain, credentials) in [
        (
            "slack",
            json!({"webhook_url": "https://hooks.slack.com/services/hush"}),
            json!({}),
            json!(["webhook_url"]),
        ),
        (
            "slack",
            json!({"bot_token": "xoxb-hush", "channel": "C1"}),
            json!({"channel": "C1"}),
            json!(["bot_token"]),
        ),
        (
            "discord",
            json!({"webhook_url": "https://discord.com/api/webhooks/1/hush"}),
            json!({}),
            json!(["webhook_url"]),
        ),
        (
            "telegram",
            json!({"bot_token": telegram, "chat_id": "-1001"}),
            json!({"chat_id": "-1001"}),
            json!(["bot_token"]),
        ),
        (
            "lark",
            json!({"webhook_url": "https://open.larksuite.com/open-apis/bot/v2/hook/hush", "signing_secret": "hush"}),
            json!({}),
            json!(["signing_secret", "webhook_url"]),
        ),
        (
            "webhook",
            json!({"url": "https://a.example/hush", "signing_secret": "hush"}),
            json!({}),
            json!(["signing_secret", "url"]),
        ),
    ] {
        let made = service
            .make(ADMIN, &base, json!({"type": kind, "config": config}))
            .await;
        assert_eq!((&made["type"], &made["name"]), (&json!(kind), &json!(kind)));
        assert_eq!(
            (&made["config"], &made["credentials"]),
            (&plain, &credentials)
        );
        assert_eq!(made["enabled"], true);
        let path = format!("{base}/{}", text(&made["id"]));
        let off = service
            .ask_as(ADMIN, "PATCH", &path)
            .json(&json!({"enabled": false}));
        let off = off.send().await.ok(200);
        assert_eq!(
            (&off["enabled"], &off["credentials"]),
            (&json!(false), &credentials)
        );
        let again = service
            .ask_as(ADMIN, "PATCH", &path)
            .json(&json!({"config": config}));
        shown += &again.send().await.ok(200).to_string();
        shown += &service.get(ADMIN, &path).await.to_string();
        shown += &made.to_string();
    }
    shown += &service.get(ADMIN, &base).await.to_string();
    shown += &service
        .ask_as(ADMIN, "GET", "/org/audit/export")
        .send()
        .await
        .text();
    assert!(!shown.contains("hush"), "{shown}");
}

async fn channel_configurations_are_checked_when_saved(backend: Backend) {
    let service = Service::guarded(backend).await;
    let base = format!("/workspaces/{}/channels", service.workspace(ADMIN).await);
    for (kind, config, field) in [
        ("pigeon", json!({}), "type"),
        ("slack", json!({}), "config"),
        (
            "slack",
            json!({"webhook_url": "https://hooks.slack.com.evil.example/x"}),
            "config.webhook_url",
        ),
        (
            "slack",
            json!({"webhook_url": "http://hooks.slack.com/services/x"}),
            "config.webhook_url",
        ),
        (
            "slack",
            json!({"bot_token": "xoxp-1", "channel": "C1"}),
            "config.bot_token",
        ),
        (
            "discord",
            json!({"webhook_url": "https://user@evil.example/discord.com"}),
            "config.webhook_url",
        ),
        (
            "discord",
            json!({"webhook_url": "https://discord.com@evil.example/"}),
            "config.webhook_url",
        ),
        (
            "telegram",
            json!({"bot_token": "nonsense", "chat_id": "1"}),
            "config.bot_token",
        ),
        (
            "webhook",
            json!({"url": "javascript:alert(1)"}),
            "config.url",
        ),
        (
            "webhook",
            json!({"url": "file:///etc/passwd"}),
            "config.url",
        ),
        ("webhook", json!({"url": "not a url"}), "config.url"),
        (
            "webhook",
            json!({"url": "https://a.example/", "header": "x"}),
            "config.header",
        ),
    ] {
        let ask = service
            .ask_as(ADMIN, "POST", &base)
            .json(&json!({"type": kind, "config": config}));
        let answer = ask.send().await;
        assert_eq!(answer.field(422, "out_of_range"), field, "{config}");
        assert!(
            !answer.text().contains("evil"),
            "the value is repeated: {}",
            answer.text()
        );
    }
    assert_eq!(service.get(ADMIN, &base).await["channels"], json!([]));
}

async fn address_that_two_readers_read_differently_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let base = format!("/workspaces/{}/channels", service.workspace(ADMIN).await);
    for url in [
        "https://open.feishu.cn\\.evil.example/",
        "https:\\\\open.feishu.cn/x",
        "https:open.feishu.cn/x",
        "https://open.feishu.cn\t/x",
        " https://open.feishu.cn/x",
    ] {
        let body = json!({"type": "lark", "config": {"webhook_url": url}});
        let answer = service
            .ask_as(ADMIN, "POST", &base)
            .json(&body)
            .send()
            .await;
        assert_eq!(
            answer.field(422, "out_of_range"),
            "config.webhook_url",
            "{url:?}"
        );
    }
}
