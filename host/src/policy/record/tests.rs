use serde_json::json;

use super::*;
use crate::policy::Used;
use crate::policy::wit::Proposal;

fn said(template: &str) -> Said {
    let answer = json!({ "pod": { "template": template } });
    Said { answer, log: Vec::new(), used: Used::default() }
}

fn proposal(set: String) -> Call {
    let of = Proposal {
        namespace: "shop".to_owned(),
        set_name: "web".to_owned(),
        set,
        config: String::new(),
        extra: Vec::new(),
    };
    Call::Validate { of }
}

fn lines(folder: &Path) -> Vec<Recorded> {
    let numbers = numbers(folder).expect("the folder is there");
    let files = numbers.into_iter().map(|number| folder.join(file_name(number)));
    let text: String = files.map(|file| fs::read_to_string(file).expect("a file")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

#[test]
fn what_variables_hold_is_left_out_of_question_and_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::into_folder(folder.path(), 1 << 20).expect("a recorder");
    let container = |word: &str| {
        format!(
            r#"{{"name":"data","env":[{{"name":"A","value":"{word}"}},{{"value": "data","name":"B"}}]}}"#
        )
    };
    let set = format!(
        r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"has hunter2 too"}}}},"spec":{{"template":{{"spec":{{"containers":[{}]}}}}}}}}"#,
        container("hunter2")
    );
    recorder.record(Digest::of(b"x"), proposal(set), &said(&container("hunter2")));
    let [line] = &lines(folder.path())[..] else { panic!("expected one line") };
    assert!(!format!("{line:?}").contains("hunter2"), "{line:?}");
    let Call::Validate { of } = &line.asked else { panic!("expected the question") };
    // Names stay, and a value has the same word on both sides.
    assert!(
        of.set.contains(r#"{"name":"data","env":[{"name":"A","value":"left out"#),
        "{}",
        of.set
    );
    let template = line.answer["pod"]["template"].as_str().expect("a template");
    assert!(of.set.contains(template), "{template} is not in {}", of.set);
}

#[test]
fn variables_are_left_out_wherever_a_pod_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::into_folder(folder.path(), 1 << 20).expect("a recorder");
    let variables = json!([
        { "name": "A", "value": "a&b\"c" },
        { "name": "B", "value": "" },
        { "name": "C", "value": "\n-- a key --" },
    ]);
    let pod = json!({ "spec": { "containers": [{ "env": variables }] } });
    let annotations = json!({
        "statefulsets.kubernetes.io/scaledown-pod-template": pod.to_string(),
        "kapp.k14s.io/original": json!({ "spec": { "template": pod } }).to_string(),
        "kubectl.kubernetes.io/last-applied-configuration": json!({ "spec": pod }).to_string(),
    });
    let set = json!({ "metadata": { "annotations": annotations } }).to_string();
    // A policy in Go writes the ampersand so.
    let rendered = pod.to_string().replace('&', "\\u0026");
    recorder.record(Digest::of(b"x"), proposal(set), &said(&rendered));
    let [line] = &lines(folder.path())[..] else { panic!("expected one line") };
    let text = format!("{line:?}");
    for part in ["a&b", "u0026b", "a key"] {
        assert!(!text.contains(part), "{text}");
    }
    for number in 1..=3 {
        assert_eq!(text.matches(&format!("left out {number}")).count(), 3, "{text}");
    }
    assert!(text.contains(r#"last-applied-configuration\":\"left out\""#), "{text}");
}

#[test]
fn a_recording_has_a_bound_and_loses_its_oldest_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let max_bytes = 40_000;
    for start in 0..2 {
        let recorder = Recorder::into_folder(folder.path(), max_bytes).expect("a recorder");
        for number in 0..200 {
            let set = json!({ "number": start * 200 + number }).to_string();
            recorder.record(Digest::of(b"x"), proposal(set), &said("{}"));
        }
    }
    let files = fs::read_dir(folder.path()).expect("the folder is there");
    let sizes = files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len());
    let bytes: u64 = sizes.sum();
    assert!(bytes <= max_bytes && bytes > max_bytes / 2, "{bytes} bytes");
    let last = lines(folder.path()).pop().map(|line| line.asked);
    assert_eq!(last, Some(proposal(r#"{"number":399}"#.to_owned())));
}
