//! Where an export goes on: the last whole record of a file.

use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use claviger_wire::ledger::Event;
use serde_json::Value;

use crate::{
    args::audit::ExportFormat,
    client::{Client, Query},
    error::Failure,
};

/// How much of a file is read at once, from its end.
const STEP: u64 = 64 * 1024;
/// More than any line of an export is long.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is known of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// How long it is up to the end of its last whole record, in bytes.
    pub(super) length: u64,
    pub(super) last: Last,
}

/// The last record of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Its number; and its id or that of its org, for every trail has a record of this number.
    Number { number: u64, of: String },
    /// Its id and its time: the bytes of a record do not have its number.
    Id { id: String, time: String },
}

/// Why a file cannot be gone on with.
#[derive(Debug)]
pub(super) enum Unfit {
    Io(std::io::Error),
    /// Its last line is none of this format.
    Other,
}

impl Unfit {
    pub(super) fn told(self, path: &Path) -> Failure {
        let path = path.display();
        match self {
            Self::Io(error) => Failure::Local(format!("cannot read {path}: {error}")),
            Self::Other => Failure::Local(format!(
                "{path} does not end with a record of this format: name another file"
            )),
        }
    }
}

/// The last record of a file; `None` for a file without one, which is begun anew.
pub(super) fn last_of(
    file: &mut (impl Read + Seek),
    format: ExportFormat,
) -> Result<Option<Known>, Unfit> {
    let Some((line, length)) = last_line(file).map_err(Unfit::Io)? else {
        // Nothing, or the beginning of our first line: it is not for us to empty what somebody else wrote.
        let (head, ours) = (head(file).map_err(Unfit::Io)?, beginning(format));
        let is_ours = head.iter().zip(ours).all(|(one, other)| one == other);
        return if is_ours { Ok(None) } else { Err(Unfit::Other) };
    };
    if format == ExportFormat::Csv && line.starts_with(beginning(format)) {
        let is_all = usize::try_from(length).is_ok_and(|length| length <= line.len() + 2);
        return if is_all { Ok(None) } else { Err(Unfit::Other) };
    }
    let last = read(&line, format).ok_or(Unfit::Other)?;
    Ok(Some(Known { length, last }))
}

/// What the first line of an export begins with.
const fn beginning(format: ExportFormat) -> &'static [u8] {
    match format {
        ExportFormat::Jsonl | ExportFormat::Tlog => b"{\"v\":1,\"id\":\"evt_",
        ExportFormat::Csv => b"seq,id,",
        ExportFormat::Ocsf => b"{\"activity_id\":",
        ExportFormat::CloudEvents => b"{\"specversion\":",
    }
}

fn head(file: &mut (impl Read + Seek)) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    file.take(32).read_to_end(&mut head)?;
    Ok(head)
}

/// The last whole line without its end, and where it ends.
fn last_line(file: &mut (impl Read + Seek)) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let mut from = file.seek(SeekFrom::End(0))?;
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        if let Some(end) = end {
            let before = tail.get(..end).unwrap_or_default();
            let begin = before.iter().rposition(|byte| *byte == b'\n');
            if begin.is_some() || from == 0 {
                let begin = begin.map_or(0, |at| at + 1);
                let line = before.get(begin..).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                let length = from + u64::try_from(end + 1).unwrap_or(0);
                return Ok(Some((line, length)));
            }
        }
        let size = u64::try_from(tail.len()).unwrap_or(u64::MAX);
        if from == 0 {
            return Ok(None);
        }
        if size > LINE_BYTES_MAX {
            let reason = "it has a line that is too long for a record";
            return Err(std::io::Error::other(reason));
        }
        let step = STEP.min(from);
        from -= step;
        file.seek(SeekFrom::Start(from))?;
        let mut part = vec![0; usize::try_from(step).unwrap_or(0)];
        file.read_exact(&mut part)?;
        part.append(&mut tail);
        tail = part;
    }
}

fn read(line: &[u8], format: ExportFormat) -> Option<Last> {
    if format == ExportFormat::Csv {
        let mut fields = line.split(|byte| *byte == b',').map(std::str::from_utf8);
        let number = fields.next()?.ok()?.parse().ok()?;
        let of = fields.next()?.ok()?.to_owned();
        return Some(Last::Number { number, of });
    }
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    match format {
        ExportFormat::Jsonl => {
            value.get("v")?;
            Some(Last::Id {
                id: text("id")?,
                time: text("time")?,
            })
        }
        ExportFormat::Ocsf => {
            let number = value.pointer("/metadata/sequence")?.as_u64()?;
            let org = value.pointer("/metadata/tenant_uid")?.as_str()?;
            let of = org.to_owned();
            Some(Last::Number { number, of })
        }
        ExportFormat::CloudEvents => {
            value.get("specversion")?;
            let id = text("id")?;
            let (org, number) = id.rsplit_once('/')?;
            let (number, of) = (number.parse().ok()?, org.to_owned());
            Some(Last::Number { number, of })
        }
        ExportFormat::Csv | ExportFormat::Tlog => None,
    }
}

