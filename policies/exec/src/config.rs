//! The text of the annotation `tidegate.dev/policy-config`, understood.

use tidegate_policy::ConfigKeys;

/// What the drain pod is to run.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// A program of the image with its first arguments.
    Command(Vec<String>),
    /// A text for `/bin/sh`, which says by itself when it is done.
    Script(String),
}

/// How many members that stay must be ready before the work begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ReadyPeers {
    /// This many; none where the data goes elsewhere.
    AtLeast(u32),
    /// Every one.
    All,
}

/// What happens where no member stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WhenAlone {
    /// The claims stay, since nobody could take the data.
    Keep,
    /// The work runs, and finds nobody among its peers.
    Run,
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
    pub(crate) ready_peers: ReadyPeers,
    /// For how many seconds a member must have been ready to count.
    pub(crate) ready_for_secs: u32,
    pub(crate) when_alone: WhenAlone,
    pub(crate) proof: Proof,
    pub(crate) on_scale_up: OnScaleUp,
}

impl Config {
    /// Reads the text of the annotation.
    ///
    /// # Errors
    /// A sentence that names the annotation, the key, what is wrong there and the mend.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        ConfigKeys::read(text, read)
    }
}

fn read(keys: &mut ConfigKeys) -> Result<Config, String> {
    let config = Config {
        work: work(keys)?,
        args: keys.texts("args")?.unwrap_or_default(),
        container: keys.text("container")?,
        keep_containers: keys.texts("keepContainers")?.unwrap_or_default(),
        image: keys.text("image")?,
        env: keys.pairs("env")?.unwrap_or_default(),
        discard: keys.texts("discard")?.unwrap_or_default(),
        // Somebody has to take the data.
        ready_peers: keys
            .count_or("readyPeers", ReadyPeers::AtLeast, &[("all", ReadyPeers::All)])?
            .unwrap_or(ReadyPeers::AtLeast(1)),
        ready_for_secs: keys.count("readyForSecs")?.unwrap_or(0),
        when_alone: keys
            .choice("whenAlone", &[("keep", WhenAlone::Keep), ("run", WhenAlone::Run)])?
            .unwrap_or(WhenAlone::Keep),
        proof: keys.choice("exitCode", &[("enough", Proof::ExitCode)])?.unwrap_or(Proof::Message),
        on_scale_up: keys
            .choice("onScaleUp", &[("finish", OnScaleUp::Finish), ("cancel", OnScaleUp::Cancel)])?
            .unwrap_or(OnScaleUp::Finish),
    };
    match config.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        None => Ok(config),
        Some((name, _)) => Err(format!("`env`: `{name}` is no name of a variable")),
    }
}

fn work(keys: &mut ConfigKeys) -> Result<Work, String> {
    match (keys.texts("command")?, keys.text("script")?) {
        (Some(command), None) if command.is_empty() => {
            Err("`command` is empty: name a program".to_owned())
        }
        (Some(command), None) => Ok(Work::Command(command)),
        (None, Some(script)) => Ok(Work::Script(script)),
        (Some(_), Some(_)) => Err("it has both `command` and `script`: take one out".to_owned()),
        (None, None) => {
            Err("it has neither `command` nor `script`: give one, such as {\"script\": \"...\"}"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_alone_is_enough() {
        let config = Config::parse(r#"{"script": "move-all"}"#).expect("it is right");
        assert_eq!(config.work, Work::Script("move-all".to_owned()));
        assert_eq!(
            (config.ready_peers, config.ready_for_secs, config.when_alone),
            (ReadyPeers::AtLeast(1), 0, WhenAlone::Keep)
        );
        assert_eq!((config.proof, config.on_scale_up), (Proof::Message, OnScaleUp::Finish));
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(
            r#"{
                "command": ["/drain"], "args": ["--all"], "container": "store", "keepContainers": ["tls"],
                "image": "example/drain:2", "env": {"B": "2", "A": "1"}, "discard": ["cache"],
                "readyPeers": "all", "readyForSecs": 30, "whenAlone": "run", "exitCode": "enough", "onScaleUp": "cancel"
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
                ready_peers: ReadyPeers::All,
                ready_for_secs: 30,
                when_alone: WhenAlone::Run,
                proof: Proof::ExitCode,
                on_scale_up: OnScaleUp::Cancel,
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "neither `command` nor `script`: give one, such as {\"script\""),
            ("[]", "must be a JSON object"),
            ("{", "line 1 column 1"),
            (r#"{"script": "a", "command": ["a"]}"#, "both `command` and `script`"),
            (r#"{"script": ""}"#, "`script`"),
            (r#"{"command": []}"#, "`command` is empty"),
            (r#"{"command": "a"}"#, "`command` must be a list"),
            (r#"{"script": "a", "env": {"A": 1}}"#, "`env`"),
            (r#"{"script": "a", "env": {"A=B": "1"}}"#, "`A=B` is no name"),
            (r#"{"script": "a", "readyPeers": -1}"#, "`readyPeers`"),
            (r#"{"script": "a", "readyPeers": "most"}"#, "must be \"all\" or a whole number"),
            (r#"{"script": "a", "readyForSecs": "30s"}"#, "`readyForSecs`"),
            (r#"{"script": "a", "whenAlone": "drain"}"#, "`whenAlone` must be \"keep\" or \"run\""),
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
