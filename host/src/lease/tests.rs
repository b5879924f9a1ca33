//! The keeper against an API that does what it is told to do wrong, on call N.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use axum::body::Body as Answer;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// How long is waited for what comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is refused with this status.
    Refused(u16),
    /// It never comes to the API.
    LostBefore,
    /// It is carried out, and its answer is lost.
    LostAfter,
    /// It is never answered, nor carried out.
    Hang,
    /// It is carried out, and never answered.
    HangAfter,
}

#[derive(Default)]
struct Fake {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    gate: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    calls: Vec<String>,
    faults: BTreeMap<usize, Fault>,
    /// From which call on nothing is answered.
    silent_from: Option<usize>,
    /// Which call waits until the gate is opened.
    gated: Option<usize>,
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_faults(faults: impl IntoIterator<Item = (usize, Fault)>) -> Arc<Self> {
        let fake = Self::default();
        fake.state().faults = faults.into_iter().collect();
        Arc::new(fake)
    }

    fn client(self: &Arc<Self>) -> Client {
        let fake = Arc::clone(self);
        let service = tower::service_fn(move |request| Arc::clone(&fake).answer(request));
        Client::new(service, "ns")
    }

    fn holder(&self) -> Option<String> {
        let holder = self.state().lease.as_ref()?.pointer("/spec/holderIdentity")?.clone();
        Some(holder.as_str()?.to_owned())
    }

    fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Answer>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
        let (call, fault, silent, gated) = {
            let mut state = self.state();
            let call = state.calls.len();
            state.calls.push(if is_watch { "WATCH".into() } else { parts.method.to_string() });
            let silent = state.silent_from.is_some_and(|from| call >= from);
            (call, state.faults.get(&call).copied(), silent, state.gated == Some(call))
        };
        if gated {
            let _ = self.gate.subscribe().wait_for(|open| *open).await;
        }
        let lost = || std::io::Error::other(format!("call {call} is lost"));
        match fault {
            Some(Fault::Refused(code)) => return Ok(status(code)),
            Some(Fault::LostBefore) => return Err(lost()),
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::LostAfter | Fault::HangAfter) | None if silent => {
                return std::future::pending().await;
            }
            Some(Fault::LostAfter | Fault::HangAfter) | None => {}
        }
        let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let answer = if is_watch {
            let query = parts.uri.query().unwrap_or_default();
            let since = query.split('&').find_map(|it| it.strip_prefix("resourceVersion="));
            self.watch(since.and_then(|it| it.parse().ok()).unwrap_or_default())
        } else {
            self.serve(&parts.method, &body)
        };
        match fault {
            Some(Fault::LostAfter) => Err(lost()),
            Some(Fault::HangAfter) => std::future::pending().await,
            Some(Fault::Refused(_) | Fault::LostBefore | Fault::Hang) | None => Ok(answer),
        }
    }

    fn serve(&self, method: &Method, body: &[u8]) -> Response<Answer> {
        let mut state = self.state();
        let found = state.lease.clone();
        match (method, found) {
            (&Method::GET, Some(lease)) => ok(&lease),
            (&Method::POST, Some(_)) => status(409),
            (&Method::GET | &Method::PUT, None) => status(404),
            (_, found) => {
                let mut lease: Value = serde_json::from_slice(body).unwrap();
                let version = |it: &Value| it["metadata"]["resourceVersion"].clone();
                if found.is_some_and(|found| version(&found) != version(&lease)) {
                    return status(409);
                }
                state.version += 1;
                lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
                state.lease = Some(lease.clone());
                self.changed.send_replace(state.version);
                ok(&lease)
            }
        }
    }

    fn watch(self: &Arc<Self>, since: u64) -> Response<Answer> {
        let state = (Arc::clone(self), self.changed.subscribe(), since);
        let changes = futures::stream::unfold(state, |(fake, mut changed, since)| async move {
            let version = *changed.wait_for(|version| *version > since).await.ok()?;
            let lease = fake.state().lease.clone();
            let line = format!("{}\n", json!({ "type": "MODIFIED", "object": lease }));
            Some((Ok::<_, std::io::Error>(line), (fake, changed, version)))
        });
        Response::new(Answer::from_stream(changes))
    }
}

