//! Another member, seen from the one that leaves.

use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::http::{self, Message};
use crate::volume::StoredFile;

/// How long a connection may take to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How often a request is tried. Enough to outlive a busy moment of the member; a member that is away for longer ends the drain, and
/// another attempt follows.
const TRIES_MAX: u32 = 5;

/// The wait after the first try that failed, longer after each further one.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A member that takes files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The name of its pod, which it must answer to.
    pub(crate) name: String,
    /// Host and port.
    pub(crate) address: String,
}

/// Reads `NAME=HOST:PORT,...`. Fails where nobody is named.
pub(crate) fn parse(list: &str) -> Result<Vec<Peer>> {
    let parse = |item: &str| {
        let (name, address) = item.split_once('=')?;
        (!name.is_empty() && address.contains(':'))
            .then(|| Peer { name: name.to_owned(), address: address.to_owned() })
    };
    list.split(',')
        .map(|item| {
            parse(item).with_context(|| format!("`{item}` in --peers is not NAME=HOST:PORT"))
        })
        .collect()
}

impl Peer {
    /// What the member holds, as it reads it from its volume for this answer.
    pub(crate) fn list(&self) -> Result<Vec<StoredFile>> {
        let body = self.ask("GET", "/list", &[], &[])?;
        let text = String::from_utf8(body).with_context(|| format!("the list of {}", self.name))?;
        text.lines()
            .map(|line| {
                StoredFile::parse(line)
                    .with_context(|| format!("{} lists `{line}`, which is no file", self.name))
            })
            .collect()
    }

    /// Hands a file over. When it succeeds, the member has written it to disk and answered its digest.
    pub(crate) fn put(&self, file: &StoredFile, content: &[u8]) -> Result<()> {
        let path = format!("/file/{}", file.name);
        let answer = self.ask("PUT", &path, &[("X-Sha256", &file.sha256)], content)?;
        ensure!(
            answer == file.sha256.as_bytes(),
            "{} answers another digest for {} than {}",
            self.name,
            file.name,
            file.sha256
        );
        Ok(())
    }

    /// Asks until there is an answer. Only what may pass is tried again.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<u8>> {
        let mut headers = headers.to_vec();
        headers.push(("X-Member", &self.name));
        for number in 1.. {
            let answer = self.ask_once(method, path, &headers, body);
            let problem = match answer.as_ref().map(|answer| answer.start[1].as_str()) {
                Ok("200") => return answer.map(|answer| answer.body),
                Ok("503") => format!("{} is busy", self.name),
                Ok(code) => bail!("{} answers {method} {path} with {code}", self.name),
                Err(problem) => format!("{}: {problem:#}", self.name),
            };
            ensure!(number < TRIES_MAX, "{problem}, also after {TRIES_MAX} tries");
            thread::sleep(TRY_AGAIN_AFTER * number);
        }
        bail!("{} was never asked", self.name)
    }

    fn ask_once(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Message> {
        let address = self
            .address
            .to_socket_addrs()
            .with_context(|| format!("looking up {}", self.address))?
            .next()
            .with_context(|| format!("{} has no address", self.address))?;
        let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)
            .with_context(|| format!("connecting to {}", self.address))?;
        http::request(&stream, method, path, headers, body)?;
        http::read(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::testing::member;
    use crate::volume::digest;

    #[test]
    fn peers_are_read_with_their_names() {
        let peers = parse("shards-0=10.0.0.1:8080,shards-1=[fd00::1]:8080").unwrap();
        assert_eq!(peers[1].name, "shards-1");
        assert_eq!(peers[1].address, "[fd00::1]:8080");
        for wrong in ["", "shards-0", "shards-0=", "=10.0.0.1:8080", "shards-0=10.0.0.1:1,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stranger_at_the_address_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut peer = member("shards-1", folder.path());
        let file = StoredFile { name: "a".to_owned(), sha256: digest(b"one"), bytes: 3 };
        peer.put(&file, b"one").unwrap();
        assert_eq!(peer.list().unwrap(), [file]);

        peer.name = "shards-0".to_owned();
        assert!(peer.list().unwrap_err().to_string().contains("421"));
    }
}
