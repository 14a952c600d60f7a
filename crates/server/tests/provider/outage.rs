//! Keys that change, keys that nobody has, and a provider that does not answer.

use std::{sync::Arc, time::Duration};

use claviger_server::{config::ProviderKind, provider::Provider};
use claviger_testkit::{
    free_port,
    stand_in::{OidcStandIn, Signer, WorkosStandIn, WorkosUser},
};
use serde_json::json;

use crate::support::{
    NOW, at, begin, but, code, finish, oidc_config, provider, refresh, sign_in, visit,
    workos_config,
};

const ADA: &str = "user_01HBEQKA6K4QJAS93VPE39W1JT";
const HOUR: u64 = 3600;

async fn bed() -> (WorkosStandIn, Arc<Provider>) {
    let stand_in = WorkosStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Workos(workos_config(&stand_in)));
    (stand_in, Arc::new(provider))
}

/// A token that lives for two days.
fn token(stand_in: &WorkosStandIn) -> String {
    stand_in.with(|state| {
        let claims = state.token_claims(&WorkosUser::default(), "session_1");
        state
            .signer
            .sign(&but(&claims, &json!({"exp": NOW + 48 * 3600})))
    })
}

/// What comes of a token so many seconds later.
async fn check(provider: &Provider, token: &str, seconds: u64) -> &'static str {
    code(provider.verify_access_token(token, at(seconds)).await)
}

#[tokio::test]
async fn new_key_is_fetched_once_and_the_known_one_waits_for_nothing() {
    let (stand_in, provider) = bed().await;
    let old = token(&stand_in);
    assert_eq!(check(&provider, &old, 0).await, "no error");
    stand_in.with(|state| state.rotate("sso_oidc_key_2"));
    let new = token(&stand_in);
    // Right after a fetch there is none; half a minute later there is one.
    assert_eq!(check(&provider, &new, 29).await, "unknown_key");
    assert_eq!(check(&provider, &new, 30).await, "no error");
    assert_eq!(check(&provider, &old, 30).await, "no error");
    assert_eq!(stand_in.with(|state| state.key_requests), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_names_of_keys_cannot_flood_the_provider() {
    let (stand_in, provider) = bed().await;
    let good = token(&stand_in);
    let claims = stand_in.with(|state| state.token_claims(&WorkosUser::default(), "s"));
    let impostor = Arc::new(Signer::new("impostor"));
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let (provider, impostor, claims) =
                (Arc::clone(&provider), Arc::clone(&impostor), claims.clone());
            tokio::spawn(async move {
                let header = json!({"kid": format!("forged-{number}")});
                check(&provider, &impostor.sign_as(&header, &claims), number).await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("it ends"), "unknown_key");
    }
    let requests = stand_in.with(|state| state.key_requests);
    // In those 50 seconds: one at the first token, and one half a minute later at the most.
    assert!((1..=2).contains(&requests), "{requests}");
    assert_eq!(check(&provider, &good, 50).await, "no error");
}

#[tokio::test]
async fn key_that_was_taken_back_is_refused_after_ten_minutes() {
    let (stand_in, provider) = bed().await;
    let stolen = token(&stand_in);
    assert_eq!(check(&provider, &stolen, 0).await, "no error");
    stand_in.with(|state| {
        state.rotate("sso_oidc_key_2");
        state.published.remove(0);
    });
    assert_eq!(check(&provider, &stolen, 599).await, "no error");
    assert_eq!(stand_in.with(|state| state.key_requests), 1);
    // The first one after that sets off the fetch, and does not wait for it.
    assert_eq!(check(&provider, &stolen, 600).await, "no error");
    let refused = async {
        while check(&provider, &stolen, 601).await == "no error" {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, refused)
        .await
        .expect("it is refused");
    assert_eq!(stand_in.with(|state| state.key_requests), 2);
}

#[tokio::test]
async fn while_the_provider_is_down_people_stay_and_nobody_new_gets_in() {
    let (stand_in, provider) = bed().await;
    let verified = sign_in(&provider).await.expect("a person");
    let refresh_token = verified.refresh_token.expect("a refresh token");
    let callback = visit(&begin(&provider).await).await;
    let known = token(&stand_in);
    stand_in.with(|state| state.is_down = true);

    assert_eq!(
        code(finish(&provider, &callback).await),
        "provider_unreachable"
    );
    assert_eq!(
        code(refresh(&provider, &refresh_token, ADA).await),
        "provider_unreachable"
    );
    assert_eq!(check(&provider, &known, HOUR).await, "no error");
    assert_eq!(check(&provider, &known, 24 * HOUR - 1).await, "no error");
    // A key that is not known may be a new one: nobody can say that it is forged.
    stand_in.with(|state| state.rotate("sso_oidc_key_2"));
    let new = token(&stand_in);
    assert_eq!(check(&provider, &new, HOUR).await, "provider_unreachable");
    assert_eq!(
        check(&provider, &known, 24 * HOUR).await,
        "provider_unreachable"
    );

    stand_in.with(|state| state.is_down = false);
    assert_eq!(check(&provider, &new, 24 * HOUR + 30).await, "no error");
    assert_eq!(check(&provider, &known, 24 * HOUR + 30).await, "no error");
    // Neither the code nor the refresh token was spent.
    assert_eq!(code(finish(&provider, &callback).await), "no error");
    assert_eq!(
        code(refresh(&provider, &refresh_token, ADA).await),
        "no error"
    );
}

#[tokio::test]
async fn clock_that_is_set_back_does_not_keep_keys_from_being_fetched() {
    let (stand_in, provider) = bed().await;
    let old = token(&stand_in);
    assert_eq!(check(&provider, &old, HOUR).await, "no error");
    stand_in.with(|state| state.rotate("sso_oidc_key_2"));
    assert_eq!(check(&provider, &token(&stand_in), 0).await, "no error");
}

#[tokio::test]
async fn provider_that_was_never_there_is_unreachable() {
    let issuer = format!("http://127.0.0.1:{}", free_port());
    let provider = provider(ProviderKind::Oidc(oidc_config(&issuer)));
    let error = provider.probe(at(0)).await.expect_err("nobody is there");
    assert_eq!(error.code(), "provider_unreachable");
    assert!(!error.to_string().contains(&issuer), "{error}");
}

#[tokio::test]
async fn description_is_kept_and_asked_for_again_when_it_failed() {
    let stand_in = OidcStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Oidc(oidc_config(stand_in.issuer())));
    stand_in.with(|state| state.is_down = true);
    assert_eq!(code(provider.probe(at(0)).await), "provider_unreachable");
    stand_in.with(|state| state.is_down = false);
    assert_eq!(code(provider.probe(at(30)).await), "no error");
    sign_in(&provider).await.expect("a person");
    sign_in(&provider).await.expect("a person");
    assert_eq!(stand_in.with(|state| state.description_requests), 2);
    assert_eq!(stand_in.with(|state| state.key_requests), 1);
}