fn ok(lease: &Value) -> Response<Answer> {
    Response::new(Answer::from(lease.to_string()))
}

fn status(code: u16) -> Response<Answer> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "as the test wants it",
        "reason": reason,
        "code": code,
    });
    let mut answer = Response::new(Answer::from(status.to_string()));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

/// Spans with a long life and a short pause: nothing but an expiry takes long.
fn patient() -> Timing {
    Timing {
        duration: Duration::from_secs(3_600),
        renew_deadline: Duration::from_secs(1_800),
        retry: Duration::from_millis(20),
    }
}

/// A host on this API.
struct Host {
    tenure: Arc<Tenure>,
    readiness: Readiness,
    let_go: watch::Sender<bool>,
    keep: JoinHandle<anyhow::Result<()>>,
    identity: String,
}

impl Host {
    fn start(fake: &Arc<Fake>, pod: &str, timing: Timing) -> Self {
        let terms = Terms {
            namespace: "ns".into(),
            name: "tidegate".into(),
            identity: identity(pod),
            timing,
        };
        let (let_go, told) = watch::channel(false);
        let tenure = Arc::new(Tenure::waiting());
        let readiness = Readiness::default();
        readiness.set(Part::Watches);
        let identity = terms.identity.clone();
        let keeper = Keeper::new(fake.client(), terms, Arc::clone(&tenure), readiness.clone());
        Self { tenure, readiness, let_go, keep: tokio::spawn(keeper.keep(told)), identity }
    }

    async fn acts(&self) {
        timeout(SOON, self.tenure.begins()).await.expect("the host never acts");
        assert!(self.tenure.is_held());
    }

    async fn ends(self) -> anyhow::Result<()> {
        self.let_go.send_replace(true);
        timeout(SOON, self.keep).await.expect("the keeper never ends").unwrap()
    }

    fn is_ready(&self) -> bool {
        self.readiness.status().0 == StatusCode::OK
    }
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looks = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, looks).await.unwrap_or_else(|_| panic!("it is not so that {what}"));
}

#[tokio::test]
async fn the_first_host_makes_the_lease_and_gives_it_back() {
    let fake = Fake::with_faults([]);
    let host = Host::start(&fake, "a", patient());
    host.acts().await;
    assert!(host.is_ready());
    assert_eq!(fake.holder().as_deref(), Some(host.identity.as_str()));
    host.ends().await.unwrap();
    assert_eq!(fake.holder().as_deref(), Some(""));
    assert_eq!(fake.calls()[..2], ["GET", "POST"]);
    let lease = fake.state().lease.clone().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
}

#[tokio::test]
async fn the_host_that_waits_is_ready_and_takes_a_released_lease_without_waiting_for_its_end() {
    let fake = Fake::with_faults([]);
    let first = Host::start(&fake, "a", patient());
    first.acts().await;
    let second = Host::start(&fake, "b", patient());
    until("the second is ready", || second.is_ready()).await;
    until("the second watches", || fake.calls().iter().any(|call| call == "WATCH")).await;
    assert!(!second.tenure.is_held());
    first.ends().await.unwrap();
    second.acts().await;
    assert_eq!(fake.holder().as_deref(), Some(second.identity.as_str()));
    let lease = fake.state().lease.clone().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 3_600);
    second.ends().await.unwrap();
}

#[tokio::test]
async fn a_host_that_died_is_followed_when_its_lease_ends() {
    let fake = Fake::with_faults([]);
    let timing = Timing {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        retry: Duration::from_millis(100),
    };
    let first = Host::start(&fake, "a", timing);
    first.acts().await;
    let second = Host::start(&fake, "b", timing);
    until("the second is ready", || second.is_ready()).await;
    first.keep.abort();
    second.acts().await;
    assert!(!first.tenure.is_held(), "the tenure of the dead one was not over");
}

