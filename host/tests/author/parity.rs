//! The same component and the same question: the answer, the error's words, the log and the fuel are those of the host.

use std::fs;

use serde_json::{Deserializer, Value};
use tempfile::tempdir;
use tidegate::policy::Policies;
use tidegate::policy::transcript::{Call, Said};
use tidegate::policy::wit::Proposal;

use crate::hostile::{self, Ends};
use crate::situations::{drain_pod, situation};
use crate::{Done, compiler, policy};

/// What stops a call at a moment that is not the same twice.
const DEADLINE: &str = "did not answer within";

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_policy_ends_for_its_author_as_in_the_host() {
    let policies = Policies::start(compiler()).expect("the engine starts");
    let folder = tempdir().expect("a folder");
    let call = Call::Render { at: situation() };
    write_case(folder.path(), "render", &call);
    let mut other = Vec::new();
    for row in hostile::all() {
        let bytes = (row.bytes)();
        fs::write(folder.path().join("policy.wasm"), &bytes).expect("it is written");
        let seen = policy(folder.path(), &["run", "policy.wasm", "--case", "render.json"]);
        // Where time ends it, it may end in two ways, and neither is wrong.
        let several = match &row.ends {
            Ends::Refused(words) | Ends::Stopped(words) if words.len() > 1 => *words,
            Ends::Refused(_) | Ends::Stopped(_) | Ends::Harmless => &[],
        };
        let host = match policies.load(None, bytes).await {
            Ok(module) => Ok(call.clone().ask(&module).await),
            Err(error) => Err(format!("error: policy.wasm: {error}\n")),
        };
        let is_one_of_several = several.iter().any(|words| {
            seen.stderr.contains(words) || seen.stdout.contains(&words.replace('"', "\\\""))
        });
        if !is_one_of_several && !is_same(&host, &seen) {
            other.push(format!("{}: the host says {host:?}, the author sees {seen:?}", row.name));
        }
    }
    assert!(other.is_empty(), "{other:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_of_the_workspace_answer_their_author_as_the_host() {
    let policies = Policies::start(compiler()).expect("the engine starts");
    let folder = tempdir().expect("a folder");
    let calls = [
        ("render", Call::Render { at: situation() }),
        ("judge", Call::Judge { at: situation(), pod: drain_pod() }),
        ("validate", Call::Validate { of: proposal("{\"no\": \"such field\"}") }),
        ("accept", Call::Validate { of: proposal("") }),
    ];
    for (name, call) in &calls {
        write_case(folder.path(), name, call);
    }
    for built in xtask::policies::build_all().expect("the policies build") {
        let file = built.component.to_string_lossy().into_owned();
        let bytes = fs::read(&built.component).expect("it is there");
        let module = policies.load(None, bytes).await.expect("it loads");
        for (name, call) in &calls {
            let said = Ok(call.clone().ask(&module).await);
            let case = format!("{name}.json");
            let seen = policy(folder.path(), &["run", &file, "--case", &case]);
            assert!(is_same(&said, &seen), "{} {name}: {said:?} {seen:?}", built.name);
        }
    }
}

fn write_case(folder: &std::path::Path, name: &str, call: &Call) {
    let text = serde_json::to_string(call).expect("a call is JSON");
    fs::write(folder.join(format!("{name}.json")), text).expect("it is written");
}

fn proposal(config: &str) -> Proposal {
    Proposal {
        namespace: "shop".to_owned(),
        set_name: "web".to_owned(),
        set: situation().set,
        config: config.to_owned(),
        extra: Vec::new(),
    }
}

fn is_same(host: &Result<Said, String>, seen: &Done) -> bool {
    let said = match host {
        Err(words) => return (seen.code, &seen.stderr) == (2, words) && seen.stdout.is_empty(),
        Ok(said) => said,
    };
    let is_fault = said.answer.get("fault").is_some();
    let Some((_, rest)) = seen.stdout.split_once('\n') else { return false };
    let mut values = Deserializer::from_str(rest).into_iter::<Value>();
    let Some(Ok(answer)) = values.next() else { return false };
    let mut lines = rest[values.byte_offset()..].lines().filter(|line| !line.is_empty());
    let log = said.log.iter().all(|line| {
        let seen = lines.by_ref().take(1 + line.message.matches('\n').count());
        seen.collect::<Vec<_>>().join("\n").ends_with(&line.message)
    });
    let fuel = format!("fuel {} of ", said.used.fuel);
    let fuel = lines.next().is_some_and(|line| line.starts_with(&fuel));
    let is_late = answer.to_string().contains(DEADLINE);
    seen.code == i32::from(is_fault) && answer == readable(said) && (is_late || log && fuel)
}

/// The answer as the author reads it: the template as an object, and nothing of what is absent.
fn readable(said: &Said) -> Value {
    let mut answer = said.answer.clone();
    if let Some(template) = answer.pointer_mut("/pod/template") {
        let text = template.as_str().expect("a template is text");
        *template = serde_json::from_str(text).expect("a template is JSON");
    }
    for fields in answer.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
    answer
}
