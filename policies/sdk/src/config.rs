//! A config that is a JSON object, read key by key.

use serde_json::{Map, Value};

/// The annotation of the set whose text is the config.
pub const CONFIG_ANNOTATION: &str = "tidegate.dev/policy-config";

/// The keys of a config. One that nobody asks for is a mistake of spelling.
#[derive(Debug)]
pub struct ConfigKeys {
    keys: Map<String, Value>,
    /// Keys are looked up and not taken out: taking one out of a map is code that every policy would carry.
    asked: Vec<String>,
}

impl ConfigKeys {
    /// Reads a config with `read`. An empty text is a config without keys.
    ///
    /// ```
    /// use tidegate_policy::ConfigKeys;
    ///
    /// let receivers = |text| ConfigKeys::read(text, |keys| Ok(keys.count("receivers")?.unwrap_or(1)));
    /// assert_eq!((receivers(""), receivers(r#"{"receivers": 2}"#)), (Ok(1), Ok(2)));
    /// assert!(receivers(r#"{"recievers": 2}"#).is_err());
    /// ```
    ///
    /// # Errors
    /// A sentence that names the annotation, the key, what is wrong there and the mend: the text is no JSON object, `read` refuses it, or a
    /// key was not read.
    pub fn read<T>(
        text: &str,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        Self::parse(text)
            .and_then(|mut keys| {
                let config = read(&mut keys)?;
                keys.end().map(|()| config)
            })
            .map_err(|wrong| format!("annotation {CONFIG_ANNOTATION}: {wrong}"))
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        let value = self.value(key);
        let text = value.map(|value| value.as_str().filter(|text| !text.is_empty()));
        fits(text.map(|text| text.map(str::to_owned)), key, "a text that is not empty")
    }

    /// A list of texts.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        fits(self.value(key).map(strings), key, "a list of texts")
    }

    /// An object of texts, in the order of its keys.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn pairs(&mut self, key: &str) -> Result<Option<Vec<(String, String)>>, String> {
        let shape = "an object whose values are texts; put numbers in quotation marks";
        fits(self.value(key).map(pairs), key, shape)
    }

    /// A whole number.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn count(&mut self, key: &str) -> Result<Option<u32>, String> {
        fits(self.value(key).map(whole_number), key, WHOLE_NUMBER)
    }

    /// A whole number or one of some texts.
    ///
    /// # Errors
    /// Where the value is neither; the sentence lists the texts.
    pub fn count_or<T: Copy>(
        &mut self,
        key: &str,
        count: impl FnOnce(u32) -> T,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, String> {
        match self.value(key).map(whole_number) {
            None => Ok(None),
            Some(Some(number)) => Ok(Some(count(number))),
            Some(None) => {
                self.choice(key, choices).map_err(|wrong| format!("{wrong} or {WHOLE_NUMBER}"))
            }
        }
    }

    /// One of some texts.
    ///
    /// # Errors
    /// Where the value is none of them; the sentence lists them.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, String> {
        let texts: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
        let place = self.place(key, &texts)?;
        Ok(place.and_then(|place| choices.get(place)).map(|(_, choice)| *choice))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim_ascii().is_empty() {
            return Ok(Self { keys: Map::new(), asked: Vec::new() });
        }
        match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Value::Object(keys) => Ok(Self { keys, asked: Vec::new() }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err("it must be a JSON object".to_owned()),
        }
    }

    fn value(&mut self, key: &str) -> Option<&Value> {
        self.asked.push(key.to_owned());
        self.keys.get(key)
    }

    fn place(&mut self, key: &str, texts: &[&str]) -> Result<Option<usize>, String> {
        let place = self.value(key).map(|value| texts.iter().position(|text| value == text));
        fits(place, key, &listed(texts))
    }

    fn end(self) -> Result<(), String> {
        match self.keys.keys().find(|key| !self.asked.contains(key)) {
            None => Ok(()),
            Some(key) => Err(format!("there is no key `{key}`: take it out or mend its spelling")),
        }
    }
}

