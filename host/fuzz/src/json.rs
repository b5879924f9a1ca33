//! Makes one JSON document out of another, so that it stays one and mostly means something.

use serde_json::{Map, Value, json};

use crate::dice::{self, Dice};

/// A field that means something, and what may stand in it.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The key of the object that has the field; elements of a list have the key of the list, and the whole document has none.
    pub within: &'static str,
    /// The field's own key.
    pub key: &'static str,
    /// Values that mean something there, as JSON.
    pub values: &'static [&'static str],
}

/// How many changes are made to one document at most: with more of them nothing of it is left that means anything.
const CHANGES_MAX: usize = 5;

/// Another document made out of this one, or bytes like these where they are none.
#[must_use]
pub fn vary(text: &[u8], words: &[Word], dice: &mut Dice) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<Value>(text) else {
        return dice::vary(text, dice);
    };
    if dice.once_in(50) {
        return dice::vary(text, dice);
    }
    for _ in 0..=dice.below(CHANGES_MAX) {
        match dice.below(10) {
            0..=4 => say_a_word(&mut document, words, dice),
            5 => {
                let odd = odd_value(dice);
                change_one(&mut document, dice, |place, _| *place = odd);
            }
            6 => {
                let mut other = Value::Null;
                change_one(&mut document, dice, |place, _| other = place.clone());
                change_one(&mut document, dice, |place, _| *place = other);
            }
            7 => copy_a_text(&mut document, dice),
            8 => change_one(&mut document, dice, add_or_take_out),
            _ => change_one(&mut document, dice, tweak),
        }
    }
    document.to_string().into_bytes()
}

/// A value from the words into one of the objects where it means something.
fn say_a_word(document: &mut Value, words: &[Word], dice: &mut Dice) {
    let Some(word) = dice.choose(words) else {
        return;
    };
    let value = dice.choose(word.values).and_then(|text| serde_json::from_str(text).ok());
    let mut fitting = 0;
    each(document, "", &mut |key, place| {
        fitting += usize::from(key == word.within && place.is_object());
    });
    let chosen = dice.below(fitting);
    let mut at = 0;
    each(document, "", &mut |key, place| {
        if key == word.within
            && let Value::Object(fields) = place
        {
            if at == chosen {
                fields.insert(word.key.to_owned(), value.clone().unwrap_or_default());
            }
            at += 1;
        }
    });
}

/// One text of the document in the place of another: what belongs together has the same UID.
fn copy_a_text(document: &mut Value, dice: &mut Dice) {
    let mut texts = Vec::new();
    each(document, "", &mut |_, place| texts.extend(place.as_str().map(str::to_owned)));
    let (Some(text), to) = (dice.choose(&texts).cloned(), dice.below(texts.len())) else {
        return;
    };
    let mut at = 0;
    each(document, "", &mut |_, place| {
        if place.is_string() {
            if at == to {
                *place = json!(text);
            }
            at += 1;
        }
    });
}

fn change_one(document: &mut Value, dice: &mut Dice, change: impl FnOnce(&mut Value, &mut Dice)) {
    let mut places: usize = 0;
    each(document, "", &mut |_, _| places += 1);
    let chosen = dice.below(places);
    let mut change = Some(change);
    let mut at: usize = 0;
    each(document, "", &mut |_, place| {
        if at == chosen
            && let Some(change) = change.take()
        {
            change(place, dice);
        }
        at += 1;
    });
}

fn add_or_take_out(place: &mut Value, dice: &mut Dice) {
    match place {
        Value::Array(items) => {
            let at = dice.below(items.len());
            match (items.get(at).cloned(), dice.once_in(2)) {
                (Some(item), true) => items.insert(at, item),
                (Some(_), false) => drop(items.remove(at)),
                (None, _) => items.push(odd_value(dice)),
            }
        }
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            match (dice.choose(&keys).cloned(), dice.once_in(4)) {
                (Some(key), true) => {
                    let value = fields.remove(&key).unwrap_or_default();
                    fields.insert(format!("{key}-1"), value);
                }
                (Some(key), false) => drop(fields.remove(&key)),
                (None, _) => drop(fields.insert("more".to_owned(), odd_value(dice))),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *place = Value::Null;
        }
    }
}

fn tweak(place: &mut Value, dice: &mut Dice) {
    match place {
        Value::Bool(value) => *value = !*value,
        Value::Number(number) => {
            let value = number.as_i64().unwrap_or_default();
            *place = match dice.below(3) {
                0 => json!(value.saturating_add(1)),
                1 => json!(value.saturating_sub(1)),
                _ => json!(value.saturating_mul(1_000)),
            };
        }
        Value::String(text) => match dice.below(4) {
            0 => drop(text.pop()),
            1 => text.push_str("-1"),
            2 => text.insert(0, ' '),
            _ => text.push('\u{202e}'),
        },
        Value::Null => *place = odd_value(dice),
        Value::Array(items) => items.reverse(),
        Value::Object(fields) => *fields = Map::new(),
    }
}

fn odd_value(dice: &mut Dice) -> Value {
    match dice.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(u32::MAX),
        6 => json!(u64::MAX),
        7 => json!(i64::MIN),
        8 => json!(""),
        9 => json!("x"),
        10 => json!([]),
        _ => json!({}),
    }
}

/// Every value of the document with the key that it stands under.
fn each(value: &mut Value, key: &str, visit: &mut impl FnMut(&str, &mut Value)) {
    visit(key, value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, key, visit)),
        Value::Object(fields) => {
            for (key, value) in fields {
                each(value, key, visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
