//! A ConfigMap that holds a policy. The first byte says what is done with the rest: handed on as it is, as the JSON of a whole ConfigMap, or packed
//! first, which no random bytes are.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use k8s_openapi::api::core::v1::ConfigMap;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tidegate::policy::{
    Digest, LoadError,
    inspect::inspect,
    source::{PickError, pick},
    unpack::{COMPONENT_MAX_BYTES, Format, unpack},
};

/// Bytes that unpacking may take at its worst: the unpacked bytes while the vector that holds them doubles, and what a decoder looks back on.
const MEMORY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How often a short input is said again, so that what is packed is small and what comes out is not: above the cap for the longest of them.
const REPEATS: [usize; 4] = [1, 3, 1_000, 300_000];

/// What comes out is within its cap, took a bounded amount of memory, is what went in, and has the digest of what went in.
pub fn holds(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    match choice % 4 {
        0 => drop(unpacked(rest.to_vec())),
        1 => whole_map(rest),
        2 => there_and_back(*choice, rest, gzip),
        _ => {
            there_and_back(*choice, rest, |plain| compress_to_vec(plain, CompressionLevel::Fastest))
        }
    }
}

fn unpacked(packed: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let format = Format::of(&packed);
    let as_it_was = packed.clone();
    let before = Resident::start();
    let result = unpack(packed);
    before.has_grown_by_at_most(MEMORY_MAX_BYTES);
    match &result {
        Ok(plain) => {
            assert!(plain.len() <= COMPONENT_MAX_BYTES);
            if format == Format::Raw {
                assert_eq!(*plain, as_it_was);
            }
            inspected(plain);
        }
        Err(LoadError::TooBig { limit }) => assert_eq!(*limit, COMPONENT_MAX_BYTES),
        Err(LoadError::Unpack { format: told, reason }) => {
            assert_eq!(*told, format);
            assert!(format != Format::Raw && !reason.is_empty());
        }
        Err(other) => panic!("unpacking says {other:?}"),
    }
    result
}

fn inspected(component: &[u8]) {
    match inspect(component) {
        Ok(()) => assert!(component.starts_with(b"\0asm")),
        Err(why) => {
            assert!(!why.to_string().is_empty() && !why.is_host(), "{why:?}");
        }
    }
}

fn there_and_back(choice: u8, rest: &[u8], pack: impl Fn(&[u8]) -> Vec<u8>) {
    // The last two bytes say whether the packed form is spoilt, and where.
    let Some((plain, [at, flip])) = rest.split_last_chunk() else {
        return;
    };
    let short = plain.get(..plain.len().min(40)).unwrap_or_default();
    let repeats = REPEATS.get(usize::from(choice / 4) % REPEATS.len()).copied().unwrap_or(1);
    let plain = if repeats == 1 { plain.to_vec() } else { short.repeat(repeats) };
    let mut packed = pack(&plain);
    let at = usize::from(*at) * packed.len() / 256;
    if let Some(byte) = packed.get_mut(at) {
        *byte ^= flip;
    }
    match unpacked(packed) {
        Ok(found) if *flip == 0 => {
            assert_eq!(found.len(), plain.len());
            assert_eq!(Digest::of(&found), Digest::of(&plain), "the digest is of what is packed");
        }
        Err(LoadError::TooBig { .. }) if *flip == 0 => assert!(plain.len() > COMPONENT_MAX_BYTES),
        Err(why) if *flip == 0 => panic!("{why:?}"),
        // Whatever a spoilt one unpacks to, its digest tells.
        Ok(_) | Err(_) => {}
    }
}

fn whole_map(json: &[u8]) {
    let Ok(map) = serde_json::from_slice::<ConfigMap>(json) else {
        return;
    };
    let binary: BTreeMap<String, Vec<u8>> = map
        .binary_data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, bytes)| (key, bytes.0))
        .collect();
    let text = map.data.unwrap_or_default();
    let keys: Vec<&String> = text.keys().chain(binary.keys()).collect();
    for key in keys.iter().map(|key| Some(key.as_str())).chain([None, Some("absent")]) {
        let picked = pick(&text, &binary, key);
        match &picked {
            Ok(found) => {
                assert!(key == Some(found.key) || (key.is_none() && keys.len() == 1));
                let held = text.get(found.key).map(String::as_bytes);
                let held = held.or_else(|| binary.get(found.key).map(Vec::as_slice));
                assert_eq!(held, Some(found.bytes));
                drop(unpacked(found.bytes.to_vec()));
            }
            Err(why @ PickError::Missing { key: missing, has }) => {
                assert!(Some(missing.as_str()) == key && !keys.contains(&missing));
                assert_eq!(has.len(), keys.len());
                assert!(!why.to_string().is_empty());
            }
            Err(PickError::Ambiguous { has }) => {
                assert!(key.is_none() && keys.len() != 1 && has.len() == keys.len());
            }
        }
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("memory takes what is written to it");
    encoder.finish().expect("memory takes what is written to it")
}

/// The memory that this process holds, from a moment on. The kernel keeps the highest mark; where it does not, nothing is known and nothing held.
struct Resident {
    bytes: Option<usize>,
}

impl Resident {
    fn start() -> Self {
        // "5" sets the highest mark to what is held at this moment.
        let reset = std::fs::write("/proc/self/clear_refs", "5");
        Self { bytes: reset.ok().and_then(|()| highest()) }
    }

    fn has_grown_by_at_most(&self, limit: usize) {
        if let (Some(before), Some(after)) = (self.bytes, highest()) {
            let grown = after.saturating_sub(before);
            assert!(grown <= limit, "unpacking took {grown} bytes");
        }
    }
}

fn highest() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
