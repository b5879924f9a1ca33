//! The text of the annotation `tidegate.dev/policy-config`, understood.

use tidegate_policy::serde_json::{self, Map, Value};

/// The annotation whose text this is.
const ANNOTATION: &str = "tidegate.dev/policy-config";

/// How many members that stay must be ready where the config does not say: somebody has to take the data.
const DEFAULT_READY_PEERS: u32 = 1;

/// What the drain pod is to run.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// A program of the image with its first arguments.
    Command(Vec<String>),
    /// A text for `/bin/sh`, which says by itself when it is done.
    Script(String),
}

/// What shows that the work is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Proof {
    /// A line of the termination message.
    Message,
    /// Exit code 0 alone.
    ExitCode,
}

/// What happens where the set wants the ordinal back before the work is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OnScaleUp {
    /// The work goes on, and the member comes back with a fresh volume.
    Finish,
    /// The work is given up, and the member comes back with the data that is left.
    Cancel,
}

/// The config of one set.
#[derive(Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) work: Work,
    pub(crate) args: Vec<String>,
    /// The container that does the work; none where the pod template has but one, or names its default.
    pub(crate) container: Option<String>,
    /// Further containers to keep, main or init.
    pub(crate) keep_containers: Vec<String>,
    pub(crate) image: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    /// The templates of claims that hold nothing worth moving.
    pub(crate) discard: Vec<String>,
    /// How many members that stay must be ready before the work begins.
    pub(crate) ready_peers: u32,
    pub(crate) proof: Proof,
    pub(crate) on_scale_up: OnScaleUp,
}

impl Config {
    /// Reads the text of the annotation.
    ///
    /// # Errors
    /// A sentence that names the annotation, the key, what is wrong there and the mend.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        read(text).map_err(|wrong| format!("annotation {ANNOTATION}: {wrong}"))
    }
}

fn read(text: &str) -> Result<Config, String> {
    if text.is_empty() {
        return Err("it is empty; `exec` needs to know what to run, such as {\"script\": \"...\"}"
            .to_owned());
    }
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let keys = value.as_object().ok_or("it must be a JSON object")?;
    let mut config = Config {
        work: work(keys)?,
        args: Vec::new(),
        container: None,
        keep_containers: Vec::new(),
        image: None,
        env: Vec::new(),
        discard: Vec::new(),
        ready_peers: DEFAULT_READY_PEERS,
        proof: Proof::Message,
        on_scale_up: OnScaleUp::Finish,
    };
    for (key, value) in keys {
        match key.as_str() {
            // `work` has read these.
            "command" | "script" => {}
            "args" => config.args = strings(key, value)?,
            "container" => config.container = Some(string(key, value)?),
            "keepContainers" => config.keep_containers = strings(key, value)?,
            "image" => config.image = Some(string(key, value)?),
            "env" => config.env = pairs(key, value)?,
            "discard" => config.discard = strings(key, value)?,
            "readyPeers" => config.ready_peers = count(key, value)?,
            "exitCode" => {
                config.proof = one_of(key, value, "\"enough\"", &[("enough", Proof::ExitCode)])?;
            }
            "onScaleUp" => {
                let choices = [("finish", OnScaleUp::Finish), ("cancel", OnScaleUp::Cancel)];
                config.on_scale_up = one_of(key, value, "\"finish\" or \"cancel\"", &choices)?;
            }
            unknown => {
                return Err(format!(
                    "`exec` does not know the key `{unknown}`: take it out or mend its spelling"
                ));
            }
        }
    }
    Ok(config)
}

fn work(keys: &Map<String, Value>) -> Result<Work, String> {
    match (keys.get("command"), keys.get("script")) {
        (Some(command), None) => {
            let command = strings("command", command)?;
            if command.is_empty() {
                Err("`command` is empty: name a program".to_owned())
            } else {
                Ok(Work::Command(command))
            }
        }
        (None, Some(script)) => Ok(Work::Script(string("script", script)?)),
        (Some(_), Some(_)) => Err("it has both `command` and `script`: take one out".to_owned()),
        (None, None) => Err("it has neither `command` nor `script`: give one".to_owned()),
    }
}

fn string(key: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("`{key}` must be a text that is not empty"))
}

fn strings(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("`{key}` must be a list of texts");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn pairs(key: &str, value: &Value) -> Result<Vec<(String, String)>, String> {
    let wrong = || {
        format!("`{key}` must be an object whose values are texts; put numbers in quotation marks")
    };
    let object = value.as_object().ok_or_else(wrong)?;
    object
        .iter()
        .map(|(name, value)| Ok((name.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
        .collect()
}

fn count(key: &str, value: &Value) -> Result<u32, String> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| format!("`{key}` must be a whole number, 0 or more"))
}

/// Chooses by a text; `texts` lists the choices for a person.
fn one_of<T: Copy>(
    key: &str,
    value: &Value,
    texts: &str,
    choices: &[(&str, T)],
) -> Result<T, String> {
    let found = choices.iter().find(|(text, _)| value == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| format!("`{key}` must be {texts}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_alone_is_enough() {
        let config = Config::parse(r#"{"script": "move-all"}"#).expect("it is right");
        assert_eq!(config.work, Work::Script("move-all".to_owned()));
        assert_eq!(
            (config.ready_peers, config.proof, config.on_scale_up),
            (1, Proof::Message, OnScaleUp::Finish)
        );
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(
            r#"{
                "command": ["/drain"], "args": ["--all"], "container": "store", "keepContainers": ["tls"],
                "image": "example/drain:2", "env": {"B": "2", "A": "1"}, "discard": ["cache"],
                "readyPeers": 2, "exitCode": "enough", "onScaleUp": "cancel"
            }"#,
        );
        let text = |text: &str| text.to_owned();
        assert_eq!(
            config,
            Ok(Config {
                work: Work::Command(vec![text("/drain")]),
                args: vec![text("--all")],
                container: Some(text("store")),
                keep_containers: vec![text("tls")],
                image: Some(text("example/drain:2")),
                env: vec![(text("A"), text("1")), (text("B"), text("2"))],
                discard: vec![text("cache")],
                ready_peers: 2,
                proof: Proof::ExitCode,
                on_scale_up: OnScaleUp::Cancel,
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "empty"),
            ("[]", "must be a JSON object"),
            ("{", "line 1 column 1"),
            ("{}", "neither `command` nor `script`"),
            (r#"{"script": "a", "command": ["a"]}"#, "both `command` and `script`"),
            (r#"{"script": ""}"#, "`script`"),
            (r#"{"command": []}"#, "`command` is empty"),
            (r#"{"command": "a"}"#, "`command` must be a list"),
            (r#"{"script": "a", "env": {"A": 1}}"#, "`env`"),
            (r#"{"script": "a", "readyPeers": -1}"#, "`readyPeers`"),
            (r#"{"script": "a", "exitCode": 0}"#, "`exitCode` must be \"enough\""),
            (r#"{"script": "a", "onScaleUp": "stop"}"#, "\"finish\" or \"cancel\""),
            (r#"{"script": "a", "imag": "b"}"#, "`imag`"),
        ] {
            let wrong = Config::parse(text).expect_err(text);
            assert!(wrong.starts_with("annotation tidegate.dev/policy-config: "), "{wrong}");
            assert!(wrong.contains(named), "{wrong} does not name {named}");
        }
    }
}
