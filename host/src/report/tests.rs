use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Config;
use serde_json::json;
use tidegate_core::{Change, Reason, action::Report};

use super::*;
use crate::observe::sample::{DRAINED, Sample};

/// More is told than can wait, and nothing of it can be sent: whoever tells goes on all the same.
#[tokio::test]
async fn nobody_waits_for_an_event_that_cannot_be_sent() {
    // Nobody listens at this port.
    let config = Config::new("http://127.0.0.1:9".parse().unwrap());
    let reporter = Reporter::start(Client::try_from(config).unwrap(), Effect::Real);
    let (memory, seen) = (Memory::new(Effect::Real), Sample::sealed().seen());
    for _ in 0..=QUEUE_MAX {
        reporter.changed(&memory, &seen, Some(DRAINED), &Change::Touched);
    }
    assert_eq!(reporter.waits(&memory, &seen, &waiting()), Told::NotAll);
    assert_eq!(reporter.queue.capacity(), 0, "the queue is full, and what came later was dropped");
}

fn waiting() -> Plan {
    let reports = vec![Report { ordinal: Some(DRAINED), reason: Reason::MemberThere }];
    Plan { reports, ..Plan::default() }
}

#[test]
fn a_reason_for_which_there_was_no_room_is_told_when_there_is() {
    let (reporter, mut events) = Reporter::unsent(Effect::Real);
    let (memory, seen) = (Memory::new(Effect::Real), Sample::sealed().seen());
    for _ in 0..QUEUE_MAX {
        reporter.changed(&memory, &seen, Some(DRAINED), &Change::Touched);
    }
    assert_eq!(reporter.waits(&memory, &seen, &waiting()), Told::NotAll);
    while events.try_recv().is_ok() {}
    assert_eq!(reporter.waits(&memory, &seen, &waiting()), Told::All);
    assert_eq!(events.try_recv().unwrap().reason.as_deref(), Some("MemberThere"));
    assert_eq!(reporter.waits(&memory, &seen, &waiting()), Told::All);
    assert!(events.try_recv().is_err(), "it was told twice");
}

/// How often an event is sent to a server that answers so, one answer after the other.
async fn sent(answers: &'static [u16]) -> usize {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
        let at = count.fetch_add(1, Ordering::SeqCst);
        let code = answers.get(at).copied().unwrap_or(201);
        let reason = if code == 409 { "AlreadyExists" } else { "No" };
        let body = match code {
            201 => json!({ "metadata": {}, "eventTime": null }),
            _ => json!({ "status": "Failure", "reason": reason, "message": "no", "code": code }),
        };
        let body = kube::client::Body::from(body.to_string().into_bytes());
        let answer = http::Response::builder().status(code).body(body).unwrap();
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    send_one(&Client::new(service, "ns"), Event::default(), Duration::ZERO).await;
    asked.load(Ordering::SeqCst)
}

#[tokio::test]
async fn an_event_that_is_not_taken_is_sent_again_unless_it_never_will_be() {
    for (answers, times) in [
        (&[][..], 1),
        (&[429, 503], 3),
        (&[500, 500, 500, 500, 500], 4),
        (&[500, 409], 2),
        (&[403], 1),
        (&[404], 1),
    ] {
        assert_eq!(sent(answers).await, times, "{answers:?}");
    }
}
