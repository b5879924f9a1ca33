//! What `exec` answers.

use crate::config::{Config, OnScaleUp, Proof, Work};
use crate::script::{self, DRAINED, MESSAGE_PATH};
use tidegate_policy::serde_json::{self, Value};
use tidegate_policy::{
    ContainerKind, ContainerState, DrainPod, Ending, Holder, Peer, Pod, PodTemplate, Rendering,
    Situation, Traffic, Verdict, ongoing, unfinished, unknown_cause,
};

/// The set's own pod with the work in one container, once enough members that stay are ready.
pub(crate) fn render(at: &Situation) -> Rendering {
    let config = match unknown_cause(at).map_or_else(|| Config::parse(&at.config), Err) {
        Ok(config) => config,
        Err(reason) => return Rendering::Refuse(reason),
    };
    if config.ready_peers > at.replicas {
        return Rendering::Refuse(format!(
            "`readyPeers` is {}, but the set keeps only {} members: scale it up, or lower `readyPeers` in annotation \
             tidegate.dev/policy-config (to 0 where no member takes the data)",
            config.ready_peers, at.replicas
        ));
    }
    let ready = at.peers.iter().filter(|peer| can_receive(peer)).count();
    if ready < usize::try_from(config.ready_peers).unwrap_or(usize::MAX) {
        return Rendering::wait(format!(
            "{ready} of the {} members that must be ready to take the data are",
            config.ready_peers
        ));
    }
    match pod(at, config) {
        Ok(pod) => Rendering::Pod(pod),
        Err(reason) => Rendering::Refuse(reason),
    }
}

/// Believes the termination message, or the exit code where the config says that it is enough.
pub(crate) fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
    let config = match unknown_cause(at).map_or_else(|| Config::parse(&at.config), Err) {
        Ok(config) => config,
        Err(reason) => return Verdict::wait(reason),
    };
    match &pod.ending {
        Ending::NotEnded
            if pod.wanted && pod.can_cancel && config.on_scale_up == OnScaleUp::Cancel =>
        {
            Verdict::cancel("the set wants the ordinal back, and `onScaleUp` is `cancel`")
        }
        Ending::NotEnded => ongoing(pod),
        Ending::ByItself => match config.proof {
            Proof::ExitCode => Verdict::complete("the drain pod ended by itself with exit code 0"),
            Proof::Message if says_drained(pod) => {
                Verdict::complete(format!("the drain pod ended by itself and says `{DRAINED}`"))
            }
            Proof::Message => {
                let reason = format!(
                    "the drain pod exited with 0 but did not write the line `{DRAINED}` to its termination message; let the \
                     command write it, or set `exitCode` to `enough`"
                );
                unfinished(at, pod, &reason)
            }
        },
        Ending::Failed(how) => unfinished(at, pod, &format!("the drain pod failed: {how}")),
        Ending::CutShort(by) => unfinished(at, pod, &format!("the drain pod was cut short: {by}")),
    }
}

fn pod(at: &Situation, config: Config) -> Result<Pod, String> {
    let mut template = PodTemplate::of_set(at)?;
    let worker = match config.container {
        Some(name) => name,
        None => {
            let only = template.only_container();
            only.map_err(|several| format!("{several}; name one in `container`"))?.to_owned()
        }
    };
    let mut kept: Vec<&str> = config.keep_containers.iter().map(String::as_str).collect();
    kept.push(&worker);
    template.keep_containers(&kept)?;
    let mut container = template.container(&worker)?;
    if let Some(image) = &config.image {
        container.set_image(image);
    }
    match config.work {
        Work::Command(command) => container.set_command(command),
        Work::Script(text) => {
            container.set_command(script::command(&text));
            container.set("terminationMessagePath", MESSAGE_PATH);
            container.set("terminationMessagePolicy", "File");
        }
    }
    container.set_args(config.args);
    container.set_env("TIDEGATE_SET", &at.set_name);
    container.set_env("TIDEGATE_ORDINAL", &at.ordinal.to_string());
    container.set_env("TIDEGATE_PEERS", &staying_peers(at));
    for (name, value) in &config.env {
        container.set_env(name, value);
    }
    template.set_restart_policy("Never");
    if let Some(claim) = template.unmounted_claims(at, &config.discard).first() {
        return Err(format!(
            "no container that is kept mounts the claim template `{claim}`: name one that does in `keepContainers`, or, if it \
             holds nothing worth moving, name `{claim}` in `discard`"
        ));
    }
    Ok(Pod {
        template: template.into_json(),
        traffic: Traffic::None,
        discard: config.discard,
        state: None,
    })
}

