//! Every rule of the claims, each with what passes and what does not.

use serde_json::{Value, json};

use super::{AccessToken, ClaimError, Claims, IdToken, Logout, LogoutToken, WorkosToken};
use crate::time::Timestamp;

const ISSUER: &str = "https://id.example.com";
const CLIENT: &str = "claviger";

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn claims(value: &Value) -> Claims {
    Claims::parse(value.to_string().as_bytes()).expect("an object")
}

/// The claims with some replaced; `null` takes one away.
fn but(base: &Value, changes: &Value) -> Claims {
    let mut all = base.clone();
    for (name, value) in changes.as_object().expect("an object") {
        all[name] = value.clone();
    }
    claims(&all)
}

fn id_claims() -> Value {
    json!({"iss": ISSUER, "aud": CLIENT, "sub": "ada", "exp": 1_800_000_300, "iat": 1_799_999_999, "nonce": "n1"})
}

fn check_id(changes: &Value) -> Result<Timestamp, ClaimError> {
    let rules = IdToken {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: Some("n1"),
        now: now(),
    };
    rules.check(&but(&id_claims(), changes))
}

#[test]
fn id_token_that_agrees_is_believed_until_it_ends() {
    let end = Timestamp::from_millis(1_800_000_300_000);
    assert_eq!(check_id(&json!({})), Ok(end));
    assert_eq!(check_id(&json!({"aud": [CLIENT]})), Ok(end));
    assert_eq!(
        check_id(&json!({"aud": [CLIENT, "x"], "azp": CLIENT})),
        Ok(end)
    );
}

#[test]
fn id_token_that_disagrees_is_refused() {
    for (changes, error) in [
        (
            json!({"iss": "https://id.example.com/"}),
            ClaimError::Issuer,
        ),
        (json!({"iss": null}), ClaimError::Missing("iss")),
        (json!({"iss": [ISSUER]}), ClaimError::Missing("iss")),
        (json!({"aud": "other"}), ClaimError::Audience),
        (json!({"aud": null}), ClaimError::Audience),
        (json!({"aud": [CLIENT, "x"]}), ClaimError::Audience),
        (json!({"azp": "x"}), ClaimError::Audience),
        (json!({"exp": null}), ClaimError::Missing("exp")),
        (json!({"exp": "1800000300"}), ClaimError::Malformed("exp")),
        (json!({"exp": -1}), ClaimError::Malformed("exp")),
        (json!({"exp": 1e300}), ClaimError::Malformed("exp")),
        (json!({"iat": null}), ClaimError::Missing("iat")),
        (json!({"nonce": "n2"}), ClaimError::Nonce),
        (json!({"nonce": null}), ClaimError::Nonce),
        (json!({"sub": null}), ClaimError::Missing("sub")),
        (json!({"sub": ""}), ClaimError::Malformed("sub")),
        (json!({"sub": "a b"}), ClaimError::Malformed("sub")),
        (json!({"sub": "a\nb"}), ClaimError::Malformed("sub")),
        (json!({"sub": "é"}), ClaimError::Malformed("sub")),
        (json!({"sub": 7}), ClaimError::Malformed("sub")),
        (
            json!({"sub": "x".repeat(256)}),
            ClaimError::Malformed("sub"),
        ),
        (json!({"events": {}}), ClaimError::Kind("an ID token")),
    ] {
        assert_eq!(check_id(&changes), Err(error), "{changes}");
    }
    assert!(check_id(&json!({"sub": "x".repeat(255)})).is_ok());
}

#[test]
fn clocks_may_be_a_minute_apart_and_no_more() {
    for (changes, outcome) in [
        (json!({"exp": 1_799_999_941}), None),
        (json!({"exp": 1_799_999_940}), Some(ClaimError::Expired)),
        (json!({"exp": 1_799_999_940.5}), None),
        (json!({"iat": 1_800_000_060}), None),
        (json!({"iat": 1_800_000_061}), Some(ClaimError::NotYet)),
        (json!({"nbf": 1_800_000_060}), None),
        (json!({"nbf": 1_800_000_061}), Some(ClaimError::NotYet)),
    ] {
        assert_eq!(check_id(&changes).err(), outcome, "{changes}");
    }
}

#[test]
fn access_token_is_for_its_audience_and_is_no_id_token() {
    let base = json!({"iss": ISSUER, "aud": ["api", "x"], "sub": "ada", "exp": 1_800_000_300, "azp": CLIENT});
    let check = |client_id: Option<&str>, changes: &Value| {
        let rules = AccessToken {
            issuer: ISSUER,
            audience: "api",
            client_id,
            now: now(),
        };
        rules.check(&but(&base, changes)).err()
    };
    let kind = Some(ClaimError::Kind("an access token"));
    assert_eq!(check(Some(CLIENT), &json!({})), None);
    assert_eq!(check(None, &json!({"azp": "script"})), None);
    for (changes, error) in [
        (json!({"azp": "script"}), Some(ClaimError::Audience)),
        (json!({"client_id": "script"}), Some(ClaimError::Audience)),
        (json!({"aud": "x"}), Some(ClaimError::Audience)),
        (json!({"iss": "x"}), Some(ClaimError::Issuer)),
        (json!({"nonce": "n"}), kind),
        (json!({"at_hash": "h"}), kind),
        (json!({"events": {}}), kind),
        (json!({"sub": CLIENT}), Some(ClaimError::NotAPerson)),
        (json!({"exp": 1_700_000_000}), Some(ClaimError::Expired)),
    ] {
        assert_eq!(check(Some(CLIENT), &changes), error, "{changes}");
    }
}

