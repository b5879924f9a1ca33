//! What was released is for ever: the contract only grows, and a policy made against its first release is understood.

use std::io::Read as _;

use flate2::read::GzDecoder;
use tidegate::policy::wit::{Proposal, Rendering};
use wit_parser::{Resolve, WorldId};

use crate::components::contract;
use crate::situations::{drain_pod, situation};

/// The contract's first release.
const FIRST: &str = include_str!("released/policy-1.0.0.wit");

/// The library policy `exec` of the first release, as its ConfigMap held it.
const EXEC: &[u8] = include_bytes!("released/exec-1.0.0.wasm.gz");

#[test]
fn the_contract_only_grows() {
    assert_eq!(broken(&contract(|wit| wit)), Vec::<String>::new());
}

#[test]
fn what_is_no_addition_is_found() {
    let edited = |from: &str, to: &str| {
        let wit = contract(|wit| {
            let edited = wit.replacen(from, to, 1);
            assert_ne!(edited, wit, "there is no {from:?}");
            edited
        });
        broken(&wit)
    };
    for (from, to) in [
        ("record situation {", "record situation {\n    mood: string,"),
        ("variant cause {", "variant cause {\n    node-lost,"),
        ("render: func(at: situation)", "render: func(at: situation, mood: string)"),
        ("  export judge;\n}", "  export judge;\n  export validator;\n}"),
    ] {
        assert_eq!(edited(from, to), ["policy"], "{to:?} passes for an addition");
    }
    let addition = "interface validator {";
    let more = format!("interface prober {{ probe: func() -> string; }}\n{addition}");
    assert_eq!(edited(addition, &more), Vec::<String>::new());
}

/// A component of the first release bears its version in every name that it imports and exports.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_first_release_answers() {
    let mut component = Vec::new();
    GzDecoder::new(EXEC).read_to_end(&mut component).expect("it is whole");
    let is_of_the_first = |name: &[u8]| component.windows(name.len()).any(|bytes| bytes == name);
    assert!(is_of_the_first(b"tidegate:policy/judge@1.0.0"));
    let module = crate::load(EXEC.to_vec()).await.expect("it loads");
    let rendered = module.render(situation()).await;
    assert!(matches!(rendered.answer, Ok(Rendering::Refuse(_))), "{:?}", rendered.answer);
    let judged = module.judge(situation(), drain_pod()).await;
    assert!(judged.answer.is_ok(), "{:?}", judged.answer);
    let proposal = Proposal {
        namespace: "default".to_owned(),
        set_name: "web".to_owned(),
        set: "{}".to_owned(),
        config: String::new(),
        extra: Vec::new(),
    };
    assert_eq!(module.validate(proposal).await, None, "it has no validator");
}

/// The worlds of the first release that a policy could not be of any more.
fn broken(wit: &str) -> Vec<String> {
    let mut resolve = Resolve::default();
    let first = resolve.push_str("first.wit", FIRST).expect("the first release is read");
    let next = resolve.push_str("next.wit", wit).expect("the contract is read");
    let worlds: Vec<(String, WorldId)> =
        resolve.packages[first].worlds.iter().map(|(name, world)| (name.clone(), *world)).collect();
    let is_broken = |(name, world): &(String, WorldId)| {
        let Some(successor) = resolve.packages[next].worlds.get(name) else {
            return true;
        };
        wit_component::semver_check(resolve.clone(), *world, *successor).is_err()
    };
    worlds.iter().filter(|it| is_broken(it)).map(|(name, _)| name.clone()).collect()
}
