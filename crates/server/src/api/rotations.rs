//! `/org/tokens/{id}/rotate` and its ends.

use std::time::Duration;

use claviger_core::{action::RotateKey, id::KeyId, key::SHOWN_ONCE, time::parse_duration};
use claviger_store::RotationEnd;
use claviger_wire::keys as wire;
use http::StatusCode;

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::rotations,
};

/// The overlap unless the caller says otherwise.
const OVERLAP: Duration = Duration::from_hours(24);

/// `POST /org/tokens/{id}/rotate`.
///
/// # Errors
/// As [`rotations::rotate`], and 422 for an overlap that cannot be used.
pub async fn rotate(mut call: Call<RotateKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let body: wire::RotationRequest = call.json_or_default().await?;
    let overlap = overlap(body.overlap.as_deref())?;
    let new = rotations::rotate(&call.app, &call.permit, id, overlap, &call.trace).await?;
    let answer = wire::RotatedKey {
        id: id.to_string(),
        prefix: new.rotated.key.prefix.to_string(),
        auth_token: new.secret.expose().to_owned(),
        warning: SHOWN_ONCE.to_owned(),
        previous_prefix: new.rotated.old.prefix.to_string(),
        overlap_until: new.rotated.old.ends_at.to_string(),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(new.receipt))
}

fn overlap(text: Option<&str>) -> Result<Duration, Failure> {
    let span = match text {
        None => return Ok(OVERLAP),
        Some("0") => Ok(Duration::ZERO),
        Some(text) => parse_duration(text),
    };
    match span {
        Ok(span) if span <= rotations::OVERLAP_MAX => Ok(span),
        Ok(_) => Err(Failure::out_of_range("overlap", "must be at most 30d")),
        Err(error) => Err(Failure::out_of_range("overlap", format!("is {error}"))),
    }
}

/// `POST /org/tokens/{id}/rotate/finish`: the old secret ends now.
///
/// # Errors
/// As [`rotations::end`].
pub async fn finish(call: Call<RotateKey>) -> Result<Reply, Failure> {
    end(call, RotationEnd::Finish).await
}

/// `POST /org/tokens/{id}/rotate/cancel`: the new secret ends now.
///
/// # Errors
/// As [`rotations::end`].
pub async fn cancel(call: Call<RotateKey>) -> Result<Reply, Failure> {
    end(call, RotationEnd::Cancel).await
}

async fn end(mut call: Call<RotateKey>, end: RotationEnd) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let _nothing: wire::RotationEndRequest = call.json_or_default().await?;
    let written = rotations::end(&call.app, &call.permit, id, end, &call.trace).await?;
    let view = super::keys::view(&call.app, &written.value.key);
    Ok(Reply::json(StatusCode::OK, &view).written(written.receipt))
}
