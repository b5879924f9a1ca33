//! Waiting until a cluster is up, and saying which part is not.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::layout::Layout;
use super::process::{POLL, Part, tail};

/// How long a connection to the API server may take: it is on this machine.
const CONNECT: Duration = Duration::from_millis(200);

/// Waits until `done`, for at most `within`; `part` is the one that is waited for.
///
/// Fails with the end of a log: that of a part that has ended, or after `within` that of `part`.
pub(super) fn wait(
    layout: &Layout,
    parts: &mut [Part],
    part: &str,
    within: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + within;
    while !done() {
        for running in &mut *parts {
            if let Some(status) = running.child.try_wait()? {
                bail!(
                    "{} has ended ({status}); the end of its log:\n{}",
                    running.name,
                    log_tail(layout, running.name)
                );
            }
        }
        if Instant::now() > deadline {
            bail!(
                "{part} is not up after {} s; the end of its log:\n{}",
                within.as_secs(),
                log_tail(layout, part)
            );
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Whether something accepts connections at `address`.
pub(super) fn accepts(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, CONNECT).is_ok()
}

fn log_tail(layout: &Layout, part: &str) -> String {
    let log = layout.log(part);
    format!("{}\n(all of it: {})", tail(&log), log.display())
}
