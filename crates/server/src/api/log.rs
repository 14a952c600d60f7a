//! `/org/audit/checkpoint`, `/org/audit/key`, `/org/audit/proof` and `/org/audit/log/…`: what an outsider
//! needs to verify the trail. The layout below `/org/audit/log/` is that of C2SP tlog-tiles.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use claviger_core::{
    action::ReadAudit,
    ledger::tree::{
        Hash,
        tile::{Resource, TILE_WIDTH},
    },
};
use claviger_wire::ledger::{ConsistencyProof, InclusionProof, LogKey, LogKeys, LogProof};
use http::{StatusCode, header};

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    log_key,
    ops::log,
};

/// The media type of a signed note.
pub(crate) const NOTE: &str = "text/plain; charset=utf-8";
/// The media type of a tile.
pub(crate) const TILE: &str = "application/octet-stream";
/// A full tile never changes, and is for whoever asked alone.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// By what besides the address a caller says whose log it means.
const WHOSE: &str = "authorization, cookie, x-org-id";

/// `GET /org/audit/checkpoint`, and below `/org/audit/log/`.
///
/// # Errors
/// 400 for another query than `cosigned`, 403, 404, 503.
pub async fn checkpoint(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&["cosigned"])?;
    let checkpoint = match query.parse("cosigned", "`true` or `false`")? {
        Some(true) => log::cosigned(&call.app, &call.permit).await?,
        Some(false) | None => log::checkpoint(&call.app, &call.permit).await?,
    };
    Ok(Reply::body(StatusCode::OK, NOTE, checkpoint.note))
}

/// `GET /org/audit/key`.
///
/// # Errors
/// 400 for a query.
pub async fn keys(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    call.query(&[])?;
    let keys = log::keys(&call.app, &call.permit).into_iter().enumerate();
    let keys = keys.map(|(at, key)| LogKey {
        vkey: key.to_string(),
        id: log_key::id_text(key.id()),
        is_current: at == 0,
    });
    let answer = LogKeys {
        origin: log_key::origin(call.org()),
        keys: keys.collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /org/audit/log/tile/{*path}`.
///
/// # Errors
/// 400 for a query, 403, 404, 503.
pub async fn tile(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    call.query(&[])?;
    let (bytes, is_full) = match Resource::parse(&format!("tile/{}", call.param(0))) {
        Some(Resource::Tile(tile)) => {
            let bytes = log::tile(&call.app, &call.permit, tile).await?;
            (bytes, tile.is_full())
        }
        Some(Resource::Entries(bundle)) => {
            let bytes = log::entries(&call.app, &call.permit, bundle).await?;
            (bytes, bundle.width() == TILE_WIDTH)
        }
        Some(Resource::Checkpoint) | None => return Err(Failure::NotFound("tile")),
    };
    let reply = Reply::body(StatusCode::OK, TILE, bytes).with(header::VARY, WHOSE);
    Ok(if is_full {
        reply.with(header::CACHE_CONTROL, FOR_EVER)
    } else {
        reply
    })
}

/// `GET /org/audit/proof`: with `seq` of a record, with `from` of an earlier tree.
///
/// # Errors
/// 400 for a query that asks for neither or both, 403, 422 for what is out of range, 503.
pub async fn proof(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&["seq", "size", "from", "to"])?;
    let number = |name| query.parse::<u64>(name, "a whole number");
    let (seq, size) = (number("seq")?, number("size")?);
    let (from, to) = (number("from")?, number("to")?);
    let proof = match (seq, from) {
        (Some(_), None) if to.is_none() && size == Some(0) => {
            let reason = "no record is in the empty tree: give a `size` of 1 or more";
            return Err(Failure::out_of_range("seq", reason));
        }
        (Some(seq), None) if to.is_none() => {
            let found = log::inclusion(&call.app, &call.permit, seq, size).await?;
            LogProof::Inclusion(InclusionProof {
                seq,
                leaf_hash: text(&found.leaf),
                size: found.head.size,
                root: text(&found.head.root),
                proof: found.proof.iter().map(text).collect(),
                checkpoint: found.head.note,
            })
        }
        (None, Some(from)) if size.is_none() => {
            let found = log::consistency(&call.app, &call.permit, from, to).await?;
            LogProof::Consistency(ConsistencyProof {
                from,
                from_root: text(&found.from_root),
                to: found.head.size,
                to_root: text(&found.head.root),
                proof: found.proof.iter().map(text).collect(),
                checkpoint: found.head.note,
            })
        }
        _ => {
            return Err(Failure::Malformed {
                code: "bad_query",
                field: None,
                reason:
                    "give `seq`, and perhaps `size`, for the proof of a record; or `from`, and \
                         perhaps `to`, for that of an earlier tree"
                        .to_owned(),
            });
        }
    };
    Ok(Reply::json(StatusCode::OK, &proof))
}

fn text(hash: &Hash) -> String {
    BASE64.encode(hash.as_bytes())
}
