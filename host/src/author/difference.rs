//! Where two answers differ, for a person.

use serde_json::Value;

/// How many differences are shown of one answer: who sees as many looks at the whole.
const SHOWN_MAX: usize = 20;

/// Characters of a value that are shown in one line.
const VALUE_MAX_CHARS: usize = 300;

/// One line for each place where the answer is another than the one that is kept; empty where there is none.
pub(super) fn differences(kept: &Value, given: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", Some(kept), Some(given), &mut lines);
    if lines.len() > SHOWN_MAX {
        let more = lines.len() - SHOWN_MAX;
        lines.truncate(SHOWN_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn walk(at: &str, kept: Option<&Value>, given: Option<&Value>, lines: &mut Vec<String>) {
    match (kept, given) {
        (Some(kept), Some(given)) if kept == given => {}
        (Some(Value::Object(kept)), Some(Value::Object(given))) => {
            let all = kept.keys().chain(given.keys().filter(|key| !kept.contains_key(*key)));
            for key in all {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                walk(&at, kept.get(key), given.get(key), lines);
            }
        }
        (Some(Value::Array(kept)), Some(Value::Array(given))) => {
            for place in 0..kept.len().max(given.len()) {
                walk(&format!("{at}[{place}]"), kept.get(place), given.get(place), lines);
            }
        }
        (kept, given) => {
            let at = if at.is_empty() { "answer" } else { at };
            lines.push(format!("{at}: kept {}, given {}", shown(kept), shown(given)));
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    let cut: String = text.chars().take(VALUE_MAX_CHARS).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_named() {
        let kept =
            json!({ "pod": { "template": { "c": [{ "name": "a" }, 1] }, "traffic": "none" } });
        let given = json!({ "pod": { "template": { "c": [{ "name": "b" }] }, "discard": [] } });
        assert_eq!(
            differences(&kept, &given),
            [
                "pod.template.c[0].name: kept \"a\", given \"b\"",
                "pod.template.c[1]: kept 1, given nothing",
                "pod.traffic: kept \"none\", given nothing",
                "pod.discard: kept nothing, given []",
            ]
        );
        assert_eq!(differences(&kept, &kept), Vec::<String>::new());
        assert_eq!(differences(&json!("valid"), &json!(1)), ["answer: kept \"valid\", given 1"]);
    }
}
