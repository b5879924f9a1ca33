use k8s_openapi::api::core::v1::Pod as PodObject;
use serde_json::{Value, json};

use super::super::event::EXIT_CODE_KILLED;
use super::super::status::{container_state, phase_name, status_of};
use super::*;

/// Plays a pod second by second and keeps what was asked for.
struct Course {
    pod: Pod,
    now: Timestamp,
    asked: Vec<Effect>,
}

impl Course {
    fn of(spec: Value) -> Self {
        let object: PodObject = serde_json::from_value(json!({
            "metadata": {"name": "web-2", "namespace": "shop", "uid": "u-1"},
            "spec": spec,
        }))
        .unwrap();
        let now = Timestamp::from_second(1_000).unwrap();
        let (pod, asked) = Pod::accept(PodPlan::of(&object), Sight::of(&object), now);
        Self { pod, now, asked }
    }

    /// The same, with volumes ready.
    fn prepared(spec: Value) -> Self {
        let mut course = Self::of(spec);
        course.on(Event::Prepared { pod_ip: "127.3.0.1".to_owned() });
        course
    }

    fn on(&mut self, event: Event) -> &[Effect] {
        self.now += k8s_openapi::jiff::SignedDuration::from_secs(1);
        self.asked = self.pod.on(event, self.now);
        &self.asked
    }

    fn started(&mut self, container: usize, run: u32) -> &[Effect] {
        self.on(Event::Started { container, run })
    }

    fn exited(&mut self, container: usize, run: u32, exit_code: i32) -> &[Effect] {
        self.on(Event::Exited { container, run, exit_code, message: None })
    }

    fn deleted(&mut self, grace_secs: u64) -> &[Effect] {
        let deletion_grace = Some(Duration::from_secs(grace_secs));
        self.on(Event::Seen(Sight { deletion_grace, ..Sight::default() }))
    }

    fn condition(&self, kind: &str) -> (String, String, String) {
        let status = status_of(&self.pod, None, self.now);
        let found = status.conditions.unwrap().into_iter().find(|c| c.type_ == kind).unwrap();
        (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default())
    }

    fn phase(&self) -> &'static str {
        phase_name(self.pod.phase())
    }
}

fn start(container: usize, run: u32) -> Effect {
    Effect::Start { container, run }
}

fn term(container: usize) -> Effect {
    Effect::Stop { container, signal: Stop::Term }
}

fn kill(container: usize) -> Effect {
    Effect::Stop { container, signal: Stop::Kill }
}

fn grace_over(after_secs: u64, ending: u32) -> Effect {
    Effect::Wake(Duration::from_secs(after_secs), Alarm::GraceOver { ending })
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "main"}]})
}

#[test]
fn a_pod_runs_to_its_success() {
    let mut c = Course::of(one("Never"));
    assert_eq!(c.asked, [Effect::Prepare]);
    assert_eq!(c.phase(), "Pending");
    assert_eq!(c.on(Event::Prepared { pod_ip: "127.3.0.1".to_owned() }), [start(0, 1)]);
    assert_eq!(c.started(0, 1), []);
    assert_eq!((c.phase(), c.condition("Ready").0.as_str()), ("Running", "True"));
    assert_eq!(c.exited(0, 1, 0), []);
    assert_eq!(c.phase(), "Succeeded");
    assert_eq!(c.condition("Ready").1, "PodCompleted");
    assert_eq!(c.condition("Initialized").0, "True");
    assert_eq!(c.condition("PodReadyToStartContainers").0, "False");
    assert!(!c.pod.is_deletable());
}

#[test]
fn never_fails_and_on_failure_tries_again_with_growing_waits() {
    let mut c = Course::prepared(one("Never"));
    c.started(0, 1);
    assert_eq!(c.exited(0, 1, 1), []);
    assert_eq!(c.phase(), "Failed");

    let mut c = Course::prepared(one("OnFailure"));
    c.started(0, 1);
    assert_eq!(c.exited(0, 1, 1), [start(0, 2)]);
    c.started(0, 2);
    let alarm = Alarm::Restart { container: 0, run: 3 };
    assert_eq!(c.exited(0, 2, 1), [Effect::Wake(Duration::from_secs(10), alarm)]);
    let status = status_of(&c.pod, None, c.now);
    let container = status.container_statuses.unwrap().remove(0);
    let waiting = container.state.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(container.last_state.unwrap().terminated.unwrap().exit_code, 1);
    assert_eq!((c.phase(), container.restart_count), ("Running", 1));
    assert_eq!(c.on(Event::Due(alarm)), [start(0, 3)]);
    assert_eq!(c.on(Event::Due(alarm)), []);
    c.started(0, 3);
    let wait = Duration::from_secs(20);
    let alarm = Alarm::Restart { container: 0, run: 4 };
    assert_eq!(c.exited(0, 3, 1), [Effect::Wake(wait, alarm)]);
    c.on(Event::Due(alarm));
    c.started(0, 4);
    c.exited(0, 4, 0);
    assert_eq!(c.phase(), "Succeeded");
}

