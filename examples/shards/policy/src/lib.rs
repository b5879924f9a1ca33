//! The drain policy of the sharded store in this example.
//!
//! The drain pod is the set's own pod with its one container told to hand over its files. Before that an init container takes
//! an inventory of the volume. The drain is believed when both left the same count and checksum: the inventory's is computed
//! from the volume, the drain's from what the receivers answer that they hold.

mod config;
mod message;

use config::{Config, OnScaleUp};
use message::Total;
use tidegate_policy::serde_json::{Map, Value};
use tidegate_policy::{
    Container, ContainerKind, ContainerState, DrainPod, Ending, Peer, PodTemplate, Policy,
    Proposal, Rendering, Situation, Verdict, unfinished, unknown_cause,
};

/// The container of the set's pod that runs the store; the drain runs in it too.
const STORE: &str = "store";

/// The init container that counts what the volume holds before anything is handed over.
const INVENTORY: &str = "inventory";

/// Where the store mounts its volume and on which port it listens, as `statefulset.yaml` says.
const DATA: &str = "/data";
const PORT: u16 = 8080;

/// Where a container leaves its last words, as the pod template has it by default.
const MESSAGE: &str = "/dev/termination-log";

struct Shards;

impl Policy for Shards {
    fn render(at: &Situation) -> Rendering {
        if let Some(cause) = unknown_cause(at) {
            return Rendering::wait(cause);
        }
        let config = match Config::parse(&at.config) {
            Ok(config) => config,
            Err(problem) => return Rendering::refuse(problem),
        };
        match receivers(at) {
            Ok(receivers) => {
                template(at, &config, &receivers).map_or_else(Rendering::refuse, Rendering::create)
            }
            Err(reason) => Rendering::wait(reason),
        }
    }

    fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
        if let Some(cause) = unknown_cause(at) {
            return Verdict::wait(cause);
        }
        match &pod.ending {
            Ending::NotEnded => going_on(at, pod),
            Ending::ByItself => by_itself(at, pod),
            Ending::Failed(how) => {
                let said = last_words(pod, STORE, ContainerKind::Main).unwrap_or_default();
                unfinished(at, pod, &format!("the drain failed: {how}: {said}"))
            }
            Ending::CutShort(by) => unfinished(at, pod, &format!("the drain was cut short: {by}")),
        }
    }

    fn validate(of: &Proposal) -> Result<(), String> {
        Config::parse(&of.config).map(|_| ())
    }
}

tidegate_policy::export!(Shards);

/// Every member that stays, as `NAME=IP:PORT` separated by commas; or why the drain cannot begin.
///
/// All of them must be ready, not just one: a member that is away may hold files of an attempt before, which would then be
/// handed over a second time.
fn receivers(at: &Situation) -> Result<String, String> {
    let staying: Vec<&Peer> = at.peers.iter().filter(|peer| peer.stays).collect();
    if staying.is_empty() {
        return Err("no member stays that could take the files".to_owned());
    }
    let mut receivers = Vec::new();
    for peer in staying {
        match peer.ips.first() {
            Some(ip) if peer.can_receive() => {
                receivers.push(format!("{}={}", peer.name, address(ip)));
            }
            Some(_) | None => return Err(format!("{} is not ready to take files", peer.name)),
        }
    }
    Ok(receivers.join(","))
}

fn address(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{PORT}") } else { format!("{ip}:{PORT}") }
}

fn template(at: &Situation, config: &Config, receivers: &str) -> Result<PodTemplate, String> {
    let mut template = PodTemplate::of_set(at)?;
    template.keep_containers(&[STORE])?;
    // A failed hand-over is tried again with receivers that are asked for afresh, not with those of this pod.
    template.set_restart_policy("Never");
    let mut store = template.container(STORE)?;
    store.remove("ports");
    store.remove("readinessProbe");
    let mut inventory = store.fields_mut().clone();
    store.set_args([
        "drain".to_owned(),
        format!("--data={DATA}"),
        format!("--peers={receivers}"),
        format!("--pause-ms={}", config.pause_ms),
        format!("--message={MESSAGE}"),
    ]);
    set_inventory(&mut inventory);
    template
        .spec_mut()
        .insert("initContainers".to_owned(), Value::Array(vec![Value::Object(inventory)]));
    Ok(template)
}

fn set_inventory(container: &mut Map<String, Value>) {
    let args = ["inventory".to_owned(), format!("--data={DATA}"), format!("--message={MESSAGE}")];
    container.insert("name".to_owned(), Value::from(INVENTORY));
    container.insert("args".to_owned(), Value::from(args.to_vec()));
}

fn going_on(at: &Situation, pod: &DrainPod) -> Verdict {
    // A config that cannot be read was refused when this pod was to be rendered, so that only the default can be missing here.
    let on_scale_up = Config::parse(&at.config).map(|config| config.on_scale_up);
    match on_scale_up {
        Ok(OnScaleUp::Cancel) if pod.wanted && pod.can_cancel => {
            Verdict::cancel("the set wants the member back, and its volume still holds every file")
        }
        Ok(OnScaleUp::Cancel | OnScaleUp::Wait) | Err(_) => {
            Verdict::wait("the files are being handed over")
        }
    }
}

/// Believes two messages that agree, and nothing else. A store that is told to stop exits with 0 as well, but then leaves no message.
fn by_itself(at: &Situation, pod: &DrainPod) -> Verdict {
    let found = last_words(pod, INVENTORY, ContainerKind::Init).and_then(Total::parse);
    let arrived = last_words(pod, STORE, ContainerKind::Main).and_then(Total::parse);
    match (found, arrived) {
        (Some(found), Some(arrived)) if found == arrived => Verdict::complete(format!(
            "{} files with checksum {} are with the members that stay",
            arrived.count, arrived.checksum
        )),
        (Some(found), Some(arrived)) => Verdict::fail(format!(
            "the volume held {} files with checksum {}, but the members that stay answer for {} with {}: compare the \
             lists before anything is deleted",
            found.count, found.checksum, arrived.count, arrived.checksum
        )),
        (None, Some(_) | None) | (Some(_), None) => {
            unfinished(at, pod, "the drain ended without count and checksum: it was told to stop")
        }
    }
}

