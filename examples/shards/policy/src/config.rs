//! The text of the set's annotation `tidegate.dev/policy-config`.

use tidegate_policy::ConfigKeys;

/// How the drain goes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// What happens when the set is scaled up while its member drains.
    pub(crate) on_scale_up: OnScaleUp,
    /// How many milliseconds the drain rests after each file, to leave the receivers room for their clients.
    pub(crate) pause_ms: u32,
}

/// What happens when the set is scaled up while its member drains.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum OnScaleUp {
    /// The drain ends first; the member then starts with a fresh volume.
    #[default]
    Wait,
    /// The drain stops, and the member gets its volume back. What was handed over stays with the others too.
    Cancel,
}

impl Config {
    /// Reads `{"onScaleUp": "wait" | "cancel", "pauseMs": N}`. Every key may be missing, and so may the whole text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let choices = [("wait", OnScaleUp::Wait), ("cancel", OnScaleUp::Cancel)];
        ConfigKeys::read(text, |keys| {
            Ok(Self {
                on_scale_up: keys.choice("onScaleUp", &choices)?.unwrap_or_default(),
                pause_ms: keys.count("pauseMs")?.unwrap_or_default(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_have_defaults() {
        assert_eq!(Config::parse(" ").unwrap(), Config::parse("{}").unwrap());
        let config = Config::parse(r#"{"onScaleUp": "cancel", "pauseMs": 20}"#).unwrap();
        assert_eq!(config, Config { on_scale_up: OnScaleUp::Cancel, pause_ms: 20 });
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(Config::parse("wait").is_err());
        assert!(Config::parse(r#"{"onScaleup": "wait"}"#).unwrap_err().contains("`onScaleup`"));
        assert!(Config::parse(r#"{"pauseMs": "1"}"#).unwrap_err().contains("`pauseMs`"));
    }
}
