//! From a core module to a checked component, as the workspace's own policies and those of other authors are packed.

mod names;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use std::io::Write as _;
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldItem, WorldKey};

/// The one interface that a policy may import, in whatever version.
const ALLOWED_IMPORT: &str = "tidegate:policy/log";

/// The interfaces between a component and its host, each with its version, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interfaces {
    /// What it needs of the host.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
}

/// Encodes a module that carries the description of its world, and validates the component.
///
/// # Errors
/// Where it is no module, carries no such description, or is not of that world.
pub fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(&names::shorten(module)?)
        .context("the description of its interfaces cannot be read")?
        .encode()
}

/// Reads the interfaces of a component.
///
/// # Errors
/// An import beside the log, by its name and with the mend; no export at all.
pub fn interfaces(component: &[u8]) -> Result<Interfaces> {
    let decoded = wit_component::decode(component)?;
    let DecodedWasm::Component(resolve, world) = &decoded else {
        bail!("it is a package of interfaces and no component");
    };
    let world = &resolve.worlds[*world];
    let mut imports: Vec<String> = world
        .imports
        .iter()
        .filter(|(_, item)| !only_types(resolve, item))
        .map(|(key, _)| resolve.name_world_key(key))
        .collect();
    let mut exports: Vec<String> =
        world.exports.keys().map(|key: &WorldKey| resolve.name_world_key(key)).collect();
    imports.sort();
    exports.sort();
    let is_allowed = |import: &String| import.split('@').next() == Some(ALLOWED_IMPORT);
    if let Some(import) = imports.iter().find(|import| !is_allowed(import)) {
        bail!(
            "it imports `{import}`, but `{ALLOWED_IMPORT}` is all that the host offers: {}",
            mend(import)
        );
    }
    if exports.is_empty() {
        bail!("it exports nothing: call `tidegate_policy::export!` in its lib.rs");
    }
    Ok(Interfaces { imports, exports })
}

/// What to do about an import that the host does not offer.
fn mend(import: &str) -> &'static str {
    let asks_for = |word: &str| import.contains(word);
    if asks_for("clock") || asks_for("clocks") {
        "a policy has no clock; the time is told as `now` of the situation"
    } else if asks_for("random") {
        "a policy has no random numbers, because the same arguments must give the same answer; derive what must differ from names, ordinal \
         and attempt"
    } else if import.starts_with("wasi:") {
        "a policy has no WASI: in Rust build for wasm32-unknown-unknown, in JavaScript with --stub-wasi, and leave out the dependency that \
         asks for it"
    } else {
        "find the dependency that asks for it and leave it out"
    }
}

/// Compresses a component. The header bears neither time nor file name, so that the same component gives the same bytes.
///
/// # Errors
/// Where the compressor fails, which it does not in memory.
pub fn gzip(component: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(component)?;
    Ok(encoder.finish()?)
}

/// An interface without functions is no demand on the host: a component names it to share its types.
fn only_types(resolve: &Resolve, item: &WorldItem) -> bool {
    match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.is_empty(),
        WorldItem::Type { .. } => true,
        WorldItem::Function(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"(import "tidegate:policy/log@1.1.0" (instance (export "log" (func))))"#;

    fn read(component: &str) -> Result<Interfaces> {
        interfaces(&wat::parse_str(component)?)
    }

    #[test]
    fn an_import_beside_the_log_is_refused_by_its_name() {
        let refused = read(&format!(
            r#"(component {LOG} (import "wasi:cli/environment@0.2.6" (instance (export "cwd" (func)))))"#
        ));
        let reason = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(reason.starts_with("it imports `wasi:cli/environment@0.2.6`"), "{reason}");
    }

    #[test]
    fn shared_types_are_no_demand_on_the_host() {
        let types = r#"(import "tidegate:policy/types@1.1.0" (instance (export "t" (type (sub resource)))))"#;
        let reason =
            read(&format!("(component {types} {LOG})")).err().map(|error| error.to_string());
        assert!(reason.unwrap_or_default().starts_with("it exports nothing"));
    }

    #[test]
    fn a_module_that_exports_no_policy_is_refused() {
        let module = wat::parse_str("(module)").expect("it is a module");
        let component = encode(&module).expect("it is a component of nothing");
        assert!(interfaces(&component).is_err());
    }

    #[test]
    fn the_same_component_gives_the_same_compressed_bytes() {
        let (one, other) = (gzip(b"component"), gzip(b"component"));
        assert_eq!(one.expect("in memory"), other.expect("in memory"));
    }
}
