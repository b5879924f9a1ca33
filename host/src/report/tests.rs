use kube::Config;
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
    let reason = Reason::MemberThere;
    let reports = vec![Report { ordinal: Some(DRAINED), reason }];
    reporter.waits(&memory, &seen, &Plan { reports, ..Plan::default() });
    assert_eq!(reporter.queue.capacity(), 0, "the queue is full, and what came later was dropped");
}
