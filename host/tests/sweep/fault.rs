//! What can befall a call.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::StatusCode;
use xtask::proxy::{Held, Point, Proxy, Refused, Spoilt};

use crate::call::{Journal, is_effective, is_watch};

/// How long the call may take to come: some seconds on an idle machine.
const COMES_WITHIN: Duration = Duration::from_secs(90);

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The host dies before the call arrives.
    CrashBefore,
    /// The host dies when the call is carried out.
    CrashAfter,
    /// The host dies when the call is carried out, and the next one finds an API server that is behind.
    RestartBehind,
    /// The call is carried out, and the connection is cut before the answer.
    AnswerLost,
    /// The call is not carried out: the object is another, or has changed.
    Conflict,
    /// The call is not carried out: what it goes on from is forgotten. A watch is refused so for as long as it asks for that version.
    Gone,
    /// The call is not carried out: there are too many.
    TooMany,
    /// The call is not carried out: something broke.
    Broken,
    /// The call is not carried out: the API server is not there.
    Unavailable,
    /// The call is carried out, and the answer says that it took too long.
    TimedOut,
    /// The call is not carried out and never answered.
    Hang,
}

/// A fault that waits for its call.
pub(crate) enum Armed {
    /// The host is to be killed when the call is held.
    Crash(Held, Next),
    /// The call is held until this is dropped.
    Hang(Held),
    /// The call is spoilt, which is told.
    Spoil(Receiver<()>),
    /// The call is refused until this is dropped; the text is the version that it asked for.
    Refuse(Refused, Arc<Mutex<Option<String>>>),
}

/// What the host finds that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The API server as it is.
    AsItIs,
    /// One that is behind.
    Behind,
}

impl Fault {
    /// Every fault.
    pub(crate) const ALL: &[Self] = &[
        Self::CrashBefore,
        Self::CrashAfter,
        Self::AnswerLost,
        Self::TimedOut,
        Self::RestartBehind,
        Self::Conflict,
        Self::Gone,
        Self::TooMany,
        Self::Broken,
        Self::Unavailable,
        Self::Hang,
    ];

    /// As a part of a test's name.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash_before",
            Self::CrashAfter => "crash_after",
            Self::RestartBehind => "restart_behind",
            Self::AnswerLost => "answer_lost",
            Self::Conflict => "409",
            Self::Gone => "410",
            Self::TooMany => "429",
            Self::Broken => "500",
            Self::Unavailable => "503",
            Self::TimedOut => "504",
            Self::Hang => "hang",
        }
    }

    /// Whether this fault at this call, which is the one of this number in its passage, is run without being asked for by `--include-ignored`:
    /// each call with one fault, which goes round from call to call, so that each fault befalls calls of each kind; and each write with a crash
    /// after it, because there what is known and what is so differ the most.
    pub(crate) fn is_always_run(self, call: &str, number: usize) -> bool {
        let in_turn = Self::ALL.get(number % Self::ALL.len()) == Some(&self);
        in_turn || (self == Self::CrashAfter && is_effective(call))
    }

    /// Has the fault befall the first call of this name.
    pub(crate) fn arm(self, call: &str, proxy: &Proxy, journal: &Arc<Journal>) -> Armed {
        let (name, noted) = (call.to_owned(), Arc::clone(journal));
        let first = move |_: &_| noted.is_first(&name);
        let refused = |status, first| Armed::Spoil(proxy.spoil(Spoilt::Refused(status), first));
        match self {
            Self::CrashBefore => {
                Armed::Crash(proxy.hold(Point::BeforeItArrives, first), Next::AsItIs)
            }
            Self::CrashAfter => {
                Armed::Crash(proxy.hold(Point::BeforeItIsAnswered, first), Next::AsItIs)
            }
            Self::RestartBehind => {
                Armed::Crash(proxy.hold(Point::BeforeItIsAnswered, first), Next::Behind)
            }
            Self::AnswerLost => Armed::Spoil(proxy.spoil(Spoilt::Unanswered, first)),
            Self::Conflict => refused(StatusCode::CONFLICT, first),
            Self::Gone if is_watch(call) => forgotten(call, proxy, journal),
            Self::Gone => refused(StatusCode::GONE, first),
            Self::TooMany => refused(StatusCode::TOO_MANY_REQUESTS, first),
            Self::Broken => refused(StatusCode::INTERNAL_SERVER_ERROR, first),
            Self::Unavailable => refused(StatusCode::SERVICE_UNAVAILABLE, first),
            Self::TimedOut => {
                let how = Spoilt::Disowned(StatusCode::GATEWAY_TIMEOUT);
                Armed::Spoil(proxy.spoil(how, first))
            }
            Self::Hang => Armed::Hang(proxy.hold(Point::BeforeItArrives, first)),
        }
    }
}

/// Refuses the watch for as long as it asks for the version that it asked for first.
fn forgotten(call: &str, proxy: &Proxy, journal: &Arc<Journal>) -> Armed {
    let (name, noted) = (call.to_owned(), Arc::clone(journal));
    let asked = Arc::new(Mutex::new(None));
    let first = Arc::clone(&asked);
    let refused = proxy.refuse(StatusCode::GONE, move |call| {
        let version = call.query().split('&').find(|part| part.starts_with("resourceVersion="));
        let version = version.unwrap_or_default().to_owned();
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_latest(&name) && *first.get_or_insert_with(|| version.clone()) == version
    });
    Armed::Refuse(refused, asked)
}

/// Waits until a spoilt call was there.
pub(crate) fn spoilt(told: &Receiver<()>) -> Result<()> {
    told.recv_timeout(COMES_WITHIN).context("the call that is to be spoilt did not come")
}
