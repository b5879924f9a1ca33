//! What is wrong is said at once, in one message that names the place and the mend.

use std::fs;

use tempfile::tempdir;

use crate::components::Guest;
use crate::policy;

/// The input is at fault, and nothing was asked.
const BAD_INPUT: i32 = 2;

/// It was asked, and the answer is not good.
const BAD_ANSWER: i32 = 1;

/// What lies in the folder, beside a good component and one that traps.
const FILES: &[(&str, &str)] = &[
    ("render.json", "{\"call\": \"render\"}"),
    ("broken.json", "{\n  \"call\": \"render\",\n  \"at\": {\"ordinal\": }\n}"),
    ("passage.jsonl", "# first\n{\"call\": \"render\"}\n{\"call\": \"judge\",, }"),
    ("typed.json", "{\"call\": \"render\", \"at\": {\"claims\": [{\"name\": 1}]}}"),
    ("misspelt.json", "{\"call\": \"render\", \"at\": {\"ordinals\": 3}}"),
    ("other.json", "{\"call\": \"renders\"}"),
    ("more.json", "{\"call\": \"render\", \"pots\": {}}"),
    ("elsewhere.json", "{\"call\": \"validate\", \"at\": {\"config\": \"x\"}}"),
    ("twice/package.json", "{\"name\": \"twice\"}"),
    ("twice/cases/first.json", "{\"call\": \"render\"}"),
    ("twice/cases/first.jsonl", "{\"call\": \"render\"}"),
    ("list.json", "[]"),
    ("text.txt", "{\"call\": \"render\"}"),
    ("empty.jsonl", "# nothing\n"),
    ("no.wasm", "hello"),
    ("record.jsonl", "{\"version\": 1}\n"),
    ("later.jsonl", ""),
    ("there/note", ""),
    ("bare/package.json", "{}"),
    ("js/package.json", "{\"name\": \"js\"}"),
    ("unkept/package.json", "{\"name\": \"unkept\"}"),
    ("unkept/cases/first.json", "{\"call\": \"render\"}"),
    ("torn/package.json", "{\"name\": \"torn\"}"),
    ("torn/cases/first.json", "{\"call\": \"render\"}"),
    ("torn/cases/first.answer.json", "{\n\"keep\": }"),
    ("fuel/package.json", "{\"name\": \"fuel\"}"),
    ("fuel/cases/fuel.json", "{\"gone\": 5}"),
    ("fuel/cases/out-of-fuel.json", "{\"call\": \"render\"}"),
    ("left/package.json", "{\"name\": \"left\"}"),
    ("left/cases/first.json", "{\"call\": \"render\"}"),
    ("left/cases/second.answer.json", "{}"),
];

/// A command, its exit code, and words that it says.
type Row = (&'static [&'static str], i32, &'static [&'static str]);

