//! As much of HTTP/1.1 as the store speaks: one request a connection, bodies with a length.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::volume::FILE_BYTES_MAX;

/// How long one read or write may block. A peer that is silent for longer is gone.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The most that the first line and the headers may have together.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// A request or an answer.
pub(crate) struct Message {
    /// `GET /list HTTP/1.1` or `HTTP/1.1 200 OK`, split at the spaces into three.
    pub(crate) start: [String; 3],
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer's code and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    Conflict,
    /// The request was meant for another member.
    Misdirected,
    Unavailable,
}

/// Reads one message. Fails on what is not HTTP, on what is too long and on silence.
pub(crate) fn read(stream: &TcpStream) -> Result<Message> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut reader = BufReader::new(stream);
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let start = line(&mut head)?;
    let mut words = start.splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().with_context(|| format!("`{start}` does not begin a message"));
    let start = [word()?, word()?, word()?];
    let mut headers = BTreeMap::new();
    loop {
        let header = line(&mut head)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').context("a header has no colon")?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse::<usize>())?;
    ensure!(length <= FILE_BYTES_MAX, "a body of {length} bytes is too long");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).context("reading a body")?;
    Ok(Message { start, headers, body })
}

/// Writes a request.
pub(crate) fn request(
    mut stream: &TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: shards\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream.flush()?)
}

/// Writes an answer.
pub(crate) fn answer(mut stream: &TcpStream, status: Status, body: &[u8]) -> Result<()> {
    let head = format!(
        "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        status.line(),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream.flush()?)
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Conflict => "409 Conflict",
            Self::Misdirected => "421 Misdirected Request",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

fn line(head: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    head.read_line(&mut line).context("reading a line")?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => bail!("a message ends or grows too long before its body"),
    }
}