fn can_receive(peer: &Peer) -> bool {
    peer.stays && peer.holder == Holder::Member && peer.ready && !peer.terminating
}

/// The names of the members that stay, in the order of their ordinals, as they resolve in the namespace: `web-0.web web-1.web`.
/// Whether one is ready plays no part, so that every attempt is told the same.
fn staying_peers(at: &Situation) -> String {
    let set: Value = serde_json::from_str(&at.set).unwrap_or_default();
    let service = set["spec"]["serviceName"].as_str().unwrap_or(&at.set_name);
    let mut names = String::new();
    for peer in at.peers.iter().filter(|peer| peer.stays) {
        for part in [" ", &peer.name, ".", service] {
            names.push_str(part);
        }
    }
    names.trim_start().to_owned()
}

/// Whether a rendered main container says that the data is safe elsewhere.
fn says_drained(pod: &DrainPod) -> bool {
    pod.containers.iter().filter(|one| one.rendered && one.kind == ContainerKind::Main).any(|one| {
        match &one.state {
            ContainerState::Exited(exit) => exit.message.lines().any(|line| line == DRAINED),
            ContainerState::Waiting(_) | ContainerState::Running(_) | ContainerState::Unknown => {
                false
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::serde_json::json;
    use tidegate_policy::testing;

    const SCRIPT: &str = r#"{"script": "move-all"}"#;

    fn orphan(config: &str) -> Situation {
        Situation { config: config.to_owned(), ..testing::situation("web", 2, 2) }
    }

    fn rendered(at: &Situation) -> (Value, Pod) {
        let Rendering::Pod(pod) = render(at) else {
            panic!("expected a pod, got {:?}", render(at))
        };
        (serde_json::from_str(&pod.template).expect("the template is JSON"), pod)
    }

    fn refusal(at: &Situation) -> String {
        let Rendering::Refuse(reason) = render(at) else {
            panic!("expected a refusal, got {:?}", render(at))
        };
        reason
    }

    #[test]
    fn a_script_runs_in_the_sets_own_pod() {
        let (template, pod) = rendered(&orphan(
            r#"{"script": "move-all", "args": ["-v"], "env": {"MODE": "drain"}}"#,
        ));
        let container = &template["spec"]["containers"][0];
        assert_eq!(template["spec"]["restartPolicy"], "Never");
        assert_eq!(template["metadata"]["labels"]["app"], "web");
        assert_eq!(container["image"], "example/store:1");
        assert_eq!(container["command"][0], "/bin/sh");
        assert_eq!(container["command"][4], "move-all");
        assert_eq!(container["args"], json!(["-v"]));
        assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
        assert_eq!(
            container["env"],
            json!([
                {"name": "MODE", "value": "drain"},
                {"name": "TIDEGATE_SET", "value": "web"},
                {"name": "TIDEGATE_ORDINAL", "value": "2"},
                {"name": "TIDEGATE_PEERS", "value": "web-0.web web-1.web"},
            ])
        );
        assert_eq!((pod.traffic, pod.discard, pod.state), (Traffic::None, Vec::new(), None));
    }

    #[test]
    fn a_command_takes_the_place_of_command_and_arguments() {
        let (template, _) =
            rendered(&orphan(r#"{"command": ["/store", "move-all"], "image": "example/store:2"}"#));
        let container = &template["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["/store", "move-all"]));
        assert_eq!(container["args"], json!([]));
        assert_eq!(container["image"], "example/store:2");
        assert_eq!(container["terminationMessagePath"], Value::Null);
    }

    #[test]
    fn one_container_is_kept_unless_the_config_names_more() {
        let mut set = testing::set("web", 2);
        let spec = &mut set["spec"]["template"]["spec"];
        let store = spec["containers"][0].take();
        spec["containers"] = json!([{"name": "proxy"}, store]);
        spec["initContainers"] = json!([{"name": "tls"}, {"name": "wait-for-dns"}]);
        let mut at = orphan(SCRIPT);
        at.set = set.to_string();
        assert_eq!(
            refusal(&at),
            "the pod template has several containers: `proxy`, `web`; name one in `container`"
        );

        at.config =
            r#"{"script": "move-all", "container": "web", "keepContainers": ["tls"]}"#.to_owned();
        let (template, _) = rendered(&at);
        let names = |list: &str| -> Vec<Value> {
            let list = template["spec"][list].as_array().expect("it is a list");
            list.iter().map(|one| one["name"].clone()).collect()
        };
        assert_eq!(
            (names("containers"), names("initContainers")),
            (vec![json!("web")], vec![json!("tls")])
        );

        set["spec"]["template"]["metadata"]["annotations"] =
            json!({ "kubectl.kubernetes.io/default-container": "web" });
        at.set = set.to_string();
        at.config = SCRIPT.to_owned();
        assert_eq!(rendered(&at).0["spec"]["containers"][0]["name"], "web");

        at.config = r#"{"script": "move-all", "container": "stor"}"#.to_owned();
        assert!(refusal(&at).contains("`stor`"), "{}", refusal(&at));
    }

    #[test]
    fn a_claim_that_is_not_mounted_is_never_given_up_unasked() {
        let mut at = orphan(SCRIPT);
        at.claims.push(testing::claim("web", "cache", 2));
        assert!(refusal(&at).contains("`cache`"), "{}", refusal(&at));
        at.config = r#"{"script": "move-all", "discard": ["cache"]}"#.to_owned();
        assert_eq!(rendered(&at).1.discard, ["cache"]);
    }

    #[test]
    fn it_waits_for_members_that_can_take_the_data() {
        let mut at = orphan(r#"{"script": "move-all", "readyPeers": 2}"#);
        at.peers[1].terminating = true;
        let expected = "1 of the 2 members that must be ready to take the data are";
        assert_eq!(render(&at), Rendering::wait(expected));
        at.peers[1].terminating = false;
        assert!(matches!(render(&at), Rendering::Pod(_)));
        at.replicas = 1;
        assert!(refusal(&at).contains("`readyPeers` is 2"), "{}", refusal(&at));
    }

    #[test]
    fn with_nobody_left_the_owner_must_say_that_nobody_is_needed() {
        let mut at = Situation { config: SCRIPT.to_owned(), ..testing::situation("web", 0, 0) };
        assert!(refusal(&at).contains("to 0 where no member takes the data"), "{}", refusal(&at));
        at.config = r#"{"script": "back-up", "readyPeers": 0}"#.to_owned();
        assert!(matches!(render(&at), Rendering::Pod(_)));
    }

    #[test]
    fn the_message_is_the_proof_and_exit_code_0_is_none() {
        let at = orphan(SCRIPT);
        let done = testing::ended_by_itself("web", "moved 3\ntidegate: drained\n");
        assert!(matches!(judge(&at, &done), Verdict::Complete(_)));
        let silent = testing::ended_by_itself("web", "not tidegate: drained");
        let Verdict::Retry(retry) = judge(&at, &silent) else { panic!("expected a retry") };
        assert!(retry.reason.contains("`exitCode` to `enough`"), "{}", retry.reason);

        let mut injected = testing::ended_by_itself("web", "tidegate: drained");
        injected.containers[0].rendered = false;
        assert!(matches!(judge(&at, &injected), Verdict::Retry(_)));

        let enough = orphan(r#"{"command": ["/drain"], "exitCode": "enough"}"#);
        assert!(matches!(judge(&enough, &silent), Verdict::Complete(_)));
    }

    #[test]
    fn an_eviction_is_no_success_whatever_is_written() {
        let mut pod = testing::evicted("web");
        pod.containers[0].state = ContainerState::Exited(testing::exit(0, "Completed", DRAINED));
        assert!(matches!(judge(&orphan(SCRIPT), &pod), Verdict::Retry(_)));
        let enough = orphan(r#"{"command": ["/drain"], "exitCode": "enough"}"#);
        assert!(matches!(judge(&enough, &pod), Verdict::Retry(_)));
    }

    #[test]
    fn a_scale_up_lets_it_finish_or_cancels_as_the_config_says() {
        let mut pod = testing::running("web");
        pod.wanted = true;
        assert!(matches!(judge(&orphan(SCRIPT), &pod), Verdict::Wait(_)));
        let cancel = orphan(r#"{"script": "move-all", "onScaleUp": "cancel"}"#);
        assert!(matches!(judge(&cancel, &pod), Verdict::Cancel(_)));
        pod.can_cancel = false;
        assert!(matches!(judge(&cancel, &pod), Verdict::Wait(_)));

        let mut done = testing::ended_by_itself("web", DRAINED);
        done.wanted = true;
        assert!(matches!(judge(&cancel, &done), Verdict::Complete(_)));
    }

    #[test]
    fn a_config_that_is_wrong_is_refused() {
        let at = orphan(r#"{"scrpt": "move-all"}"#);
        assert!(
            refusal(&at).starts_with("annotation tidegate.dev/policy-config: "),
            "{}",
            refusal(&at)
        );
        assert!(matches!(judge(&at, &testing::ended_by_itself("web", DRAINED)), Verdict::Wait(_)));
    }
}