/// How a whole number is asked for.
const WHOLE_NUMBER: &str = "a whole number, 0 or more";

/// Tells a value that does not fit from one that is not there.
fn fits<T>(read: Option<Option<T>>, key: &str, shape: &str) -> Result<Option<T>, String> {
    match read {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(format!("`{key}` must be {shape}")),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect()
}

fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    let pairs = value.as_object()?.iter();
    pairs.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn whole_number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn listed(texts: &[&str]) -> String {
    let mut list = String::new();
    for (place, text) in texts.iter().enumerate() {
        list += if place == 0 { "\"" } else { " or \"" };
        list += text;
        list += "\"";
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T>(text: &str, read: impl FnOnce(&mut ConfigKeys) -> Result<T, String>) -> String {
        let wrong = ConfigKeys::read(text, read).err().expect(text);
        let prefix = "annotation tidegate.dev/policy-config: ";
        wrong.strip_prefix(prefix).expect("the annotation is named").to_owned()
    }

    #[test]
    fn every_kind_of_value_is_read_once() {
        let text = r#"{"a": "b", "l": ["1", "2"], "p": {"y": "2", "x": "1"}, "n": 7, "all": "all", "four": 4, "c": "yes"}"#;
        let read = ConfigKeys::read(text, |keys| {
            assert_eq!(keys.text("a"), Ok(Some("b".to_owned())));
            assert_eq!(keys.texts("l"), Ok(Some(vec!["1".to_owned(), "2".to_owned()])));
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(keys.pairs("p"), Ok(Some(vec![pair("x", "1"), pair("y", "2")])));
            assert_eq!(keys.count("n"), Ok(Some(7)));
            assert_eq!(keys.count_or("all", |n| n, &[("all", 99)]), Ok(Some(99)));
            assert_eq!(keys.count_or("four", |n| n, &[("all", 99)]), Ok(Some(4)));
            assert_eq!(keys.choice("c", &[("no", 0), ("yes", 1)]), Ok(Some(1)));
            assert_eq!(keys.text("b"), Ok(None));
            Ok(())
        });
        assert_eq!(read, Ok(()));
    }

    #[test]
    fn an_empty_text_has_no_keys() {
        for text in ["", " \n", "{}"] {
            assert_eq!(ConfigKeys::read(text, |keys| keys.count("n")), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(wrong("{", |_| Ok(())).contains("line 1 column 1"));
        assert_eq!(wrong("[]", |_| Ok(())), "it must be a JSON object");
        assert!(wrong(r#"{"imag": "b"}"#, |_| Ok(())).starts_with("there is no key `imag`"));
        assert_eq!(
            wrong(r#"{"a": ""}"#, |keys| keys.text("a")),
            "`a` must be a text that is not empty"
        );
        assert_eq!(
            wrong(r#"{"a": ["b", 1]}"#, |keys| keys.texts("a")),
            "`a` must be a list of texts"
        );
        assert!(wrong(r#"{"a": {"b": 1}}"#, |keys| keys.pairs("a")).contains("quotation marks"));
        for number in ["-1", "1.5", "4294967296", "\"1\""] {
            let text = format!("{{\"a\": {number}}}");
            assert_eq!(
                wrong(&text, |keys| keys.count("a")),
                "`a` must be a whole number, 0 or more"
            );
        }
        let choices = [("yes", 1), ("no", 0)];
        assert_eq!(
            wrong(r#"{"a": 1}"#, |keys| keys.choice("a", &choices)),
            r#"`a` must be "yes" or "no""#
        );
        assert_eq!(
            wrong(r#"{"a": "most"}"#, |keys| keys.count_or("a", |n| n, &choices[..1])),
            r#"`a` must be "yes" or a whole number, 0 or more"#
        );
    }

    #[test]
    fn what_the_reader_says_comes_before_a_key_that_is_left_over() {
        let missing = |keys: &mut ConfigKeys| {
            keys.text("script")?.ok_or_else(|| "give a `script`".to_owned())
        };
        assert_eq!(wrong(r#"{"scrip": "a"}"#, missing), "give a `script`");
    }
}
