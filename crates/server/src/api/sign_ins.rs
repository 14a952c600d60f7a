//! `POST /org/login-links`, and what an identity provider calls.

use claviger_core::action::{MakeLoginLink, SignIn};
use claviger_wire::people::{LoginLink, SignedOut};
use http::StatusCode;

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::{sign_ins, sso},
};

/// Makes a link with which one browser signs in, once.
///
/// # Errors
/// 403 for a key with endpoints of its own, 409 where an identity provider is set.
pub async fn make_link(call: Call<MakeLoginLink>) -> Result<Reply, Failure> {
    let made = sign_ins::make_link(&call.app, &call.permit, (call.session(), &call.trace)).await?;
    let link = LoginLink {
        url: sign_ins::link_url(&call.app, &call.headers, &made.value.token),
        expires_at: made.value.expires_at.to_string(),
    };
    Ok(Reply::json(StatusCode::CREATED, &link).written(made.receipt))
}

/// Ends what the identity provider has signed out (`OpenID` Connect Back-Channel Logout 1.0, 2.5).
///
/// # Errors
/// As [`sso::back_channel`]; 400 for a form without a token.
pub async fn back_channel_logout(mut call: Call<SignIn>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let token = form.get("logout_token").ok_or(Failure::Malformed {
        code: "bad_form",
        field: Some("logout_token".to_owned()),
        reason: "the form has no `logout_token`".to_owned(),
    })?;
    let ended = sso::back_channel(&call.app, &call.permit, token).await?;
    Ok(Reply::json(StatusCode::OK, &SignedOut { sessions: ended }))
}
