//! The policy in JavaScript of `examples/spool`, built as its author builds it and asked through the host's own loader.

use serde_json::{Value, json};
use tidegate::policy::Fault;
use tidegate::policy::wit::{
    Container, ContainerKind, ContainerState, DrainPod, Ending, Exit, Phase, Rendering, Retry,
    Situation, Verdict,
};

use crate::{cases, load, situations};

/// The set of the example, scaled down to two members.
fn situation() -> Situation {
    let set = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "spool", "image": "box:1", "command": ["nc"], "later": 1 },
    ] } } } });
    Situation { set: set.to_string(), ..situations::situation() }
}

/// A drain pod that ended by itself and left these words.
fn ended(message: &str) -> DrainPod {
    let exit = Exit {
        code: 0,
        reason: "Completed".to_owned(),
        message: message.to_owned(),
        started: None,
        finished: None,
    };
    let container = Container {
        name: "spool".to_owned(),
        kind: ContainerKind::Main,
        rendered: true,
        state: ContainerState::Exited(exit),
        last_exit: None,
        restarts: 0,
        ready: false,
    };
    DrainPod {
        phase: Phase::Succeeded,
        ending: Ending::ByItself,
        containers: vec![container],
        ..situations::drain_pod()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_in_javascript_answers() {
    let component = xtask::policies::build_javascript("spool").expect("the policy builds");
    cases::hold("examples/spool/policy", &component);
    let module = load(std::fs::read(component).expect("it is there")).await.expect("it loads");

    let rendered = module.render(situation()).await;
    let Ok(Rendering::Pod(pod)) = rendered.answer else { panic!("{rendered:?}") };
    let template: Value = serde_json::from_str(&pod.template).expect("the template is JSON");
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["env"][0], json!({ "name": "RECEIVER", "value": "10.0.0.7" }));
    assert_eq!(container["later"], 1);
    let state = r#"{"receiver":"web-0"}"#;
    assert_eq!((pod.discard, pod.state.as_deref()), (Vec::new(), Some(state)));

    let at = Situation { state: state.to_owned(), attempt: 2, ..situation() };
    let judged = module.judge(at.clone(), ended(r#"{"sent": 3, "stored": 3}"#)).await;
    assert_eq!(judged.answer, Ok(Verdict::Complete("3 files are with web-0".to_owned())));
    let judged = module.judge(at.clone(), ended("")).await;
    let reason = "the drain pod did not say how many files it sent".to_owned();
    let expected = Verdict::Retry(Retry { reason, after: 10_000, state: state.to_owned() });
    assert_eq!(judged.answer, Ok(expected));

    let mut left = at;
    left.peers.remove(0);
    let warned = module.render(left).await;
    assert_eq!(
        warned.log.lines[0].message,
        "web-0 has a part of the spool and leaves too: web-1 gets all of it"
    );

    let misspelt = Situation { config: r#"{"prot": 1}"#.to_owned(), ..situation() };
    let refused = module.render(misspelt).await.answer;
    assert!(
        matches!(&refused, Ok(Rendering::Refuse(why)) if why.contains("`prot`")),
        "{refused:?}"
    );

    // A set without that container is a mistake of this policy's user that the policy does not expect: it throws.
    let broken = module.render(situations::situation()).await.answer;
    let Err(Fault::Trap { last_words: Some(words), .. }) = &broken else { panic!("{broken:?}") };
    assert!(words.starts_with("TypeError: "), "{words}");
}
