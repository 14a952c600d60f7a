//! A server that serves a folder as the log of an org, as it is and as an attacker would.

use std::{
    fs,
    io::{BufRead as _, BufReader, Result, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    thread,
};

use serde_json::json;

/// What is wrong with the export in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is lost after as many records.
    LostAfter(usize),
    /// A line that does not end.
    Endless,
}

/// What is served.
#[derive(Debug, Clone)]
pub(crate) struct Standin {
    /// The folder with checkpoint, tiles and keys.
    pub(crate) folder: PathBuf,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) fault: Fault,
    /// The last record whose body is dropped, and the record that says so.
    pub(crate) dropped: Option<(usize, usize)>,
}

impl Standin {
    /// Serves until the test is over; gives the address.
    pub(crate) fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has what it wanted.
                self.answer(stream).ok();
            }
        });
        format!("http://{address}")
    }

    fn answer(&self, stream: TcpStream) -> Result<()> {
        let mut input = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        input.read_line(&mut first)?;
        let mut line = String::from("x");
        while !line.trim().is_empty() {
            line.clear();
            input.read_line(&mut line)?;
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == "/org/audit/export" {
            let after = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("after="));
            let after = after.and_then(|number| number.parse().ok());
            let dropped = self.dropped.map_or(0, |(last, _)| last);
            return self.export(stream, after.unwrap_or(0).max(dropped));
        }
        let body = match path.strip_prefix("/org/audit/log/") {
            Some(name) => fs::read(self.folder.join(name)).ok(),
            None if path == "/org/audit" => Some(self.decisions()),
            None => (path == "/org/audit/key").then(|| self.keys()),
        };
        let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), &body].concat())
    }

    /// The list of decisions that bodies are dropped.
    fn decisions(&self) -> Vec<u8> {
        let event = self.dropped.map(|(last, seq)| {
            json!({
                "seq": seq, "id": "evt_1", "time": "", "org": "", "kind": "retention", "tier": "none",
                "actor": "policy", "root": "policy", "method": "", "path": "", "route": "",
                "status": 200, "duration_us": 0, "nonce": "",
                "change": {"dropped": {"first": 1, "last": last}},
            })
        });
        let events: Vec<_> = event.into_iter().collect();
        json!({ "events": events, "next_cursor": null })
            .to_string()
            .into_bytes()
    }

    fn keys(&self) -> Vec<u8> {
        let keys = fs::read_to_string(self.folder.join("key")).expect("the keys");
        let each = keys.lines().enumerate().map(|(at, vkey)| {
            let id = vkey.split('+').nth(1).unwrap_or_default();
            json!({ "vkey": vkey, "id": id, "is_current": at == 0 })
        });
        let each: Vec<_> = each.collect();
        json!({ "origin": crate::log::ORIGIN, "keys": each })
            .to_string()
            .into_bytes()
    }

    /// In chunks, so that an end that comes too early can be told.
    fn export(&self, mut stream: TcpStream, after: usize) -> Result<()> {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        let mut chunk = |bytes: &[u8]| {
            write!(stream, "{:x}\r\n", bytes.len())?;
            stream.write_all(bytes)?;
            stream.write_all(b"\r\n")
        };
        if self.fault == Fault::Endless {
            loop {
                chunk(&[b'x'; 16 * 1024])?;
            }
        }
        let count = match self.fault {
            Fault::LostAfter(count) => count,
            Fault::None | Fault::Endless => usize::MAX,
        };
        for record in self.records.iter().skip(after).take(count) {
            chunk(&[record.as_slice(), b"\n"].concat())?;
        }
        if self.fault == Fault::None {
            chunk(b"")?;
        }
        Ok(())
    }
}