#[test]
fn a_process_that_exits_0_on_sigterm_leaves_succeeded() {
    let mut c = Course::prepared(one("OnFailure"));
    c.started(0, 1);
    assert_eq!(c.deleted(30), [term(0), grace_over(30, 1)]);
    assert_eq!((c.phase(), c.pod.is_deletable()), ("Running", false));
    c.exited(0, 1, 0);
    assert_eq!((c.phase(), c.pod.is_deletable()), ("Succeeded", true));
}

#[test]
fn a_container_that_ignores_sigterm_is_killed_and_a_shorter_grace_counts() {
    let mut c = Course::prepared(one("Always"));
    c.started(0, 1);
    c.deleted(30);
    assert_eq!(c.deleted(30), []);
    assert_eq!(c.deleted(5), [grace_over(5, 2)]);
    assert_eq!(c.on(Event::Due(Alarm::GraceOver { ending: 1 })), []);
    assert_eq!(c.on(Event::Due(Alarm::GraceOver { ending: 2 })), [kill(0)]);
    c.exited(0, 1, EXIT_CODE_KILLED);
    assert_eq!((c.phase(), c.pod.is_deletable()), ("Failed", true));
}

#[test]
fn a_pod_deleted_before_it_started_fails() {
    let mut c = Course::of(one("Never"));
    assert_eq!(c.deleted(30), []);
    assert_eq!((c.phase(), c.pod.is_deletable()), ("Failed", true));
    let state = container_state(&c.pod, &c.pod.containers[0]).terminated.unwrap();
    assert_eq!(state.reason.as_deref(), Some("ContainerStatusUnknown"));
    assert_eq!(c.condition("Ready").1, "ContainersNotReady");
    assert_eq!(c.on(Event::Prepared { pod_ip: "127.3.0.1".to_owned() }), []);
}

#[test]
fn init_containers_run_one_after_the_other_before_the_main_one() {
    let mut c = Course::prepared(json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "a"}, {"name": "proxy", "restartPolicy": "Always"}, {"name": "b"}],
        "containers": [{"name": "main"}],
    }));
    assert_eq!(c.asked, [start(0, 1)]);
    let main = container_state(&c.pod, &c.pod.containers[3]);
    assert_eq!(main.waiting.unwrap().reason.as_deref(), Some("PodInitializing"));
    assert_eq!(c.started(0, 1), []);
    assert_eq!(c.exited(0, 1, 0), [start(1, 1)]);
    assert_eq!(c.condition("Initialized").2, "containers with incomplete status: [proxy b]");
    assert_eq!(c.started(1, 1), [start(2, 1)]);
    c.started(2, 1);
    assert_eq!(c.phase(), "Pending");
    assert_eq!(c.exited(2, 1, 0), [start(3, 1)]);
    c.started(3, 1);
    assert_eq!(c.phase(), "Running");
    assert_eq!(c.exited(1, 1, 1), [start(1, 2)], "a sidecar is kept running under Never too");
    c.started(1, 2);
    assert_eq!(c.exited(3, 1, 0), [term(1), grace_over(30, 1)]);
    assert_eq!(c.phase(), "Running");
    c.exited(1, 2, 143);
    assert_eq!(c.phase(), "Succeeded");
}

#[test]
fn a_failed_init_container_fails_the_pod_under_never_only() {
    let spec = |policy| json!({"restartPolicy": policy, "initContainers": [{"name": "a"}], "containers": [{"name": "main"}]});
    let mut c = Course::prepared(spec("Never"));
    c.started(0, 1);
    c.exited(0, 1, 1);
    assert_eq!(c.phase(), "Failed");
    let mut c = Course::prepared(spec("Always"));
    c.started(0, 1);
    assert_eq!(c.exited(0, 1, 1), [start(0, 2)]);
    c.started(0, 2);
    assert_eq!(c.exited(0, 2, 0), [start(1, 1)]);
}

#[test]
fn sidecars_end_after_the_main_containers_the_last_one_first() {
    let mut c = Course::prepared(json!({
        "initContainers": [{"name": "x", "restartPolicy": "Always"}, {"name": "y", "restartPolicy": "Always"}],
        "containers": [{"name": "main"}, {"name": "other"}],
    }));
    for index in 0..4 {
        c.started(index, 1);
    }
    assert_eq!(c.deleted(30), [term(2), term(3), grace_over(30, 1)]);
    assert_eq!(c.exited(2, 1, 0), []);
    assert_eq!(c.exited(3, 1, 0), [term(1)]);
    assert_eq!(c.exited(1, 1, 143), [term(0)]);
    c.exited(0, 1, 143);
    assert_eq!(c.phase(), "Succeeded");
}