#[tokio::test]
async fn whatever_goes_wrong_with_one_call_the_host_acts_and_gives_the_lease_back() {
    let faults = [
        Fault::Refused(409),
        Fault::Refused(500),
        Fault::Refused(403),
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Hang,
        Fault::HangAfter,
    ];
    // A hang is given up after half the deadline. The duration is long, so that nothing goes on because a lease ends.
    let timing = Timing { renew_deadline: Duration::from_secs(4), ..patient() };
    // A read, a write, renewals, and whatever follows of a fault at each.
    let cases = (0..8).flat_map(|call| faults.map(|fault| (call, fault)));
    let runs = cases.map(|(call, fault)| async move {
        let fake = Fake::with_faults([(call, fault)]);
        let host = Host::start(&fake, "a", timing);
        host.acts().await;
        until("the calls are made", || fake.calls().len() > call + 2).await;
        assert!(host.tenure.is_held(), "{fault:?} at call {call}: {:?}", fake.calls());
        host.ends().await.unwrap();
        assert_eq!(fake.holder().as_deref(), Some(""), "{fault:?} at call {call}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_release_it_is_released_or_the_host_ends_all_the_same() {
    for (fault, released) in [
        (Fault::Refused(409), true),
        (Fault::LostBefore, true),
        (Fault::LostAfter, true),
        (Fault::Refused(500), true),
    ] {
        let fake = Fake::with_faults([]);
        let slow = Timing { retry: Duration::from_secs(900), ..patient() };
        let host = Host::start(&fake, "a", slow);
        host.acts().await;
        let call = fake.calls().len();
        fake.state().faults.insert(call, fault);
        host.ends().await.unwrap();
        assert_eq!(fake.holder().as_deref() == Some(""), released, "{fault:?}: {:?}", fake.calls());
    }
}

#[tokio::test]
async fn an_api_that_falls_silent_ends_the_tenure() {
    let fake = Fake::with_faults([]);
    let timing = Timing {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        retry: Duration::from_millis(100),
    };
    let host = Host::start(&fake, "a", timing);
    host.acts().await;
    let from = fake.calls().len();
    fake.state().silent_from = Some(from);
    until("the tenure is over", || !host.tenure.is_held()).await;
    let lost = timeout(SOON, host.keep).await.expect("the keeper never ends").unwrap();
    let why = lost.unwrap_err().to_string();
    assert!(why.contains("no renewal of it was taken in 2 s"), "{why}");
    assert!(!host.tenure.is_held());
}

#[tokio::test]
async fn a_lease_that_another_takes_is_lost_at_the_next_renewal() {
    let fake = Fake::with_faults([]);
    let host = Host::start(&fake, "a", patient());
    host.acts().await;
    {
        let mut state = fake.state();
        state.version += 1;
        let version = state.version.to_string();
        let lease = state.lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("b");
        lease["metadata"]["resourceVersion"] = json!(version);
    }
    let lost = timeout(SOON, host.keep).await.expect("the keeper never ends").unwrap();
    assert!(lost.unwrap_err().to_string().contains("held by \"b\""));
    assert!(!host.tenure.is_held());
    assert_eq!(fake.holder().as_deref(), Some("b"), "the lease of another was written");
}

#[tokio::test]
async fn a_lease_of_another_program_is_left_alone_and_the_host_is_not_ready() {
    let fake = Fake::with_faults([]);
    let foreign = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "tidegate", "resourceVersion": "7" },
        "spec": { "holderIdentity": "", "leaseDurationSeconds": 1 },
    });
    fake.state().lease = Some(foreign.clone());
    fake.state().version = 7;
    let host = Host::start(&fake, "a", patient());
    until("it watches", || fake.calls().iter().any(|call| call == "WATCH")).await;
    assert!(!host.is_ready());
    assert!(!host.tenure.is_held());
    host.ends().await.unwrap();
    assert_eq!(fake.state().lease, Some(foreign));
    assert!(fake.calls().iter().all(|call| call == "GET" || call == "WATCH"));
}

/// Cancelling a renewal and releasing beside it would let the two meet: kubernetes#137988.
#[tokio::test]
async fn a_renewal_that_is_under_way_ends_before_the_release() {
    let fake = Fake::with_faults([]);
    fake.state().gated = Some(2);
    let host = Host::start(&fake, "a", patient());
    host.acts().await;
    until("the renewal is under way", || fake.calls().len() == 3).await;
    host.let_go.send_replace(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(fake.calls(), ["GET", "POST", "PUT"]);
    fake.gate.send_replace(true);
    host.ends().await.unwrap();
    assert_eq!(fake.calls(), ["GET", "POST", "PUT", "PUT"]);
    assert_eq!(fake.holder().as_deref(), Some(""));
}
