//! A member at work: answers other members and the kubelet.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};

use crate::http::{self, Message, Status};
use crate::volume::{Stored, Volume, digest};

/// How many requests are answered at once. Each may hold a file in memory.
const REQUESTS_MAX: usize = 4;

/// Serves the volume until the process is told to stop.
///
/// `name` is the member's own: a request that says it is meant for another member is turned away, since an address may pass from one
/// pod to another.
pub(crate) fn serve(volume: Volume, listen: &str, name: String) -> Result<()> {
    volume.clear_partials()?;
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    println!("{name} listens on {}", listener.local_addr()?);
    accept(&listener, Member { volume, name })
}

struct Member {
    volume: Volume,
    name: String,
}

fn accept(listener: &TcpListener, member: Member) -> Result<()> {
    let member = Arc::new(member);
    let running = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = stream.context("accepting a connection")?;
        if running.fetch_add(1, Ordering::SeqCst) >= REQUESTS_MAX {
            running.fetch_sub(1, Ordering::SeqCst);
            // Whoever asked tries again; a connection that cannot even be told is as good as closed.
            let _ = http::answer(&stream, Status::Unavailable, b"busy\n");
            continue;
        }
        let (member, running) = (Arc::clone(&member), Arc::clone(&running));
        thread::spawn(move || {
            if let Err(problem) = member.converse(&stream) {
                eprintln!("a request failed: {problem:#}");
            }
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(())
}

impl Member {
    fn converse(&self, stream: &TcpStream) -> Result<()> {
        let request = http::read(stream)?;
        let (status, body) = self
            .answer(&request)
            .unwrap_or_else(|problem| (Status::Unavailable, format!("{problem:#}\n").into_bytes()));
        http::answer(stream, status, &body)
    }

    fn answer(&self, request: &Message) -> Result<(Status, Vec<u8>)> {
        if request.headers.get("x-member").is_some_and(|meant| *meant != self.name) {
            return Ok((Status::Misdirected, format!("this is {}\n", self.name).into_bytes()));
        }
        let [method, path, _] = &request.start;
        match (method.as_str(), path.as_str(), path.strip_prefix("/file/")) {
            ("GET", "/ready", _) => Ok((Status::Ok, b"ready\n".to_vec())),
            ("GET", "/list", _) => {
                let list = self.volume.files()?.iter().map(|file| format!("{file}\n")).collect();
                Ok((Status::Ok, String::into_bytes(list)))
            }
            ("GET", _, Some(name)) => Ok(match self.volume.read(name) {
                Ok(content) => (Status::Ok, content),
                Err(problem) => (Status::NotFound, format!("{problem:#}\n").into_bytes()),
            }),
            ("PUT", _, Some(name)) => self.put(name, request),
            _ => Ok((Status::NotFound, b"no such thing\n".to_vec())),
        }
    }

    /// Stores a file and answers the digest of what was received. The digest that the sender names must be the same.
    fn put(&self, name: &str, request: &Message) -> Result<(Status, Vec<u8>)> {
        let sha256 = digest(&request.body);
        if request.headers.get("x-sha256") != Some(&sha256) {
            return Ok((Status::BadRequest, b"X-Sha256 is not that of the body\n".to_vec()));
        }
        Ok(match self.volume.store(name, &request.body)? {
            Stored::Held => (Status::Ok, sha256.into_bytes()),
            Stored::Conflict => (Status::Conflict, b"another file of this name is here\n".to_vec()),
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::peer::Peer;

    /// A member on a port of its own that serves `folder` until the test ends.
    pub(crate) fn member(name: &str, folder: &std::path::Path) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let member = Member { volume: Volume::open(folder).unwrap(), name: name.to_owned() };
        thread::spawn(move || accept(&listener, member));
        Peer { name: name.to_owned(), address }
    }
}
