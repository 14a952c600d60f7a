//! `/org/tokens/{id}/rotate` and its ends.

use std::time::Duration;

use claviger_core::{
    action::RotateKey,
    id::KeyId,
    key::{Overlap, SHOWN_ONCE},
    time::parse_duration,
};
use claviger_store::RotationEnd;
use claviger_wire::keys as wire;
use http::StatusCode;

use super::keys::seen;
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::rotations::{self, Plan},
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
    let plan = plan(&body)?;
    let new = rotations::rotate(&call.app, &call.permit, id, plan, &call.trace).await?;
    let (previous_last_used_at, previous_last_used_from) = seen(new.previous_use);
    let answer = wire::RotatedKey {
        id: id.to_string(),
        prefix: new.rotated.key.prefix.to_string(),
        auth_token: new.secret.expose().to_owned(),
        warning: SHOWN_ONCE.to_owned(),
        previous_prefix: new.rotated.old.prefix.to_string(),
        overlap_until: new.overlap_until.to_string(),
        previous_last_used_at,
        previous_last_used_from,
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(new.receipt))
}

/// When the old secret is to end.
pub(crate) fn plan(body: &wire::RotationRequest) -> Result<Plan, Failure> {
    let both = body.on_first_use == Some(true) && body.when_quiet.is_some();
    if both {
        let reason = "cannot be given together with `on_first_use`";
        return Err(Failure::out_of_range("when_quiet", reason));
    }
    let given = body.overlap.as_deref();
    let given = given.map(|text| overlap("overlap", text)).transpose()?;
    if body.on_first_use == Some(true) {
        return Ok(Plan {
            longest: rotations::OVERLAP_MAX,
            overlap: Overlap::OnFirstUse(given.unwrap_or(OVERLAP)),
        });
    }
    if let Some(text) = body.when_quiet.as_deref() {
        let quiet = overlap("when_quiet", text)?;
        if quiet.is_zero() {
            return Err(Failure::out_of_range("when_quiet", "must be at least 1s"));
        }
        return Ok(Plan {
            longest: given.unwrap_or(rotations::OVERLAP_MAX),
            overlap: Overlap::WhenQuiet(quiet),
        });
    }
    Ok(Plan {
        longest: given.unwrap_or(OVERLAP),
        overlap: Overlap::Fixed,
    })
}

fn overlap(field: &'static str, text: &str) -> Result<Duration, Failure> {
    let span = match text {
        "0" => Ok(Duration::ZERO),
        text => parse_duration(text),
    };
    match span {
        Ok(span) if span <= rotations::OVERLAP_MAX => Ok(span),
        Ok(_) => Err(Failure::out_of_range(field, "must be at most 30d")),
        Err(error) => Err(Failure::out_of_range(field, format!("is {error}"))),
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
