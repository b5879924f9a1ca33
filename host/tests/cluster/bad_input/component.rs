//! ConfigMaps that hold something else than a policy.

use anyhow::Result;

use super::{Orphan, POLICY, drained_at_zero};
use crate::components::{Guest, compile_bomb, contract, encode};
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::component::not_a_policy", not_a_policy),
    test("bad_input::component::too_expensive_to_compile", too_expensive_to_compile),
];

/// An interface that no policy may import.
const CLOCK: &str = "wasi:clocks/wall-clock@0.2.0";

/// From bytes that mean nothing to a policy that does not start.
fn not_a_policy(site: &Site<'_>) -> Result<()> {
    let whole = Guest::default().component();
    let (half, _) = whole.split_at(whole.len() / 2);
    let module = wat::parse_str("(module)")?;
    let stopped = Guest { start: "unreachable", ..Guest::default() }.component();
    let rows: [(&str, &[u8], &[&str]); 9] = [
        ("garbage", &[0xde, 0xad, 0xbe, 0xef], &["not WebAssembly but unknown bytes", "component"]),
        ("text", b"(module)", &["not WebAssembly but WebAssembly in its text format"]),
        ("core", &module, &["a core WebAssembly module", "`wasm-tools component new`"]),
        ("cut", half, &["a broken component", "compare the sha256"]),
        ("import", &reads_the_clock(), &[CLOCK, "may import only", "take out"]),
        ("export", &without_a_judge(), &["does not export `tidegate:policy/judge`"]),
        ("version", &of_version_two(), &["@2.0.0`", "this host speaks tidegate:policy 1"]),
        ("shape", &of_another_shape(), &["not those of the contract", "wit/policy.wit"]),
        ("start", &stopped, &["cannot be started", "trapped"]),
    ];
    let reference = "rows-follow@sha256:0";
    let orphan = Orphan::of(site, &drained_at_zero(Store::bare()).annotated(POLICY, reference))?;
    for (name, bytes, words) in rows {
        let digest = site.config_map(name, ("policy.wasm", bytes))?;
        let place = format!("ConfigMap {}/{name}, entry policy.wasm", site.namespace);
        let words: Vec<&str> =
            std::iter::once(place.as_str()).chain(words.iter().copied()).collect();
        orphan.told_of(POLICY, &format!("{name}@sha256:{digest}"), "PolicyFault", &words)?;
    }
    orphan.is_untouched()
}

/// 35 kB that take gigabytes to compile: the compiler's child dies of it, and the host goes on, which the second policy shows.
fn too_expensive_to_compile(site: &Site<'_>) -> Result<()> {
    let items = compile_bomb(2000, 1000);
    let bomb = Guest { items: &items, ..Guest::default() }.component();
    let digest = site.config_map("bomb", ("policy.wasm", &bomb))?;
    let reference = format!("bomb@sha256:{digest}");
    let orphan = Orphan::of(site, &drained_at_zero(Store::bare()).annotated(POLICY, &reference))?;
    orphan.told("PolicyFault", &["bomb", "too expensive to compile", "split large functions"])?;
    let honest = site.config_map("honest", ("policy.wasm", &Guest::default().component()))?;
    let reference = format!("honest@sha256:{honest}");
    orphan.told_of(POLICY, &reference, "PolicyKeeps", &["nothing to move"])?;
    orphan.is_untouched()
}

fn reads_the_clock() -> Vec<u8> {
    let wit = contract(|wit| {
        let wit = wit.replace("  import log;", &format!("  import log;\n  import {CLOCK};"));
        format!("{wit}\npackage wasi:clocks@0.2.0 {{ interface wall-clock {{ get: func(); }} }}")
    });
    let guest = Guest {
        imports: &format!("(import \"{CLOCK}\" \"get\" (func $get))"),
        items: "(func (export \"use\") (call $get))",
        ..Guest::default()
    };
    guest.component_of(&wit)
}

fn without_a_judge() -> Vec<u8> {
    let wit = contract(|wit| format!("{wit}\nworld half {{ import log; export renderer; }}"));
    let core = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32) unreachable))"#;
    encode(core, &wit, "half")
}

fn of_version_two() -> Vec<u8> {
    let wit = contract(|wit| wit.replace("tidegate:policy@1.1.0", "tidegate:policy@2.0.0"));
    Guest::default().component_of_version(&wit, "2.0.0")
}

fn of_another_shape() -> Vec<u8> {
    let added = "record situation {\n    mood: string,";
    Guest::default().component_of(&contract(|wit| wit.replacen("record situation {", added, 1)))
}