const ROWS: &[Row] = &[
    (&["new", "Web"], BAD_INPUT, &["`Web`", "lower-case"]),
    (&["new", "tidegate-policy"], BAD_INPUT, &["choose another name"]),
    (&["new", "there"], BAD_INPUT, &["there: it is there already", "choose another name"]),
    (&["build", "nowhere"], BAD_INPUT, &["nowhere: neither Cargo.toml nor package.json"]),
    (&["build", "bare"], BAD_INPUT, &["bare/package.json: it has no `name`"]),
    (&["inspect", "none.wasm"], BAD_INPUT, &["none.wasm: it cannot be read", "build"]),
    (&["inspect", "no.wasm"], BAD_INPUT, &["no.wasm: not WebAssembly but text"]),
    (&["run", "none.wasm", "--case", "render.json"], BAD_INPUT, &["none.wasm"]),
    (&["run", "good.wasm", "--case", "none.json"], BAD_INPUT, &["none.json: it cannot"]),
    (&["run", "good.wasm", "--case", "broken.json"], BAD_INPUT, &["broken.json:3:21: "]),
    (&["run", "good.wasm", "--case", "passage.jsonl"], BAD_INPUT, &["passage.jsonl:3:18: "]),
    (&["run", "good.wasm", "--case", "typed.json"], BAD_INPUT, &["`at.claims[0].name`"]),
    (&["run", "good.wasm", "--case", "misspelt.json"], BAD_INPUT, &["`ordinals`", "`ordinal`"]),
    (&["run", "good.wasm", "--case", "other.json"], BAD_INPUT, &["other.json: `call`"]),
    (&["run", "good.wasm", "--case", "more.json"], BAD_INPUT, &["more.json: `pots`"]),
    (&["run", "good.wasm", "--case", "elsewhere.json"], BAD_INPUT, &["elsewhere.json: `at`"]),
    (&["test", "twice", "--policy", "good.wasm"], BAD_INPUT, &["first.json and first.jsonl"]),
    (&["run", "good.wasm", "--case", "list.json"], BAD_INPUT, &["list.json: ", "an object"]),
    (&["run", "good.wasm", "--case", "text.txt"], BAD_INPUT, &["text.txt: a case is NAME"]),
    (&["run", "good.wasm", "--case", "empty.jsonl"], BAD_INPUT, &["empty.jsonl: no call"]),
    (&["run", "good.wasm", "--case", "."], BAD_INPUT, &[".: it cannot be read"]),
    (&["run", "traps.wasm", "--case", "render.json"], BAD_ANSWER, &["the policy trapped"]),
    (&["test", "js"], BAD_INPUT, &["js/js.wasm: it is not there", "policy build"]),
    (&["test", "js", "--policy", "good.wasm"], BAD_INPUT, &["js/cases: it cannot be read"]),
    (&["test", "unkept", "--policy", "good.wasm"], BAD_ANSWER, &["--update", "first"]),
    (&["test", "torn", "--policy", "good.wasm"], BAD_INPUT, &["answer.json", "line 2 column"]),
    (&["test", "left", "--policy", "good.wasm"], BAD_INPUT, &["second.answer.json: its case"]),
    (&["bench", "good.wasm"], BAD_INPUT, &["cases: it cannot be read"]),
    (&["bench", "good.wasm", "--calls", "0"], BAD_INPUT, &["--calls"]),
    (&["pack", "no.wasm"], BAD_INPUT, &["no.wasm: not WebAssembly"]),
    (&["pack", "good.wasm", "--name", "A_B"], BAD_INPUT, &["A_B-", "--name"]),
    (&["pack", "good.wasm", "-o", "./good.wasm"], BAD_INPUT, &["the component itself"]),
    (&["bench", "traps.wasm", "--cases", "unkept/cases"], BAD_ANSWER, &["policy run"]),
    (&["bench", "good.wasm", "--cases", "fuel/cases"], BAD_ANSWER, &["keeps what gone took"]),
    (&["test", "fuel", "--policy", "good.wasm"], BAD_ANSWER, &["FAILED  out-of-fuel"]),
    (&["test", "unkept", "--policy", "traps.wasm", "--update"], BAD_ANSWER, &["1 failed"]),
    (&["replay", "none", "good.wasm"], BAD_INPUT, &["none"]),
    (
        &["replay", "record.jsonl", "good.wasm"],
        BAD_INPUT,
        &["record.jsonl:1:14: ", "missing field"],
    ),
    (&["replay", "later.jsonl", "good.wasm"], BAD_INPUT, &["later.jsonl: no call"]),
];

#[test]
fn each_command_names_the_place_and_the_mend() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("good.wasm"), Guest::default().component()).expect("it is written");
    let traps = Guest { render: "unreachable", ..Guest::default() };
    fs::write(folder.join("traps.wasm"), traps.component()).expect("it is written");
    for (name, text) in FILES {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        fs::write(path, text).expect("it is written");
    }
    let mut wrong = Vec::new();
    for (args, code, words) in ROWS {
        let done = policy(folder, args);
        let said = format!("{}{}", done.stdout, done.stderr);
        let is_one_message = *code != BAD_INPUT
            || done.stdout.is_empty() && done.stderr.matches("error: ").count() == 1;
        let is_told = words.iter().all(|words| said.contains(words));
        if done.code != *code || !is_one_message || !is_told || said.contains("panicked") {
            wrong.push(format!("{args:?}: {done:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whoever keeps new answers sees what they change, and is not held up by an old one that cannot be read.
#[test]
fn what_is_kept_anew_is_shown() {
    let folder = tempdir().expect("a folder");
    let folder = folder.path();
    let cases = folder.join("cases");
    fs::create_dir(&cases).expect("a folder");
    let component = Guest::default().component();
    fs::write(folder.join("good.wasm"), component).expect("it is written");
    fs::write(folder.join("package.json"), "{\"name\": \"good\"}").expect("it is written");
    for name in ["none", "other", "torn"] {
        fs::write(cases.join(format!("{name}.json")), "{\"call\": \"render\"}").expect("a case");
    }
    fs::write(cases.join("other.answer.json"), "{\"keep\": \"so\"}").expect("an answer");
    fs::write(cases.join("torn.answer.json"), "{\"keep\": }").expect("an answer");
    let done = policy(folder, &["test", ".", "--policy", "good.wasm", "--update"]);
    assert_eq!(done.code, 0, "{done:?}");
    for words in [
        "updated none\n        no answer is kept yet",
        "updated other\n        keep: kept \"so\", given \"nothing to move\"",
        "updated torn\n        ./cases/torn.answer.json",
    ] {
        assert!(done.stdout.contains(words), "{words:?} is not in {}", done.stdout);
    }
    let again = policy(folder, &["test", ".", "--policy", "good.wasm", "--update"]);
    assert_eq!(again.stdout, "ok      none\nok      other\nok      torn\n3 cases, 0 failed\n");
}
