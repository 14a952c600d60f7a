//! `POST /org/login-links`.

use claviger_core::action::MakeLoginLink;
use claviger_wire::people::LoginLink;
use http::StatusCode;

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::sign_ins,
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
