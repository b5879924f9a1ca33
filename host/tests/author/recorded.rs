//! What a host recorded, asked again by another process: the same question has the same answer, to the byte.

use std::fs;

use serde_json::json;
use tempfile::tempdir;
use tidegate::policy::transcript::Call;
use tidegate::policy::wit::{Cause, DrainPod, Ending, Phase, Proposal, Situation};
use tidegate::policy::{Policies, Recorder};

use crate::situations::{drain_pod, situation};
use crate::{compiler, policy};

/// Calls in all, over every policy of the workspace.
const CALLS: usize = 10_000;

/// Room for all of them, so that none is dropped.
const RECORD_MAX_BYTES: u64 = 1 << 30;

/// What stands in a variable of the set's pods, and never in a recording.
const SECRET: &str = "s3cr3t-of-the-store";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_have_the_same_answers_in_another_process() {
    let mut components: Vec<_> = xtask::policies::build_all()
        .expect("the policies build")
        .into_iter()
        .map(|policy| policy.component)
        .collect();
    components.push(xtask::policies::build_javascript("spool").expect("the policy builds"));
    let calls = CALLS / components.len();
    for component in components {
        let folder = tempdir().expect("a folder");
        let recorder = Recorder::into_folder(folder.path(), RECORD_MAX_BYTES).expect("a recorder");
        let policies =
            Policies::start_recorded(compiler(), Some(recorder)).expect("the engine starts");
        let bytes = fs::read(&component).expect("it is there");
        let module = policies.load(None, bytes).await.expect("it loads");
        // A component that has no validator is not called by a `validate`, and what is not called is not recorded.
        for number in 0..calls {
            call(number).ask(&module).await;
        }
        for file in fs::read_dir(folder.path()).expect("the recording") {
            let text = fs::read_to_string(file.expect("a file").path()).expect("text");
            assert!(!text.contains(SECRET), "a secret is recorded");
        }
        let file = component.to_string_lossy().into_owned();
        let record = folder.path().to_string_lossy().into_owned();
        let done = policy(folder.path(), &["replay", &record, &file]);
        let expected =
            format!("{calls} calls, 0 of them recorded of another digest; 0 answers differ, ");
        assert!(done.stdout.starts_with(&expected) && done.code == 0, "{file}: {done:?}");
        eprintln!("{file}: {}", done.stdout.trim());
        // A host that was killed leaves a line that is cut off, and the others count all the same.
        fs::write(folder.path().join("cut.jsonl"), "\n{\"version\": 1, ").expect("it is written");
        let done = policy(folder.path(), &["replay", &record, &file]);
        let cut = "cut.jsonl:2:15: it is no recorded call: EOF while parsing";
        let is_told = done.stdout.contains(cut) && done.stdout.contains("1 lines are left out");
        assert!(is_told && done.stdout.contains(&expected) && done.code == 1, "{done:?}");
    }
}

/// A call of every kind in turn, no two of them about the same.
fn call(number: usize) -> Call {
    let at = at(number);
    match number % 5 {
        0 | 1 => Call::Render { at },
        2 | 3 => Call::Judge { at, pod: pod(number) },
        _ => Call::Validate {
            of: Proposal {
                namespace: at.namespace,
                set_name: at.set_name,
                set: at.set,
                config: at.config,
                extra: at.extra,
            },
        },
    }
}

fn at(number: usize) -> Situation {
    let configs = ["", "{\"script\": \"move \\\"$1\\\"\"}", "{\"no\": 1}", "no JSON", "{}"];
    let causes = [Cause::ScaleDown, Cause::SetDeleted];
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "web", "uid": format!("uid-{number}") },
        "spec": { "template": { "spec": { "containers": [
            { "name": "web", "image": format!("box:{number}"), "env": [{ "name": "KEY", "value": SECRET }],
              "volumeMounts": [{ "name": "data", "mountPath": "/data" }] },
            { "name": "spool", "image": "box:1" },
        ] } } },
    });
    let mut at = situation();
    at.now += u64::try_from(number).unwrap_or_default();
    at.set = set.to_string();
    at.cause = causes[number / 7 % causes.len()].clone();
    configs[number / 5 % configs.len()].clone_into(&mut at.config);
    at.attempt = u32::try_from(1 + number % 4).unwrap_or(1);
    at.peers.truncate(number / 3 % 3);
    at.replicas = u32::try_from(at.peers.len()).unwrap_or_default();
    if number.is_multiple_of(11) {
        at.state = format!("{{\"receiver\":\"web-{}\"}}", number % 2);
    }
    at
}

fn pod(number: usize) -> DrainPod {
    let phases = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed];
    let phase = phases[number / 5 % phases.len()];
    let ending = match phase {
        Phase::Succeeded | Phase::Failed => Ending::ByItself,
        Phase::Pending | Phase::Running | Phase::Unknown => Ending::NotEnded,
    };
    DrainPod { phase, ending, message: format!("{number} files"), ..drain_pod() }
}
