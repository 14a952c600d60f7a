//! A small HTTP/1.1 client: one connection that is kept, and an answer within a time or an error.

use std::{
    io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// A connection to a server, as one caller at a time.
#[derive(Debug)]
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
}

/// An answer that has arrived whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head after the first.
    pub(crate) head: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(':'));
        let mut values = pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in an answer {}: {}", self.status, self.body))
    }
}

impl Http {
    /// Connects. `limit` is how long the server may be silent within an answer.
    pub(crate) fn connect(url: &str, limit: Duration) -> Result<Self> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its answer. `line` is such as `GET /org/whoami`; an empty body is
    /// none.
    pub(crate) fn ask(&mut self, line: &str, token: &str, body: &str) -> Result<Answer> {
        let length = body.len();
        let mut request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        if length > 0 {
            request.push_str("Content-Type: application/json\r\n");
        }
        request.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| bad(&first))?;
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
            body: String::new(),
        };
        let body = match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().map_err(|_bad| bad(length))?)?,
            None => self.chunks()?,
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(whole) => Ok(whole.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).map_err(|_bad| bad(&size))?;
            body.extend(self.exactly(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not HTTP: {what}"))
}
