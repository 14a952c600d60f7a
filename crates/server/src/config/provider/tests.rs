//! What of an identity provider can be set, and what is refused with which words.

use claviger_core::{evidence::BootstrapPolicy, role::Role};

use super::ProviderKind;
use crate::config::{Config, Flags};

/// The configuration that this file makes.
fn load(lines: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("claviger.toml");
    let key = directory.path().join("key");
    std::fs::write(&key, "sk_test_key\n").expect("a file");
    let lines = lines.replace("KEY", key.to_str().expect("UTF-8"));
    std::fs::write(&file, lines).expect("a file");
    let flags = Flags {
        config: file.to_str().map(str::to_owned),
        ..Flags::default()
    };
    Config::load(&flags).map_err(|error| error.to_string())
}

const PUBLIC: &str = "public-url = 'https://keys.example.com'\n";
const OIDC: &str = "oidc-issuer = 'https://id.example.com'\noidc-client-id = 'claviger'\n";
const WORKOS: &str = "workos-client-id = 'client_1'\nworkos-api-key-file = 'KEY'\n";

fn refusal(lines: &str) -> String {
    load(lines)
        .err()
        .unwrap_or_else(|| panic!("{lines} is refused"))
}

#[test]
fn no_provider_is_no_mistake() {
    let config = load("").expect("a configuration");
    assert!(config.provider.is_none());
    assert_eq!(config.bootstrap, BootstrapPolicy::Loopback);
}

#[test]
fn provider_turns_tier_0_off() {
    let config = load(&[PUBLIC, OIDC, "bootstrap = 'loopback'"].concat()).expect("a configuration");
    assert_eq!(config.bootstrap, BootstrapPolicy::Off);
}

#[test]
fn oidc_has_its_usual_values() {
    let config = load(&[PUBLIC, OIDC].concat()).expect("a configuration");
    let provider = config.provider.expect("a provider");
    let ProviderKind::Oidc(oidc) = &provider.kind else {
        panic!("not OIDC")
    };
    assert_eq!(oidc.issuer_text, "https://id.example.com");
    assert_eq!(oidc.scopes, "openid profile email");
    assert!(oidc.client_secret.is_none() && oidc.org_claim.is_none());
    let widest = provider.roles.widest(&["member", "editor"]);
    assert_eq!(widest, Some((Role::Editor, "editor")));
}

#[test]
fn workos_takes_the_issuers_that_it_documents() {
    let issuers = |more: &str| {
        let config = load(&[PUBLIC, WORKOS, more].concat()).expect("a configuration");
        match config.provider.expect("a provider").kind {
            ProviderKind::Workos(workos) => {
                assert_eq!(workos.api_key.as_str(), "sk_test_key");
                workos.issuers
            }
            ProviderKind::Oidc(_) => panic!("not WorkOS"),
        }
    };
    let usual = [
        "https://api.workos.com/user_management/client_1",
        "https://api.workos.com",
    ];
    assert_eq!(issuers("")[..2], usual);
    let own = issuers("workos-api-url = 'https://auth.example.com/'");
    assert_eq!(own[1], "https://auth.example.com");
    assert_eq!(own[2..], usual);
    let named = issuers("workos-issuer = 'https://a.example/, https://b.example/sso/client_1'");
    assert_eq!(
        named,
        ["https://a.example", "https://b.example/sso/client_1"]
    );
}

#[test]
fn half_a_provider_is_refused() {
    for (lines, setting, word) in [
        (
            "oidc-issuer = 'https://id.example.com'",
            "oidc-issuer",
            "`oidc-client-id`",
        ),
        ("oidc-client-id = 'x'", "oidc-client-id", "`oidc-issuer`"),
        ("oidc-org-claim = 'x'", "oidc-org-claim", "`oidc-issuer`"),
        (
            "workos-client-id = 'client_1'",
            "workos-client-id",
            "WORKOS_API_KEY",
        ),
        (
            "workos-api-key-file = 'KEY'",
            "workos-api-key-file",
            "WORKOS_CLIENT_ID",
        ),
        ("roles = 'a=admin'", "roles", "identity provider"),
        ("orgs = 'a=b'", "orgs", "identity provider"),
    ] {
        let said = refusal(&[PUBLIC, lines].concat());
        assert!(
            said.starts_with(&format!("setting `{setting}`")) && said.contains(word),
            "{said}"
        );
    }
    let said = refusal(OIDC);
    assert!(
        said.starts_with("setting `public-url` (from default): must be set"),
        "{said}"
    );
    let said = refusal(&[PUBLIC, OIDC, WORKOS].concat());
    assert!(said.contains("there can be one"), "{said}");
}

#[test]
fn address_that_others_could_read_is_refused() {
    let issuer = |issuer: &str| {
        let lines = format!("{PUBLIC}oidc-client-id = 'x'\noidc-issuer = '{issuer}'");
        load(&lines).map(drop)
    };
    for good in [
        "https://id.example.com/realms/a",
        "http://127.0.0.1:9/",
        "http://localhost:9",
    ] {
        assert_eq!(issuer(good), Ok(()), "{good}");
    }
    for bad in [
        "id.example.com",
        "http://id.example.com",
        "http://localhost.example.com",
        "https://u:secret@id.example.com",
        "https://id.example.com?x",
        "https://id.example.com#x",
        "ftp://id.example.com",
    ] {
        let said = issuer(bad).expect_err(bad);
        assert!(!said.contains("secret@"), "{said}");
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for bad in [
        "oidc-scopes = 'profile'",
        "roles = 'a=god'",
        "roles = 'a'",
        "orgs = 'a'",
        "orgs = 'a=b,a=c'",
        "orgs = '=b'",
        "oidc-client-secret-file = 'no-such-file'",
        "oidc-client-secret = 'in the file'",
    ] {
        refusal(&[PUBLIC, OIDC, bad].concat());
    }
    refusal(&format!(
        "{PUBLIC}workos-client-id = 'a/b'\nworkos-api-key-file = 'KEY'"
    ));
}

#[test]
fn secrets_are_in_no_report() {
    let config = load(&[PUBLIC, WORKOS].concat()).expect("a configuration");
    let said = format!("{:?} {:?} {:?}", config.report(), config, config.provider);
    assert!(!said.contains("sk_test_key"), "{said}");
}
