//! What `exec` answers.

use crate::config::{Config, OnScaleUp, Proof, Work};
use crate::peers;
use crate::script::{self, DRAINED, MESSAGE_PATH};
use tidegate_policy::{
    ContainerKind, ContainerState, DrainPod, Ending, Pod, PodTemplate, Proposal, Rendering,
    Situation, StatefulSet, Verdict, check_discard, check_mounts, ongoing, unfinished,
    unknown_cause,
};

/// The set's own pod with the work in one container, once enough members that stay are ready.
pub(crate) fn render(at: &Situation) -> Rendering {
    let config = match unknown_cause(at).map_or_else(|| Config::parse(&at.config), Err) {
        Ok(config) => config,
        Err(reason) => return Rendering::Refuse(reason),
    };
    let obstacle = peers::obstacle(at, &config);
    // What is wrong with the config is told whoever stays.
    match pod(at, config) {
        Ok(pod) => obstacle.unwrap_or(Rendering::Pod(pod)),
        Err(reason) => Rendering::Refuse(reason),
    }
}

/// What is wrong with a config, or with what it asks of the set.
pub(crate) fn validate(of: &Proposal) -> Result<(), String> {
    let set = StatefulSet::parse(&of.set)?;
    let config = Config::parse(&of.config)?;
    let claims: Vec<String> = set.claim_templates().into_iter().map(str::to_owned).collect();
    let (template, _) = own_pod(set, &config)?;
    mounted(&template, claims.iter().map(String::as_str), &config)
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
    let set = StatefulSet::parse(&at.set)?;
    let peers = staying_peers(at, &set);
    let (mut template, worker) = own_pod(set, &config)?;
    mounted(&template, at.claims.iter().map(|claim| claim.template.as_str()), &config)?;
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
    container.set_env("TIDEGATE_PEERS", &peers);
    for (name, value) in &config.env {
        container.set_env(name, value);
    }
    template.set_restart_policy("Never");
    Ok(Pod::new(template, config.discard))
}

/// The set's own pod with the containers that the config keeps, and the name of the one that does the work.
fn own_pod(set: StatefulSet, config: &Config) -> Result<(PodTemplate, String), String> {
    check_discard(&config.discard, &set.claim_templates())?;
    let mut template = set.into_pod_template()?;
    let worker = match &config.container {
        Some(name) => name.clone(),
        None => {
            let only = template.only_container();
            only.map_err(|several| format!("{several}; name one in `container`"))?.to_owned()
        }
    };
    let mut kept: Vec<&str> = config.keep_containers.iter().map(String::as_str).collect();
    kept.push(&worker);
    template
        .keep_containers(&kept)
        .map_err(|wrong| format!("`container` and `keepContainers`: {wrong}"))?;
    Ok((template, worker))
}

fn mounted<'a>(
    template: &PodTemplate,
    claims: impl IntoIterator<Item = &'a str>,
    config: &Config,
) -> Result<(), String> {
    check_mounts(template, claims, &config.discard)
        .map_err(|lost| format!("{lost}; `keepContainers` keeps further containers"))
}

/// The names of the members that stay, in the order of their ordinals, as they resolve in the namespace: `web-0.web web-1.web`.
/// Whether one is ready plays no part, so that every attempt is told the same.
fn staying_peers(at: &Situation, set: &StatefulSet) -> String {
    let service = set.service_name().unwrap_or(&at.set_name);
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
    use tidegate_policy::serde_json::{self, Value, json};
    use tidegate_policy::{Traffic, testing};

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
        let mut set = testing::set("web", 2);
        set["spec"]["volumeClaimTemplates"] =
            json!([{"metadata": {"name": "data"}}, {"metadata": {"name": "cache"}}]);
        let mut at = Situation { set: set.to_string(), ..orphan(SCRIPT) };
        at.claims.push(testing::claim("web", "cache", 2));
        assert!(refusal(&at).contains("claim template `cache`"), "{}", refusal(&at));
        at.config = r#"{"script": "move-all", "discard": ["cache"]}"#.to_owned();
        assert_eq!(rendered(&at).1.discard, ["cache"]);
    }

    #[test]
    fn it_waits_for_members_that_can_take_the_data() {
        let mut at = orphan(r#"{"script": "move-all", "readyPeers": 2}"#);
        assert!(matches!(render(&at), Rendering::Pod(_)));
        at.peers[1].ready = false;
        assert!(matches!(render(&at), Rendering::Wait(_)));
    }

    #[test]
    fn alone_it_runs_with_nobody_among_its_peers() {
        let at = Situation {
            config: r#"{"script": "back-up", "whenAlone": "run"}"#.to_owned(),
            ..testing::situation("web", 0, 0)
        };
        let (template, _) = rendered(&at);
        let env = &template["spec"]["containers"][0]["env"];
        assert_eq!(env[3], json!({"name": "TIDEGATE_PEERS", "value": ""}));
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

    /// Every config is put to both, with a set whose pod has two containers and whose claims are all there.
    #[test]
    fn what_is_wrong_with_a_config_is_said_at_once_and_refused_later() {
        let mut set = testing::set("web", 2);
        let spec = &mut set["spec"];
        spec["volumeClaimTemplates"] =
            json!([{"metadata": {"name": "data"}}, {"metadata": {"name": "cache"}}]);
        let index = json!({
            "name": "index", "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        });
        let containers = spec["template"]["spec"]["containers"].as_array_mut();
        containers.expect("it is a list").push(index);
        let mut at = Situation { set: set.to_string(), ..testing::situation("web", 2, 2) };
        at.claims.push(testing::claim("web", "cache", 2));
        for (keys, named) in [
            (r#""container": "web", "keepContainers": ["index"]"#, None),
            (r#""container": "web", "discard": ["cache"]"#, None),
            (r#""container": "web", "discard": ["cache", "data"], "readyPeers": "all""#, None),
            ("", Some("name one in `container`")),
            (r#""container": "wbe""#, Some("no container `wbe`")),
            (r#""container": "web", "keepContainers": ["indx"]"#, Some("no container `indx`")),
            (r#""container": "web""#, Some("claim template `cache`")),
            (r#""container": "index", "discard": ["cache"]"#, Some("claim template `data`")),
            (r#""container": "web", "discard": ["cahce"]"#, Some("`discard` names `cahce`")),
            (r#""container": "web", "discard": "cache""#, Some("`discard` must be")),
            (r#""contaner": "web""#, Some("no key `contaner`")),
        ] {
            let comma = if keys.is_empty() { "" } else { ", " };
            at.config = format!(r#"{{"script": "move-all"{comma}{keys}}}"#);
            let proposal = Proposal { set: at.set.clone(), ..testing::proposal("web", &at.config) };
            match (validate(&proposal), named) {
                (Ok(()), None) => assert!(matches!(render(&at), Rendering::Pod(_)), "{keys}"),
                (Err(wrong), Some(named)) => {
                    assert!(wrong.contains(named), "{wrong} does not name {named}");
                    assert_eq!(refusal(&at), wrong);
                    let alone = Situation { replicas: 0, peers: Vec::new(), ..at.clone() };
                    assert_eq!(refusal(&alone), wrong);
                }
                (answer, expected) => panic!("{keys}: {answer:?}, expected {expected:?}"),
            }
        }
    }
}
