//! A client for one connection at a time: it sends a request and reads the whole answer.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use crate::Failure;

/// A connection that is kept alive.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    /// What every request carries, each line with its end.
    credential: String,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head, in lines.
    head: Vec<String>,
    /// The body, as it came over the wire.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The same answer, if it says that the request was carried out.
    pub(crate) fn ok(self, what: &str) -> Result<Self, Failure> {
        if (200..400).contains(&self.status) {
            return Ok(self);
        }
        let words = String::from_utf8_lossy(&self.body).into_owned();
        Err(format!("{what}: {} {words}", self.status).into())
    }
}

impl Client {
    /// Connects. `credential` is a header such as `Authorization: Bearer …`, without its end.
    pub(crate) fn connect(address: &str, credential: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let credential = match credential {
            "" => String::new(),
            header => format!("{header}\r\n"),
        };
        Ok(Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            host: address.to_owned(),
            credential,
        })
    }

    /// Sends JSON, and wants it to be carried out.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, Failure> {
        let text = body.to_string();
        let answer = self.ask(method, path, Some(("application/json", &text)))?;
        answer.ok(&format!("{method} {path} {text}"))?.json()
    }

    /// Sends a request with a body of a type, or with none, and reads the answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &str)>,
    ) -> Result<Answer, Failure> {
        let Self {
            host, credential, ..
        } = self;
        // As a browser asks for a page of the same site.
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{credential}User-Agent: bench/1\r\nAccept: text/html,application/json\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
        );
        if let Some((kind, body)) = body {
            let length = body.len();
            text.push_str(&format!(
                "Origin: http://{host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        } else {
            text.push_str("\r\n");
        }
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> Result<Answer, Failure> {
        let first = self.line()?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u16>().ok())
            .ok_or_else(|| format!("not an answer: {first}"))?;
        let mut head = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut answer.body)?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse()?];
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<(), Failure> {
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            let from = body.len();
            body.resize(from + length, 0);
            self.stream
                .read_exact(body.get_mut(from..).unwrap_or_default())?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the connection was closed".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
