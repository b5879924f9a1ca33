//! The world does what the real Kubernetes was seen to do: every script of `scripts/`.

use std::{fs, path::Path};

use tidegate_world::script::play;

/// How many scripts there are: one that is not found must not go unnoticed.
const SCRIPTS: usize = 33;

#[test]
fn every_script_is_played_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut played = 0;
    for entry in fs::read_dir(&folder).expect("the scripts are there") {
        let path = entry.expect("a script").path();
        let text = fs::read_to_string(&path).expect("a script is text");
        if let Err(disagreement) = play(&text) {
            panic!("{}: {disagreement}", path.display());
        }
        played += 1;
    }
    assert_eq!(played, SCRIPTS);
}

#[test]
fn a_line_that_is_not_so_is_named() {
    let script = "given 1 Retain Retain\nscale 0\nsettle\nsee pod member";
    let disagreement = play(script).expect_err("the member is gone");
    assert_eq!(disagreement.line, 4);
}