#[test]
fn a_main_container_may_have_its_own_restart_policy() {
    let mut c = Course::prepared(json!({
        "restartPolicy": "Never", "containers": [{"name": "main", "restartPolicy": "Always"}],
    }));
    c.started(0, 1);
    assert_eq!(c.exited(0, 1, 0), [start(0, 2)]);
    assert_eq!(c.phase(), "Running");
}

#[test]
fn a_readiness_gate_that_nobody_sets_keeps_the_pod_unready() {
    let mut c = Course::prepared(json!({
        "containers": [{"name": "main"}], "readinessGates": [{"conditionType": "tidegate.dev/never"}],
    }));
    c.started(0, 1);
    assert_eq!(c.condition("ContainersReady").0, "True");
    assert_eq!(c.condition("Ready").1, "ReadinessGatesNotReady");
    let conditions = [("tidegate.dev/never".to_owned(), "True".to_owned())].into();
    c.on(Event::Seen(Sight { conditions, ..Sight::default() }));
    assert_eq!(c.condition("Ready").0, "True");
}

#[test]
fn an_object_that_is_gone_is_forgotten_once_its_processes_are() {
    let mut c = Course::prepared(one("Always"));
    c.started(0, 1);
    assert_eq!(c.on(Event::Gone), [term(0), grace_over(30, 1)]);
    assert!(!c.pod.is_forgettable());
    c.exited(0, 1, 0);
    assert!(c.pod.is_forgettable() && !c.pod.is_deletable());
}

#[test]
fn a_wait_for_a_restart_ends_with_the_pod() {
    let mut c = Course::prepared(one("Always"));
    for run in 1..=2 {
        c.started(0, run);
        c.exited(0, run, 0);
    }
    assert_eq!(c.deleted(30), []);
    assert_eq!((c.phase(), c.pod.is_deletable()), ("Succeeded", true));
    let run = |end: &End| end.started_at.unwrap().as_second();
    let container = &c.pod.containers[0];
    let State::Ended(end) = &container.state else { panic!("{:?}", container.state) };
    assert!(run(container.last.as_ref().unwrap()) < run(end), "the run before is still told of");
}

#[test]
fn the_active_deadline_fails_the_pod() {
    let mut c = Course::of(json!({"activeDeadlineSeconds": 9, "containers": [{"name": "main"}]}));
    let alarm = Effect::Wake(Duration::from_secs(9), Alarm::ActiveDeadline);
    assert_eq!(c.asked, [Effect::Prepare, alarm]);
    c.on(Event::Prepared { pod_ip: "127.3.0.1".to_owned() });
    c.started(0, 1);
    assert_eq!(c.on(Event::Due(Alarm::ActiveDeadline)), [term(0), grace_over(30, 1)]);
    c.exited(0, 1, 0);
    assert_eq!(c.phase(), "Failed");
    let status = status_of(&c.pod, None, c.now);
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
}

#[test]
fn what_a_pod_waits_for_is_in_its_status_until_it_is_there() {
    let mut c = Course::of(one("Never"));
    c.on(Event::NotPrepared { message: "claim data is not bound yet".to_owned() });
    let waiting = |c: &Course| container_state(&c.pod, &c.pod.containers[0]).waiting.unwrap();
    assert_eq!(waiting(&c).message.as_deref(), Some("claim data is not bound yet"));
    c.on(Event::Prepared { pod_ip: "127.3.0.1".to_owned() });
    assert_eq!(waiting(&c).message, None);
}

#[test]
fn a_container_that_cannot_be_started_says_why() {
    let mut c = Course::prepared(one("Never"));
    c.on(Event::NotStarted { container: 0, run: 1, message: "no such file".to_owned() });
    assert_eq!(c.phase(), "Failed");
    let end = container_state(&c.pod, &c.pod.containers[0]).terminated.unwrap();
    assert_eq!((end.exit_code, end.reason.as_deref()), (128, Some("StartError")));
    assert_eq!(end.message.as_deref(), Some("no such file"));
}

#[test]
fn a_condition_keeps_its_time_until_it_changes() {
    let mut c = Course::prepared(one("Never"));
    let first = status_of(&c.pod, None, c.now);
    c.started(0, 1);
    let second = status_of(&c.pod, Some(&first), c.now);
    let at = |status: &k8s_openapi::api::core::v1::PodStatus, kind: &str| {
        let conditions = status.conditions.clone().unwrap();
        conditions.into_iter().find(|x| x.type_ == kind).unwrap().last_transition_time.unwrap()
    };
    assert_eq!(at(&first, "Initialized"), at(&second, "Initialized"));
    assert!(at(&first, "Ready") < at(&second, "Ready"));
}
