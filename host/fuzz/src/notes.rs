//! What the host writes on objects for itself, and finds there again: marks and records, as whoever may write pods and claims left them.

use serde_json::Value;
use tidegate::marks::{Marks, noted_from_json, record_to_json};
use tidegate_core::{Noted, Record};

use crate::json::Word;

/// What means something in marks and in a record.
pub const WORDS: &[Word] = &[
    Word {
        within: "",
        key: "version",
        values: &["1", "2", "0", r#""1""#, "1.0", "-1", "4294967297"],
    },
    Word { within: "", key: "attempt", values: &["0", "1", "4294967295", "4294967296", "-1"] },
    Word {
        within: "",
        key: "generation",
        values: &["0", "18446744073709551615", "18446744073709551616"],
    },
    Word { within: "", key: "ordinal", values: &["0", "4294967295"] },
    Word { within: "", key: "notBeforeMs", values: &["0", "null", "18446744073709551615"] },
    Word { within: "", key: "stateAtMs", values: &["0", "null"] },
    Word { within: "", key: "state", values: &[r#""""#, r#""receiver=0""#, "null"] },
    Word {
        within: "",
        key: "hold",
        values: &["null", r#"{"why":"w","settings":"00000000000000ff"}"#],
    },
    Word {
        within: "hold",
        key: "settings",
        values: &[
            r#""""#,
            r#""+f""#,
            r#""-1""#,
            r#""F""#,
            r#""10000000000000000""#,
            r#""ffffffffffffffff""#,
        ],
    },
    Word { within: "", key: "setUid", values: &[r#""u""#, "null"] },
    Word { within: "", key: "claims", values: &["{}", r#"{"data":"c"}"#, r#"{"data":1}"#] },
    Word {
        within: "",
        key: "containers",
        values: &["{}", r#"{"main":["drain"],"init":[],"sidecar":[]}"#],
    },
    Word { within: "", key: "more", values: &["1"] },
];

/// What is read is written again and read as the same; what is of another version, or has what this version does not, is not read.
pub fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Marks::parse(&text) {
        Ok(marks) => {
            assert_eq!(marks.version, Marks::VERSION);
            assert_eq!(Marks::parse(&marks.to_json()), Ok(marks.clone()));
            keeps_every_field(&text, &marks.to_json());
        }
        Err(why) => assert!(why.starts_with("annotation tidegate.dev/drain: ")),
    }
    match noted_from_json(&text) {
        Noted::Record(record) => {
            let written = record_to_json(&record);
            assert_eq!(noted_from_json(&written), Noted::Record(record.clone()));
            keeps_every_field(&text, &written);
            bears_its_version(&record);
        }
        Noted::Unreadable { why } => assert!(!why.is_empty()),
        Noted::Nothing => panic!("{text:?} is something"),
    }
}

/// No field is dropped unread: a host that follows what it does not understand acts on half of it.
fn keeps_every_field(read: &str, written: &str) {
    let fields = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (Some(Value::Object(read)), Some(Value::Object(written))) = (fields(read), fields(written))
    else {
        panic!("what was read is an object");
    };
    for (key, value) in read.iter().filter(|(_, value)| !value.is_null() && **value != "") {
        let kept = written.get(key);
        assert!(kept.is_some_and(|kept| is_alike(kept, value)), "{key}: {value} became {kept:?}");
    }
}

/// The fingerprint in a hold may have been written in capitals.
fn is_alike(kept: &Value, read: &Value) -> bool {
    kept == read || (kept.get("settings").is_some() && kept.get("why") == read.get("why"))
}

fn bears_its_version(record: &Record) {
    let next = record_to_json(record).replace("\"version\":1", "\"version\":2");
    assert!(matches!(noted_from_json(&next), Noted::Unreadable { .. }));
}
