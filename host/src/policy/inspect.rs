//! Reads what a component imports and exports, before anything is spent on it.

use semver::Version;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};

use super::fault::LoadError;

/// The package of the contract.
const PACKAGE: &str = "tidegate:policy";

/// The major version that this host speaks. Later minor versions only add interfaces.
const MAJOR: u64 = 1;

/// The version of the contract in `wit/`.
const VERSION: &str = "1.1.0";

/// The interfaces that a policy may import. `types` holds no function: a component names it for the shapes alone.
const IMPORTS: [&str; 2] = ["log", "types"];

/// The interfaces that a policy must export.
const EXPORTS: [&str; 2] = ["renderer", "judge"];

/// The full name of an interface of the contract, such as `tidegate:policy/judge@1.1.0`.
#[must_use]
pub fn interface(name: &str) -> String {
    format!("{PACKAGE}/{name}@{VERSION}")
}

/// Holds when the bytes are a component that imports nothing but the contract's imports and exports all that a policy must,
/// in a version that this host speaks. What is inside is not checked here: that is the compiler's work.
///
/// # Errors
/// [`LoadError`] names the import or export that is wrong.
pub fn inspect(bytes: &[u8]) -> Result<(), LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWebAssembly { looks: looks(bytes) });
    }
    let exported = read_outermost(bytes)?;
    match EXPORTS.iter().zip(exported).find(|(_, found)| !found) {
        Some((missing, _)) => {
            Err(LoadError::MissingExport { name: format!("{PACKAGE}/{missing}") })
        }
        None => Ok(()),
    }
}

/// Checks every import and tells which of [`EXPORTS`] are there. Components nest; only what the outermost one imports and
/// exports is between it and the host.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other sections are the compiler's to read")]
fn read_outermost(bytes: &[u8]) -> Result<[bool; EXPORTS.len()], LoadError> {
    let mut exported = [false; EXPORTS.len()];
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(LoadError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import.map_err(malformed)?;
                    check_import(import.name.name, import.ty)?;
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    note_export(export.name.name, export.kind, &mut exported)?;
                }
            }
            _ => {}
        }
    }
    Ok(exported)
}

/// An interface of the contract as a component names it: `tidegate:policy/NAME@VERSION`.
struct Interface<'a> {
    name: &'a str,
    spoken: bool,
}

impl<'a> Interface<'a> {
    /// None where the name is of another package, or of none.
    fn of(name: &'a str) -> Option<Self> {
        let path = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
        let (name, version) = path.split_once('@').unwrap_or((path, ""));
        let spoken = Version::parse(version)
            .is_ok_and(|version| version.major == MAJOR && version.pre.is_empty());
        Some(Self { name, spoken })
    }
}

fn check_import(name: &str, ty: ComponentTypeRef) -> Result<(), LoadError> {
    match Interface::of(name) {
        Some(interface) if IMPORTS.contains(&interface.name) => {
            if !interface.spoken {
                return Err(LoadError::UnknownVersion { name: name.to_owned() });
            }
            if !matches!(ty, ComponentTypeRef::Instance(_)) {
                return Err(LoadError::Import { name: name.to_owned() });
            }
            Ok(())
        }
        Some(_) | None => Err(LoadError::Import { name: name.to_owned() }),
    }
}

/// Other exports are ignored: a policy may serve more hosts than this one.
fn note_export(
    name: &str,
    kind: ComponentExternalKind,
    exported: &mut [bool; EXPORTS.len()],
) -> Result<(), LoadError> {
    let Some(interface) = Interface::of(name) else {
        return Ok(());
    };
    let Some(place) = EXPORTS.iter().position(|export| *export == interface.name) else {
        return Ok(());
    };
    if !interface.spoken {
        return Err(LoadError::UnknownVersion { name: name.to_owned() });
    }
    if kind == ComponentExternalKind::Instance {
        exported[place] = true;
    }
    Ok(())
}

fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed(error.to_string())
}

fn looks(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if text.is_empty() {
        "empty"
    } else if text.starts_with(b"(module") || text.starts_with(b"(component") {
        "WebAssembly in its text format"
    } else if text.starts_with(b"AGFzb") {
        "WebAssembly in base64, which binaryData adds by itself"
    } else if std::str::from_utf8(bytes).is_ok() {
        "text"
    } else {
        "unknown bytes"
    }
}
