//! The text of the set's annotation `tidegate.dev/policy-config`.

use tidegate_policy::serde_json::{self, Value};

/// How the drain goes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// What happens when the set is scaled up while its member drains.
    pub(crate) on_scale_up: OnScaleUp,
    /// How many milliseconds the drain rests after each file, to leave the receivers room for their clients.
    pub(crate) pause_ms: u64,
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
        let mut config = Self::default();
        if text.trim().is_empty() {
            return Ok(config);
        }
        let Ok(Value::Object(keys)) = serde_json::from_str(text) else {
            return Err("tidegate.dev/policy-config is not a JSON object".to_owned());
        };
        for (key, value) in &keys {
            match (key.as_str(), value.as_str(), value.as_u64()) {
                ("onScaleUp", Some("wait"), _) => config.on_scale_up = OnScaleUp::Wait,
                ("onScaleUp", Some("cancel"), _) => config.on_scale_up = OnScaleUp::Cancel,
                ("pauseMs", _, Some(pause_ms)) => config.pause_ms = pause_ms,
                (key, _, _) => {
                    return Err(format!(
                        "tidegate.dev/policy-config: `{key}` is unknown or has another value than it may have; \
                         there are onScaleUp (\"wait\" or \"cancel\") and pauseMs (a number)"
                    ));
                }
            }
        }
        Ok(config)
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
