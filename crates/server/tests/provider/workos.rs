//! `WorkOS`: sign-in, refresh tokens that count once, impersonation, organizations, sign-out.

use std::sync::Arc;

use claviger_core::{
    digest::Digest,
    permission::{Permission, PermissionSet},
    role::Role,
};
use claviger_server::{
    config::ProviderKind,
    provider::{Begin, Due, Finish, Impersonator, LogoutUrl, Private, Provider},
};
use claviger_testkit::stand_in::WorkosStandIn;
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{
    NONCE, NOW, VERIFIER, at, begin, client, code, finish, provider, refresh, sign_in, visit,
    workos_config,
};

const ADA: &str = "user_01HBEQKA6K4QJAS93VPE39W1JT";

async fn bed() -> (WorkosStandIn, Provider) {
    let stand_in = WorkosStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Workos(workos_config(&stand_in)));
    (stand_in, provider)
}

#[tokio::test]
async fn person_signs_in_with_org_role_and_permissions() {
    let (stand_in, provider) = bed().await;
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(verified.subject, ADA);
    assert_eq!(verified.issuer, stand_in.base());
    assert_eq!(verified.org, "acme");
    assert_eq!(verified.email.as_deref(), Some("ada@example.com"));
    assert_eq!(verified.name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(verified.role, Some(Role::Admin));
    assert_eq!(verified.role_name.as_deref(), Some("admin"));
    let known = PermissionSet::of(&[Permission::ChannelsRead]);
    assert_eq!(verified.permissions, known);
    assert_eq!(verified.provider_session.as_deref(), Some("session_2"));
    assert_eq!(verified.impersonator, None);
    assert!(verified.refresh_token.is_some() && verified.id_token.is_none());
    assert_eq!(verified.expires_at, at(300));
}

#[tokio::test]
async fn browser_is_sent_with_challenge_and_never_with_a_secret() {
    let (stand_in, provider) = bed().await;
    let url = begin(&provider).await;
    assert!(
        url.as_str()
            .starts_with(&format!("{}/user_management/authorize?", stand_in.base()))
    );
    // The challenge of the verifier in RFC 7636, appendix B.
    assert!(
        url.as_str()
            .contains("code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&")
    );
    assert!(!url.as_str().contains(VERIFIER) && !url.as_str().contains(WorkosStandIn::API_KEY));
    let begin = Begin {
        state: "s",
        nonce: NONCE,
        verifier: VERIFIER,
        org: Some("org_02"),
        now: at(0),
    };
    let url = provider.begin(&begin).await.expect("an address");
    assert!(url.as_str().ends_with("&organization_id=org_02"));
}

#[tokio::test]
async fn code_counts_once_and_for_whoever_began() {
    let (_stand_in, provider) = bed().await;
    let callback = visit(&begin(&provider).await).await;
    assert!(finish(&provider, &callback).await.is_ok());
    assert_eq!(code(finish(&provider, &callback).await), "code_spent");

    let callback = visit(&begin(&provider).await).await;
    let stolen = Finish {
        code: &callback["code"],
        issuer: None,
        verifier: "another-verifier-another-verifier-another-v",
        nonce: NONCE,
        now: at(0),
    };
    assert_eq!(code(provider.finish(&stolen).await), "code_spent");
}

#[tokio::test]
async fn refresh_token_counts_once_and_brings_what_is_true_now() {
    let (stand_in, provider) = bed().await;
    let first = sign_in(&provider).await.expect("a person");
    let token = first.refresh_token.expect("a refresh token");
    let second = refresh(&provider, &token, ADA).await.expect("a person");
    let next = second.refresh_token.expect("a refresh token");
    assert_ne!(next.expose(), token.expose());
    assert_eq!(second.provider_session, first.provider_session);
    assert_eq!(code(refresh(&provider, &token, ADA).await), "session_ended");

    stand_in.with(|state| state.end_session("session_2"));
    assert_eq!(code(refresh(&provider, &next, ADA).await), "session_ended");
}

#[tokio::test]
async fn refresh_of_another_person_is_refused() {
    let (_stand_in, provider) = bed().await;
    let first = sign_in(&provider).await.expect("a person");
    let token = first.refresh_token.expect("a refresh token");
    assert_eq!(
        code(refresh(&provider, &token, "user_02").await),
        "other_person"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_refreshes_one_asks_and_none_is_signed_out() {
    let (stand_in, provider) = bed().await;
    let provider = Arc::new(provider);
    let first = sign_in(&provider).await.expect("a person");
    let stored = Arc::new(Mutex::new((first.refresh_token, at(0))));
    let before = stand_in.with(|state| state.authentications);
    let session = Digest::of(b"the cookie");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (provider, stored) = (Arc::clone(&provider), Arc::clone(&stored));
            tokio::spawn(async move {
                let load = async {
                    let row = stored.lock();
                    // Whoever finds a session that was refreshed meanwhile has nothing to do.
                    let is_due = row.1 < at(1);
                    row.0.clone().filter(|_| is_due).map(|token| Due {
                        token,
                        subject: ADA.to_owned(),
                        now: at(1),
                    })
                };
                let keep = async |verified: claviger_server::provider::Verified| {
                    *stored.lock() = (verified.refresh_token, at(1));
                };
                let turn = provider.turns().take(&session).await;
                provider.refresh_in_turn(turn, load, keep).await
            })
        })
        .collect();
    let mut asked = 0;
    for task in tasks {
        let outcome = task.await.expect("it ends").expect("nobody is signed out");
        asked += usize::from(outcome.is_some());
    }
    assert_eq!(asked, 1);
    assert_eq!(stand_in.with(|state| state.authentications), before + 1);
    let token: Private = stored.lock().0.clone().expect("a refresh token");
    assert!(refresh(&provider, &token, ADA).await.is_ok());
}

#[tokio::test]
async fn impersonator_is_known_from_the_answer_and_from_the_token() {
    let (stand_in, provider) = bed().await;
    stand_in.with(|state| {
        state.visitor.impersonator =
            Some(("boss@example.com".to_owned(), "support\n#1".to_owned()));
    });
    let verified = sign_in(&provider).await.expect("a person");
    let mut expected = Impersonator {
        who: "boss@example.com".to_owned(),
        reason: Some("support#1".to_owned()),
    };
    assert_eq!(verified.impersonator.as_ref(), Some(&expected));

    let token = stand_in.with(|state| state.access_token(&state.visitor, "session_9"));
    let verified = provider
        .verify_access_token(&token, at(0))
        .await
        .expect("a person");
    expected.reason = None;
    assert_eq!(verified.impersonator, Some(expected));
    assert_eq!(verified.provider_session.as_deref(), Some("session_9"));

    stand_in.with(|state| state.claims = json!({"act": {"sub": ""}}));
    let token = stand_in.with(|state| state.access_token(&state.visitor, "session_9"));
    let outcome = provider.verify_access_token(&token, at(0)).await;
    assert_eq!(code(outcome), "malformed_token");
}

#[tokio::test]
async fn org_that_is_not_in_the_settings_keeps_its_name_and_none_is_refused() {
    let (stand_in, provider) = bed().await;
    stand_in.with(|state| state.visitor.org = Some("org_02".to_owned()));
    assert_eq!(sign_in(&provider).await.expect("a person").org, "org_02");
    stand_in.with(|state| state.visitor.org = None);
    assert_eq!(code(sign_in(&provider).await), "no_org");
}

#[tokio::test]
async fn role_that_nobody_mapped_is_none_and_stars_are_no_permissions() {
    let (stand_in, provider) = bed().await;
    stand_in.with(|state| {
        state.visitor.role = "owner".to_owned();
        state.visitor.permissions = ["*", "channels:*", "secrets:reveal"]
            .map(str::to_owned)
            .into();
    });
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(
        (verified.role, verified.role_name.as_deref()),
        (None, Some("owner"))
    );
    let known = PermissionSet::of(&[Permission::SecretsReveal]);
    assert_eq!(verified.permissions, known);
}

#[tokio::test]
async fn sign_out_ends_the_session_at_the_provider() {
    let (stand_in, provider) = bed().await;
    let verified = sign_in(&provider).await.expect("a person");
    let mut logout = LogoutUrl {
        id_token: None,
        provider_session: verified.provider_session.as_deref(),
        return_to: "https://keys.example.com/canvas/sign-in",
        now: at(0),
    };
    let url = provider.logout_url(&logout).await.expect("an answer");
    let url = url.expect("an address");
    let expected = "/user_management/sessions/logout?session_id=session_2&return_to=https%3A%2F%2Fkeys.example.com%2Fcanvas%2Fsign-in";
    assert_eq!(url.as_str(), format!("{}{expected}", stand_in.base()));
    client().get(url).send().await.expect("an answer");
    let token = verified.refresh_token.as_ref().expect("a refresh token");
    assert_eq!(code(refresh(&provider, token, ADA).await), "session_ended");

    logout.provider_session = None;
    assert_eq!(provider.logout_url(&logout).await, Ok(None));
    let outcome = provider.verify_logout_token("a.b.c", at(0)).await;
    assert_eq!(code(outcome), "unsupported");
}

#[tokio::test]
async fn wrong_secret_is_told_to_the_log_and_not_to_the_person() {
    let stand_in = WorkosStandIn::start(NOW).await;
    let mut config = workos_config(&stand_in);
    config.api_key = "sk_wrong".to_owned().into();
    let provider = provider(ProviderKind::Workos(config));
    let error = sign_in(&provider).await.expect_err("a refusal");
    assert_eq!(error.code(), "provider_unfit");
    assert!(
        error
            .cause()
            .is_some_and(|cause| cause.contains("invalid_client"))
    );
    assert!(!format!("{error} {error:?}").contains("sk_wrong"));
}
