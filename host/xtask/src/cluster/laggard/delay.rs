//! A proxy before etcd that delays what it streams and nothing else. An answer to a question comes at once; what etcd sends on a stream whose
//! other end is still open is an event of a watch.
//!
//! It reads the frames of HTTP/2 and leaves their content alone: headers must be passed on in their order, because each builds on those before.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// What a client sends before its first frame.
const PREFACE_BYTES: usize = 24;

/// The head of a frame: three bytes of length, one of kind, one of flags, four of the stream's number.
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Delay {
    address: SocketAddr,
    _runtime: Runtime,
}

/// A frame of HTTP/2 with its head.
struct Frame(Vec<u8>);

/// A frame on its way to the client.
enum Passing {
    AtOnce(Frame),
    At(Instant, Frame),
}

/// The streams on which the client has said all that it has to say: what comes there is an answer.
type Asked = Arc<Mutex<BTreeSet<u32>>>;

impl Delay {
    /// A proxy to etcd that delays its events by so much.
    pub(super) fn start(etcd: SocketAddr, by: Duration) -> Result<Self> {
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that fails is closed, and the API server makes another.
                tokio::spawn(async move { connect(client, etcd, by).await });
            }
        });
        Ok(Self { address, _runtime: runtime })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Frame {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = vec![0; HEAD_BYTES];
        from.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        bytes.resize(HEAD_BYTES + length, 0);
        from.read_exact(&mut bytes[HEAD_BYTES..]).await?;
        Ok(Self(bytes))
    }

    fn is(&self, kind: u8) -> bool {
        self.0[3] == kind
    }

    fn ends_stream(&self) -> bool {
        (self.is(DATA) || self.is(HEADERS)) && self.0[4] & END_STREAM != 0
    }

    fn stream(&self) -> u32 {
        u32::from_be_bytes([self.0[5], self.0[6], self.0[7], self.0[8]])
    }
}

async fn connect(client: TcpStream, etcd: SocketAddr, by: Duration) -> io::Result<()> {
    let etcd = TcpStream::connect(etcd).await?;
    client.set_nodelay(true)?;
    etcd.set_nodelay(true)?;
    let asked = Asked::default();
    let (from_client, to_client) = client.into_split();
    let (from_etcd, to_etcd) = etcd.into_split();
    let (passing, passed) = unbounded_channel();
    // Where one ends the others have nothing to do any more.
    tokio::select! {
        ended = ask(from_client, to_etcd, &asked) => ended,
        ended = answer(from_etcd, &passing, &asked, by) => ended,
        ended = pass(passed, to_client) => ended,
    }
}

async fn ask(mut client: OwnedReadHalf, mut etcd: OwnedWriteHalf, asked: &Asked) -> io::Result<()> {
    let mut preface = [0; PREFACE_BYTES];
    client.read_exact(&mut preface).await?;
    etcd.write_all(&preface).await?;
    loop {
        let frame = Frame::read(&mut client).await?;
        if frame.ends_stream() {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(frame.stream());
        }
        etcd.write_all(&frame.0).await?;
    }
}

async fn answer(
    mut etcd: OwnedReadHalf,
    passing: &UnboundedSender<Passing>,
    asked: &Asked,
    by: Duration,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut etcd).await?;
        let is_answer = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            if frame.ends_stream() {
                asked.remove(&frame.stream())
            } else {
                asked.contains(&frame.stream())
            }
        };
        let late = frame.is(DATA) && !is_answer;
        let frame =
            if late { Passing::At(Instant::now() + by, frame) } else { Passing::AtOnce(frame) };
        passing.send(frame).map_err(io::Error::other)?;
    }
}

async fn pass(
    mut passed: UnboundedReceiver<Passing>,
    mut client: OwnedWriteHalf,
) -> io::Result<()> {
    let mut late: VecDeque<(Instant, Frame)> = VecDeque::new();
    loop {
        let due = late.front().map(|(at, _)| *at);
        let next = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            frame = passed.recv() => match frame {
                Some(Passing::AtOnce(frame)) => client.write_all(&frame.0).await?,
                Some(Passing::At(at, frame)) => late.push_back((at, frame)),
                None => return Ok(()),
            },
            () = next => if let Some((_, frame)) = late.pop_front() {
                client.write_all(&frame.0).await?;
            },
        }
    }
}