#[test]
fn workos_token_has_one_of_the_issuers_and_our_client() {
    let base = json!({"iss": "https://api.workos.com", "sub": "user_01H", "exp": 1_800_000_300, "iat": 1_800_000_000});
    let issuers =
        ["", "/user_management/client_1"].map(|end| format!("https://api.workos.com{end}"));
    let check = |changes: &Value| {
        let rules = WorkosToken {
            issuers: &issuers,
            client_id: "client_1",
            now: now(),
        };
        rules.check(&but(&base, changes)).err()
    };
    for good in [
        json!({}),
        json!({"iss": "https://api.workos.com/"}),
        json!({"iss": "https://api.workos.com/user_management/client_1"}),
        json!({"iss": "https://api.workos.com/user_management/client_1/"}),
        json!({"aud": ["client_1"], "client_id": "client_1"}),
    ] {
        assert_eq!(check(&good), None, "{good}");
    }
    for (bad, error) in [
        (
            json!({"iss": "https://api.workos.com//"}),
            ClaimError::Issuer,
        ),
        (
            json!({"iss": "https://api.workos.com/user_management/client_2"}),
            ClaimError::Issuer,
        ),
        (json!({"iss": "http://api.workos.com"}), ClaimError::Issuer),
        (json!({"client_id": "client_2"}), ClaimError::Audience),
        (json!({"client_id": 1}), ClaimError::Audience),
        (json!({"aud": "api"}), ClaimError::Audience),
        (json!({"azp": "client_2"}), ClaimError::Audience),
        (json!({"sub": "client_1"}), ClaimError::NotAPerson),
        (json!({"sub": null}), ClaimError::Missing("sub")),
    ] {
        assert_eq!(check(&bad), Some(error), "{bad}");
    }
}

#[test]
fn logout_token_names_whom_and_counts_for_minutes() {
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let base = json!({"iss": ISSUER, "aud": [CLIENT, "x"], "iat": 1_800_000_000, "jti": "j1", "sub": "ada", "sid": "s1", "events": event});
    let check = |changes: &Value| {
        let rules = LogoutToken {
            issuer: ISSUER,
            client_id: CLIENT,
            now: now(),
        };
        rules.check(&but(&base, changes))
    };
    let expected = Logout {
        subject: Some("ada".to_owned()),
        provider_session: Some("s1".to_owned()),
        issued_at: Timestamp::from_millis(1_800_000_000_000),
        token_id: "j1".to_owned(),
        remember_until: Timestamp::from_millis(1_800_000_660_000),
    };
    assert_eq!(check(&json!({})), Ok(expected));
    assert!(check(&json!({"sub": null})).is_ok() && check(&json!({"sid": null})).is_ok());
    let kind = ClaimError::Kind("a logout token");
    for (changes, error) in [
        (
            json!({"sub": null, "sid": null}),
            ClaimError::Missing("sub"),
        ),
        (json!({"jti": null}), ClaimError::Missing("jti")),
        (json!({"nonce": "n1"}), kind),
        (json!({"events": null}), kind),
        (json!({"events": {"other": {}}}), kind),
        (json!({"aud": "x"}), ClaimError::Audience),
        (json!({"iss": "x"}), ClaimError::Issuer),
        (json!({"iat": null}), ClaimError::Missing("iat")),
        (json!({"iat": 1_799_999_340}), ClaimError::Expired),
        (json!({"exp": 1_799_999_940}), ClaimError::Expired),
        (json!({"iat": 1_800_000_061}), ClaimError::NotYet),
    ] {
        assert_eq!(check(&changes), Err(error), "{changes}");
    }
}

#[test]
fn claims_are_found_by_name_before_path() {
    let all = claims(&json!({
        "https://x.example/roles": ["a", 7, "b"],
        "realm_access": {"roles": ["c"]}, "one": "d", "none": null,
    }));
    assert_eq!(all.texts("https://x.example/roles"), ["a", "b"]);
    assert_eq!(all.texts("realm_access.roles"), ["c"]);
    assert_eq!(all.texts("one"), ["d"]);
    assert!(all.texts("one.more").is_empty() && all.find("none").is_none());
    let merged = all.or(claims(&json!({"one": "e", "two": "f"})));
    assert_eq!(
        (merged.text("one"), merged.text("two")),
        (Some("d"), Some("f"))
    );
}

#[test]
fn org_is_one_and_can_be_shown() {
    let org = |value: Value| claims(&json!({"org": value})).org("org");
    assert_eq!(org(json!("Acme Inc")), Ok("Acme Inc".to_owned()));
    assert_eq!(org(json!(["acme"])), Ok("acme".to_owned()));
    for bad in [
        json!(null),
        json!(""),
        json!([]),
        json!(["a", "b"]),
        json!(7),
        json!(" a"),
        json!("a\u{202e}b"),
    ] {
        assert_eq!(org(bad.clone()), Err(ClaimError::Org), "{bad}");
    }
}

#[test]
fn people_are_shown_without_what_deceives() {
    let person = |value: Value| {
        let all = claims(&value);
        (all.email(), all.name())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        person(json!({"email": "ada@x.org", "given_name": "Ada", "family_name": "L."})),
        (text("ada@x.org"), text("Ada L."))
    );
    assert_eq!(
        person(json!({"email": "ada@x.org", "email_verified": false, "name": "\u{202e}Ada"})),
        (None, text("Ada"))
    );
    assert_eq!(
        person(json!({"email": "a b@x", "preferred_username": "ada"})),
        (None, text("ada"))
    );
}
