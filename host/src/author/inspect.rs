//! `tidegate policy inspect`: what a component is, and what it costs to have it.

use std::time::Instant;

use anyhow::Context as _;
use wasmparser::{Parser, Payload};

use super::args::FileArgs;
use super::load::read;
use super::{Outcome, say};
use crate::policy::compile::{ADDRESS_SPACE_BYTES, CPU_SECS, Cost};
use crate::policy::unpack::{COMPONENT_MAX_BYTES, unpack};
use crate::policy::{Compiler, Digest, Policies, inspect};

/// The functions of a component.
#[derive(Default)]
struct Functions {
    count: usize,
    largest_bytes: usize,
    largest: u32,
}

/// Shows it. A component that the host would not take is no good one.
pub(super) async fn inspect(args: &FileArgs) -> anyhow::Result<Outcome> {
    let shown = args.file.display();
    let packed = read(&args.file)?;
    let component = unpack(packed.clone()).with_context(|| format!("{shown}"))?;
    inspect::inspect(&component).with_context(|| format!("{shown}"))?;
    let interfaces = tidegate_pack::interfaces(&component).with_context(|| format!("{shown}"))?;
    let gzip = tidegate_pack::gzip(&component)?.len();
    say(&format!("sha256   {}", Digest::of(&component)))?;
    say(&format!("size     {} bytes of {COMPONENT_MAX_BYTES}, {gzip} packed", component.len()))?;
    say(&format!("imports  {}", interfaces.imports.join(", ")))?;
    say(&format!("exports  {}", interfaces.exports.join(", ")))?;
    let functions = functions(&component)?;
    say(&format!(
        "code     {} functions, the largest (number {}) has {} bytes",
        functions.count, functions.largest, functions.largest_bytes
    ))?;
    let began = Instant::now();
    let (artifact, cost) =
        Compiler::this_process().measured(&component).await.with_context(|| format!("{shown}"))?;
    let took = began.elapsed();
    let Cost { cpu_ms, address_space_bytes } = cost;
    say(&format!(
        "compiled {} bytes of machine code in {:.0} ms, {cpu_ms} ms of {} of processor time, {} MiB of {} of address space",
        artifact.len(),
        took.as_secs_f64() * 1_000.0,
        CPU_SECS * 1_000,
        address_space_bytes / (1024 * 1024),
        ADDRESS_SPACE_BYTES / (1024 * 1024),
    ))?;
    // Some shapes are compared only when it is started.
    let policies = Policies::start(Compiler::this_process())
        .map_err(|error| anyhow::anyhow!("the WebAssembly engine does not start: {error:#}"))?;
    policies.load(None, packed).await.with_context(|| format!("{shown}"))?;
    Ok(Outcome::Good)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other sections hold no code")]
fn functions(component: &[u8]) -> anyhow::Result<Functions> {
    let mut functions = Functions::default();
    let mut in_module = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } => in_module = 0,
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len();
                if bytes > functions.largest_bytes {
                    functions.largest_bytes = bytes;
                    functions.largest = in_module;
                }
                functions.count += 1;
                in_module += 1;
            }
            _ => {}
        }
    }
    Ok(functions)
}