/// The termination message that a container of the policy's own left when it exited with 0, or what it said as it failed.
fn last_words<'a>(pod: &'a DrainPod, name: &str, kind: ContainerKind) -> Option<&'a str> {
    let own = |one: &&Container| one.rendered && one.name == name && one.kind == kind;
    match &pod.containers.iter().find(own)?.state {
        ContainerState::Exited(exit) => Some(exit.message.trim()),
        ContainerState::Waiting(_) | ContainerState::Running(_) | ContainerState::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::{serde_json, testing};

    const FOUND: &str =
        "count=2 bytes=9 checksum=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str =
        "count=2 bytes=9 checksum=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn situation() -> Situation {
        let mut set = testing::set("shards", 2);
        let container = &mut set["spec"]["template"]["spec"]["containers"][0];
        container["name"] = Value::from(STORE);
        container["readinessProbe"] = Value::from("probe");
        Situation { set: set.to_string(), ..testing::situation("shards", 2, 2) }
    }

    fn ended(inventory: &str, drain: &str) -> DrainPod {
        let mut pod = testing::ended_by_itself(STORE, drain);
        let state = ContainerState::Exited(testing::exit(0, "Completed", inventory));
        let kind = ContainerKind::Init;
        pod.containers.push(Container { kind, ..testing::container(INVENTORY, state) });
        pod
    }

    fn rendered(at: &Situation) -> Value {
        let Rendering::Pod(pod) = Shards::render(at) else {
            panic!("expected a pod");
        };
        serde_json::from_str(&pod.template).unwrap()
    }

    #[test]
    fn every_member_that_stays_is_named_as_receiver() {
        let mut at = situation();
        at.config = r#"{"pauseMs": 7}"#.to_owned();
        let mut leaving = testing::ready_peer("shards", 3);
        leaving.stays = false;
        at.peers.push(leaving);
        let template = rendered(&at);
        let store = &template["spec"]["containers"][0];
        assert_eq!(store["args"][2], "--peers=shards-0=10.0.0.10:8080,shards-1=10.0.0.11:8080");
        assert_eq!(store["args"][3], "--pause-ms=7");
        assert_eq!(store["readinessProbe"], Value::Null);
        let inventory = &template["spec"]["initContainers"][0];
        assert_eq!(
            (&inventory["name"], &inventory["args"][0]),
            (&"inventory".into(), &"inventory".into())
        );
        assert_eq!(inventory["volumeMounts"], store["volumeMounts"]);
        assert_eq!(template["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn the_drain_waits_until_every_receiver_is_ready() {
        let mut at = situation();
        at.peers[1].ready = false;
        assert_eq!(Shards::render(&at), Rendering::wait("shards-1 is not ready to take files"));
        at.peers.clear();
        assert!(matches!(Shards::render(&at), Rendering::Wait(_)));
    }

    #[test]
    fn a_config_that_is_not_understood_is_refused() {
        let mut at = situation();
        at.config = r#"{"onScaleUp": "stop"}"#.to_owned();
        assert!(matches!(Shards::render(&at), Rendering::Refuse(_)));
    }

    #[test]
    fn only_messages_that_agree_are_believed() {
        let at = situation();
        assert!(matches!(Shards::judge(&at, &ended(FOUND, FOUND)), Verdict::Complete(_)));
        assert!(matches!(Shards::judge(&at, &ended(FOUND, OTHER)), Verdict::Fail(_)));
        for (found, arrived) in [(FOUND, ""), ("", FOUND), ("", ""), ("problem=x", FOUND)] {
            let verdict = Shards::judge(&at, &ended(found, arrived));
            assert!(matches!(verdict, Verdict::Retry(_)), "{found} {arrived}: {verdict:?}");
        }
    }

    #[test]
    fn a_container_that_admission_added_proves_nothing() {
        let mut pod = ended(FOUND, FOUND);
        pod.containers[1].rendered = false;
        assert!(matches!(Shards::judge(&situation(), &pod), Verdict::Retry(_)));
    }

    #[test]
    fn an_eviction_half_way_is_tried_again() {
        let verdict = Shards::judge(&situation(), &testing::evicted(STORE));
        assert!(matches!(verdict, Verdict::Retry(_)), "{verdict:?}");
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_the_store() {
        let mut pod = testing::failed(STORE, 1);
        let state = ContainerState::Exited(testing::exit(1, "Error", "problem=shards-1 is busy"));
        pod.containers = vec![testing::container(STORE, state)];
        let Verdict::Retry(retry) = Shards::judge(&situation(), &pod) else {
            panic!("expected a retry");
        };
        assert!(retry.reason.ends_with("problem=shards-1 is busy"), "{}", retry.reason);
    }

    #[test]
    fn a_wanted_member_waits_or_gets_its_volume_back_as_the_config_says() {
        let mut at = situation();
        let mut pod = testing::running(STORE);
        pod.wanted = true;
        assert!(matches!(Shards::judge(&at, &pod), Verdict::Wait(_)));
        at.config = r#"{"onScaleUp": "cancel"}"#.to_owned();
        assert!(matches!(Shards::judge(&at, &pod), Verdict::Cancel(_)));
        pod.can_cancel = false;
        assert!(matches!(Shards::judge(&at, &pod), Verdict::Wait(_)));
    }
}
