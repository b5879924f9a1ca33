//! Cases that a person can read: what is seen and answered, and the whole plan that comes of it. `UPDATE=1` writes what comes
//! of each scene into its file; what then differs is for a person to judge.

#![expect(clippy::unwrap_used, reason = "what a helper stumbles on fails the test that calls it")]

mod cases;
mod world;

use std::path::{Path, PathBuf};

use cases::{Case, Scene, diff, render};
use tidegate_core::{View, check::check, plan::plan, questions};

#[test]
fn every_case_ends_as_it_says() {
    let mut wrong = Vec::new();
    let mut scenes = 0;
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let case = Case::read(&path, &text).unwrap_or_else(|error| panic!("{error}"));
        let outcomes: Vec<String> = case.scenes.iter().map(outcome).collect();
        scenes += outcomes.len();
        if updates() {
            std::fs::write(&path, case.rewritten(&outcomes)).unwrap();
            continue;
        }
        for (scene, actual) in case.scenes.iter().zip(&outcomes) {
            let expected = case.expected(scene);
            if expected != *actual {
                wrong.push(format!("{}\n{}", scene.title, diff(&expected, actual)));
            }
        }
    }
    eprintln!("{scenes} scenes");
    assert!(
        wrong.is_empty(),
        "\n\n{}\n`-` is what the file says, `+` is what comes of it; UPDATE=1 writes that into the files\n",
        wrong.join("\n")
    );
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    for (text, error) in [
        ("## A\n->\n", "x.txt:1: a case begins with prose: what it shows and why"),
        ("Prose.\n", "x.txt:1: no scene: write `## ` and a title"),
        ("Prose.\n## A\nset\n", "x.txt:2: A: the scene has no `->`"),
        ("Prose.\n## A\nset size=3\n->\n", "x.txt:3: set: \"size\" is not understood"),
        ("Prose.\n## A\n2 claim data odd\n->\n", "x.txt:3: claim: \"odd\" is not understood"),
        ("Prose.\n## A\n02 nobody\n->\n", "x.txt:3: \"02\" is not an ordinal"),
        ("Prose.\n## A\nnow 5\n->\n", "x.txt:3: \"5\" is no time: write 5s or 1500ms"),
        ("Prose.\n## A\n2 foreign \"odd\n->\n", "x.txt:3: a quote is not closed"),
    ] {
        let read = Case::read(Path::new("x.txt"), text);
        assert_eq!(read.err().as_deref(), Some(error), "{text}");
    }
}

/// What comes of a scene. An answer that nobody asked for is a mistake of the scene's, and a plan on a live view that the check
/// refuses is one of ours.
fn outcome(scene: &Scene) -> String {
    let Scene { title, seen, answers, now, .. } = scene;
    let questions = questions(seen, *now);
    for ordinal in answers.keys() {
        let asked = questions.iter().any(|question| question.ordinal() == *ordinal);
        assert!(asked, "{title}: nobody asks about ordinal {ordinal}");
    }
    let plan = plan(seen, answers, *now);
    if seen.view != View::Cached {
        let checked = check(seen, answers, &plan);
        assert_eq!(checked, Ok(()), "{title}");
    }
    render(&questions, &plan)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case was found");
    cases
}

fn updates() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}