impl Last {
    /// The number of the record in the trail, where it is one that this query finds.
    pub(super) async fn number(&self, query: &Query, client: &Client) -> Result<u64, Failure> {
        let (id, time) = match self {
            Self::Number { number, of } => return confirm((*number, of), query, client).await,
            Self::Id { id, time } => (id, time),
        };
        // From the time of the record on, in the order of the numbers: it is among the first.
        let mut after = "0".to_owned();
        loop {
            let mut query = query.clone();
            query.retain(|(name, _)| !["format", "since"].contains(name));
            query.extend([
                ("since", time.clone()),
                ("after", after.clone()),
                ("limit", "200".to_owned()),
            ]);
            let (part, _) = client.events_with_id(&query).await?;
            if let Some(event) = part.events.iter().find(|event| event.id == *id) {
                return Ok(event.seq);
            }
            after = part.next_cursor.ok_or_else(|| elsewhere(id))?;
        }
    }
}

/// The number, if the trail has that record under it.
async fn confirm(
    (number, of): (u64, &str),
    query: &Query,
    client: &Client,
) -> Result<u64, Failure> {
    let mut query = query.clone();
    query.retain(|(name, _)| *name != "format");
    query.extend([
        ("after", number.saturating_sub(1).to_string()),
        ("limit", "1".to_owned()),
    ]);
    let (part, _) = client.events_with_id(&query).await?;
    let is_it = |event: &Event| event.seq == number && [&*event.id, &*event.org].contains(&of);
    if part.events.first().is_some_and(is_it) {
        return Ok(number);
    }
    Err(elsewhere(&format!("number {number} of {of}")))
}

fn elsewhere(record: &str) -> Failure {
    Failure::Local(format!(
        "the last record of the file, {record}, is not in this trail: name another file"
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Known, Last, Unfit, last_of};
    use crate::args::audit::ExportFormat::{self, CloudEvents, Csv, Jsonl, Ocsf};

    fn last(text: &str, format: ExportFormat) -> Result<Option<Known>, ()> {
        last_of(&mut Cursor::new(text.as_bytes()), format).map_err(|unfit| match unfit {
            Unfit::Other => (),
            Unfit::Io(error) => panic!("{error}"),
        })
    }

    #[test]
    fn file_is_gone_on_with_behind_its_last_whole_record() {
        let at = |length, number, of: &str| {
            let of = of.to_owned();
            let last = Last::Number { number, of };
            Ok(Some(Known { length, last }))
        };
        assert_eq!(last("seq,id\r\n1,a\r\n2,b\r\n3,", Csv), at(18, 2, "b"));
        let line = "seq,id\r\n12,b,\"a,b\"\r\n";
        assert_eq!(last(line, Csv), at(20, 12, "b"));
        for empty in ["", "seq,", "seq,id,x\r\n", "seq,id,x\r\n1,a"] {
            assert_eq!(last(empty, Csv), Ok(None), "{empty}");
        }
        assert_eq!(last("{\"v\":1,\"id\":\"evt_01", Jsonl), Ok(None));
        assert_eq!(last("{\"activ", Ocsf), Ok(None));
        let long = "x".repeat(200_000);
        let line = format!(
            "{{\"metadata\":{{\"sequence\":7,\"tenant_uid\":\"org_1\"}},\"x\":\"{long}\"}}\n"
        );
        let length = u64::try_from(line.len()).expect("short");
        assert_eq!(last(&line, Ocsf), at(length, 7, "org_1"));
        assert_eq!(
            last(&format!("{{}}\n{line}{long}"), Ocsf),
            at(length + 3, 7, "org_1")
        );
        let line = "{\"specversion\":\"1.0\",\"id\":\"org_1/9\"}\n";
        assert_eq!(last(line, CloudEvents), at(37, 9, "org_1"));
        let known = last("{\"v\":1,\"id\":\"evt_1\",\"time\":\"t\"}\n", Jsonl);
        let (id, time) = ("evt_1".to_owned(), "t".to_owned());
        let last_id = Last::Id { id, time };
        assert_eq!(
            known,
            Ok(Some(Known {
                length: 32,
                last: last_id
            }))
        );
    }

    #[test]
    fn file_of_another_format_is_left_alone() {
        let event = "{\"specversion\":\"1.0\",\"id\":\"org_1/9\"}\n";
        for (text, format) in [
            (event, Jsonl),
            (event, Csv),
            (event, Ocsf),
            ("1,a\r\n", CloudEvents),
            ("my notes\n", Csv),
            ("my notes", Csv),
            ("seq", Ocsf),
            ("my notes\n", Jsonl),
            ("{\"name\":\"package\"}", Jsonl),
            ("{\"specversion\":\"1.0\"", Ocsf),
            ("some words", Csv),
            ("a,b\nseq,id\n", Csv),
        ] {
            assert_eq!(last(text, format), Err(()), "{text} {format:?}");
        }
    }
}
