//! What somebody may bring to hurt the host, each with the words in which it ends.
//!
//! Nothing here is a fault of the host's own: every row is refused when it is loaded, or stopped while it is called, within the limits of
//! `policy/limits.rs`, `policy/unpack.rs` and `policy/compile.rs`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::components::{Guest, compile_bomb, contract, encode};
use crate::sections::{instances, nested, types_of_twice_the_size};

/// Bytes that unpack to far more than a component may have, and that pack to far less than a ConfigMap may hold.
const BOMB_BYTES: usize = 64 * 1024 * 1024;

/// One hostile policy.
pub(crate) struct Hostile {
    /// What it does.
    pub(crate) name: &'static str,
    /// What the ConfigMap's entry holds.
    pub(crate) bytes: Box<dyn Fn() -> Vec<u8>>,
    /// How it ends.
    pub(crate) ends: Ends,
}

/// How a hostile policy ends.
pub(crate) enum Ends {
    /// It is not loaded, and one of these is what is said.
    Refused(&'static [&'static str]),
    /// It is loaded; when it is asked there is no answer, and one of these is what is said.
    Stopped(&'static [&'static str]),
    /// It is loaded and answers, and nothing came of what it did besides.
    Harmless,
}

use Ends::{Harmless, Refused, Stopped};

const OUT_OF_FUEL: &str =
    "the policy used up its 1000000000 units of fuel: it loops, or does too much in one call";
const TIMEOUT: &str = "the policy did not answer within 1000 ms";
const MEMORY: &str = "the policy asked for more than 64 MiB of memory or 100000 table elements";
const TOO_MUCH_DATA: &str = "the policy handed over more than 4 MiB at once: answer with less";
const TOO_BIG: &str =
    "larger than 8 MiB unpacked: build it with opt-level \"s\" and without debug information";
const COMPILER_MEMORY: &str = "too expensive to compile: more than 384 MiB of memory; split large functions, and build with lto = \"thin\" and the default codegen-units";
const COMPILER_TIME: &str = "too expensive to compile: more than 20 s of processor time; split large functions, and build with lto = \"thin\" and the default codegen-units";

/// Every one of them.
pub(crate) fn all() -> Vec<Hostile> {
    [
        computes(),
        grows(),
        says_too_much(),
        answers_wrongly(),
        is_dear(),
        never_starts(),
        asks_for_more(),
        is_none(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(name: &'static str, ends: Ends, bytes: impl Fn() -> Vec<u8> + 'static) -> Hostile {
    Hostile { name, bytes: Box::new(bytes), ends }
}

/// A policy that does this when it is asked to render.
fn renders(name: &'static str, ends: Ends, body: &'static str, items: &'static str) -> Hostile {
    row(name, ends, move || Guest { render: body, items, ..Guest::default() }.component())
}

/// Loops on instructions that cost fuel and no time, so that the fuel ends it on the slowest machine.
fn busy_loop() -> String {
    format!("(loop {} (br 0))", "(drop (i32.const 1))".repeat(1_000))
}

fn computes() -> Vec<Hostile> {
    vec![
        row("spins when it renders", Stopped(&[OUT_OF_FUEL]), || {
            let body = format!("{} unreachable", busy_loop());
            Guest { render: &body, ..Guest::default() }.component()
        }),
        renders(
            "calls itself without end",
            Stopped(&["the policy trapped: wasm trap: call stack exhausted"]),
            "(drop (call $deep (i64.const 0))) unreachable",
            "(func $deep (param i64) (result i64)
                (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (local.get 0)))",
        ),
        renders(
            "fills memory again and again, which costs time and no fuel",
            Stopped(&[TIMEOUT, OUT_OF_FUEL]),
            "(drop (memory.grow (i32.const 900)))
             (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 50000000)) (br 0)) unreachable",
            "",
        ),
        row("spins where the host asks for room", Stopped(&[OUT_OF_FUEL]), || {
            replaced("(local.get $at))", &format!("{} (i32.const 0))", busy_loop()))
        }),
    ]
}

fn grows() -> Vec<Hostile> {
    vec![
        renders(
            "takes memory without end",
            Stopped(&[MEMORY]),
            "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable",
            "",
        ),
        renders(
            "takes table elements without end",
            Stopped(&[MEMORY]),
            "(loop (drop (table.grow $more (ref.null func) (i32.const 1000))) (br 0)) unreachable",
            "(table $more 0 funcref)",
        ),
        row(
            "has memories that are too large together",
            Refused(&[
                "the component cannot be started: the policy asked for more than 64 MiB of memory or 100000 table elements",
            ]),
            || {
                let items = "(memory $two 600) (memory $three 600)";
                Guest { items, ..Guest::default() }.component()
            },
        ),
        row(
            "has tables that are too large together",
            Refused(&[
                "the component cannot be started: the policy asked for more than 64 MiB of memory or 100000 table elements",
            ]),
            || {
                let items = "(table 60000 funcref) (table 60000 funcref)";
                Guest { items, ..Guest::default() }.component()
            },
        ),
        row(
            "has nine memories",
            Refused(&[
                "the component's functions are not those of the contract: resource limit exceeded: memory count too high at 9; build it against wit/policy.wit as released",
            ]),
            || Guest { items: &"(memory 0)".repeat(8), ..Guest::default() }.component(),
        ),
        row(
            "has forty tables",
            Refused(&[
                "the component's functions are not those of the contract: resource limit exceeded: table count too high at 41; build it against wit/policy.wit as released",
            ]),
            || Guest { items: &"(table 0 funcref)".repeat(40), ..Guest::default() }.component(),
        ),
        row(
            "has two hundred instances",
            Refused(&[
                "the component's functions are not those of the contract: resource limit exceeded: instance count too high at ",
            ]),
            || instances(Guest::default().component(), 200),
        ),
    ]
}

fn says_too_much() -> Vec<Hostile> {
    vec![
        renders(
            "floods the log",
            Harmless,
            "(local $left i32)
             (local.set $left (i32.const 100000))
             (loop
               (call $log (i32.const 1) (i32.const 512) (i32.const 5))
               (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
             (i32.store8 (i32.const 0) (i32.const 2))
             (i32.store (i32.const 8) (i32.const 64))
             (i32.store (i32.const 12) (i32.const 7))
             (i32.const 0)",
            r#"(data (i32.const 512) "again")"#,
        ),
        renders(
            "logs thirty MiB at once",
            Stopped(&[TOO_MUCH_DATA]),
            "(drop (memory.grow (i32.const 600)))
             (call $log (i32.const 1) (i32.const 0) (i32.const 31457280)) unreachable",
            "",
        ),
        renders(
            "answers with thirty MiB",
            Stopped(&[TOO_MUCH_DATA]),
            "(drop (memory.grow (i32.const 600)))
             (i32.store8 (i32.const 0) (i32.const 2))
             (i32.store (i32.const 8) (i32.const 64))
             (i32.store (i32.const 12) (i32.const 31457280))
             (i32.const 0)",
            "",
        ),
        renders(
            "answers with a template above the limit",
            Stopped(&[
                "the policy's answer has 262145 bytes in `pod.template`, and 262144 is the most",
            ]),
            "(drop (memory.grow (i32.const 8)))
             (i32.store8 (i32.const 0) (i32.const 0))
             (i32.store (i32.const 8) (i32.const 131072))
             (i32.store (i32.const 12) (i32.const 262145))
             (i32.const 0)",
            "",
        ),
        renders(
            "answers with a million claims to discard",
            Stopped(&[TOO_MUCH_DATA]),
            "(drop (memory.grow (i32.const 200)))
             (i32.store8 (i32.const 0) (i32.const 0))
             (i32.store (i32.const 20) (i32.const 131072))
             (i32.store (i32.const 24) (i32.const 1000000))
             (i32.const 0)",
            "",
        ),
    ]
}

fn answers_wrongly() -> Vec<Hostile> {
    vec![
        renders(
            "answers with what is no text",
            Stopped(&[
                "the policy trapped: incomplete utf-8 byte sequence from index 0",
                "the policy trapped: invalid utf-8 sequence of 1 bytes from index 0",
            ]),
            "(i32.store8 (i32.const 0) (i32.const 2))
             (i32.store (i32.const 8) (i32.const 512))
             (i32.store (i32.const 12) (i32.const 4))
             (i32.const 0)",
            r#"(data (i32.const 512) "\ff\fe\c0\80")"#,
        ),
        renders(
            "answers with a case that there is not",
            Stopped(&["the policy trapped: unexpected discriminant: 9"]),
            "(i32.store8 (i32.const 0) (i32.const 9)) (i32.const 0)",
            "",
        ),
        renders(
            "answers beyond its memory",
            Stopped(&["the policy trapped: pointer out of bounds of memory"]),
            "(i32.const 2147483640)",
            "",
        ),
        renders(
            "answers with a text beyond its memory",
            Stopped(&["the policy trapped: string pointer/length out of bounds of memory"]),
            "(i32.store8 (i32.const 0) (i32.const 2))
             (i32.store (i32.const 8) (i32.const 65000))
             (i32.store (i32.const 12) (i32.const 100000))
             (i32.const 0)",
            "",
        ),
        renders(
            "answers at an odd address",
            Stopped(&["the policy trapped: return pointer not aligned"]),
            "(i32.const 3)",
            "",
        ),
        renders(
            "logs from beyond its memory",
            Stopped(&["the policy trapped: string pointer/length out of bounds of memory"]),
            "(call $log (i32.const 1) (i32.const 65000) (i32.const 100000)) unreachable",
            "",
        ),
        renders(
            "logs at a level that there is not",
            Stopped(&["the policy trapped: unexpected discriminant: 77"]),
            "(call $log (i32.const 77) (i32.const 64) (i32.const 4)) unreachable",
            "",
        ),
        row(
            "gives the host room beyond its memory",
            Stopped(&["the policy trapped: realloc return: beyond end of memory"]),
            || replaced("(local.get $at))", "(i32.const -65536))"),
        ),
    ]
}

fn is_dear() -> Vec<Hostile> {
    vec![
        row("has two thousand nested loops", Refused(&[COMPILER_MEMORY, COMPILER_TIME]), || {
            Guest { items: &compile_bomb(2_000, 1_000), ..Guest::default() }.component()
        }),
        row(
            "has a hundred and ten thousand functions",
            Refused(&[COMPILER_MEMORY, COMPILER_TIME]),
            || {
                let items: String = (0..110_000).map(|_| "(func)").collect();
                Guest { items: &items, ..Guest::default() }.component()
            },
        ),
        row(
            "has fifty thousand and one locals",
            Refused(&["the component does not compile: "]),
            || {
                let items = format!("(func (local {}))", "i32 ".repeat(50_001));
                unchecked(&items)
            },
        ),
        row("nests components twenty thousand deep", Refused(&[COMPILER_MEMORY]), || {
            nested(Guest::default().component(), 20_000)
        }),
        row(
            "has a type of twice the size of the one before it, forty times",
            Refused(&["the component does not compile: "]),
            || types_of_twice_the_size(Guest::default().component(), 40),
        ),
        row("is nine MiB of data", Refused(&[TOO_BIG]), || {
            let mut component = Guest::default().component();
            component.resize(9 * 1024 * 1024, 0);
            component
        }),
        row("is a gzip bomb", Refused(&[TOO_BIG]), || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![0; BOMB_BYTES]).expect("write to memory");
            encoder.finish().expect("write to memory")
        }),
        row("is a zstd bomb", Refused(&[TOO_BIG]), || {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(&vec![0; BOMB_BYTES][..], level)
        }),
        row(
            "is zstd that asks to look back for a terabyte",
            Refused(&["does not unpack as zstd: "]),
            || {
                // A frame's magic, no content size, the largest window that a byte can name, and an empty last block.
                vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00]
            },
        ),
    ]
}

fn never_starts() -> Vec<Hostile> {
    vec![
        row(
            "spins when it is started",
            Refused(&[
                "the component cannot be started: the policy used up its 1000000000 units of fuel: it loops, or does too much in one call",
            ]),
            || Guest { start: &busy_loop(), ..Guest::default() }.component(),
        ),
        row(
            "breaks off when it is started",
            Refused(&[
                "the component cannot be started: the policy trapped: wasm trap: wasm `unreachable` instruction executed",
            ]),
            || Guest { start: "unreachable", ..Guest::default() }.component(),
        ),
        row(
            "has data beyond its memory",
            Refused(&[
                "the component cannot be started: the policy trapped: wasm trap: out of bounds memory access",
            ]),
            || {
                Guest { items: r#"(data (i32.const 1000000) "far")"#, ..Guest::default() }
                    .component()
            },
        ),
        row(
            "takes all memory when it is started",
            Refused(&[
                "the component cannot be started: the policy asked for more than 64 MiB of memory or 100000 table elements",
            ]),
            || {
                let start = "(loop (drop (memory.grow (i32.const 16))) (br 0))";
                Guest { start, ..Guest::default() }.component()
            },
        ),
    ]
}

fn asks_for_more() -> Vec<Hostile> {
    let imports = |package: &'static str, import: &'static str| {
        move || {
            let wit = contract(|wit| {
                let both = format!("  import log;\n  import {package}/{import}@0.2.0;");
                let wit = wit.replace("  import log;", &both);
                format!(
                    "{wit}\npackage {package}@0.2.0 {{ interface {import} {{ get: func(); }} }}"
                )
            });
            let core = format!("(import \"{package}/{import}@0.2.0\" \"get\" (func $get))");
            let items = "(func (export \"use\") (call $get))";
            Guest { imports: &core, items, ..Guest::default() }.component_of(&wit)
        }
    };
    vec![
        row(
            "reads its environment",
            Refused(&[
                "the component imports `wasi:cli/environment@0.2.0`, and a policy may import only `tidegate:policy/log@1`: ",
            ]),
            imports("wasi:cli", "environment"),
        ),
        row(
            "reads a clock",
            Refused(&[
                "the component imports `wasi:clocks/wall-clock@0.2.0`, and a policy may import only `tidegate:policy/log@1`: ",
            ]),
            imports("wasi:clocks", "wall-clock"),
        ),
        row(
            "asks for random numbers",
            Refused(&[
                "the component imports `wasi:random/random@0.2.0`, and a policy may import only `tidegate:policy/log@1`: ",
            ]),
            imports("wasi:random", "random"),
        ),
        row(
            "opens files",
            Refused(&[
                "the component imports `wasi:filesystem/types@0.2.0`, and a policy may import only `tidegate:policy/log@1`: ",
            ]),
            imports("wasi:filesystem", "types"),
        ),
        row(
            "opens sockets",
            Refused(&[
                "the component imports `wasi:sockets/tcp@0.2.0`, and a policy may import only `tidegate:policy/log@1`: ",
            ]),
            imports("wasi:sockets", "tcp"),
        ),
    ]
}

fn is_none() -> Vec<Hostile> {
    vec![
        row("is text", Refused(&["not WebAssembly but WebAssembly in its text format: "]), || {
            b"(component)".to_vec()
        }),
        row(
            "is base64",
            Refused(&[
                "not WebAssembly but WebAssembly in base64, which binaryData adds by itself: ",
            ]),
            || b"AGFzbQ0AAQA=".to_vec(),
        ),
        row("is a program", Refused(&["not WebAssembly but unknown bytes: "]), || {
            b"\x7fELF\x02\xff\xfe".to_vec()
        }),
        row("is nothing", Refused(&["not WebAssembly but empty: "]), Vec::new),
        row("is a core module", Refused(&["a core WebAssembly module, not a component: "]), || {
            wat::parse_str("(module)").expect("it parses")
        }),
        row("is cut short", Refused(&["a broken component: "]), || {
            let component = Guest::default().component();
            component[..component.len() / 2].to_vec()
        }),
        row("has code that is none", Refused(&["the component does not compile: "]), || {
            let mut component = Guest::default().component();
            let body =
                component.windows(2).rposition(|pair| pair == [0x41, 0x02]).expect("a constant");
            component[body] = 0xff;
            component
        }),
        row(
            "speaks a later contract",
            Refused(&["the component speaks `tidegate:policy/"]),
            || {
                let wit =
                    contract(|wit| wit.replace("tidegate:policy@1.1.0", "tidegate:policy@2.0.0"));
                Guest::default().component_of_version(&wit, "2.0.0")
            },
        ),
        row(
            "renders and does not judge",
            Refused(&["the component does not export `tidegate:policy/judge`: "]),
            || {
                let wit =
                    contract(|wit| format!("{wit}\nworld half {{ import log; export renderer; }}"));
                let core = r#"(module
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32) unreachable))"#;
                encode(core, &wit, "half")
            },
        ),
        row(
            "has a record of another shape",
            Refused(&["the component's functions are not those of the contract: "]),
            || {
                let wit = contract(|wit| {
                    wit.replacen("record situation {", "record situation {\n    mood: string,", 1)
                });
                Guest::default().component_of(&wit)
            },
        ),
    ]
}

/// The honest policy with a part of its core module replaced.
fn replaced(part: &str, with: &str) -> Vec<u8> {
    Guest::default().component_with(|core| {
        assert!(core.contains(part), "the core module has no {part:?}");
        core.replacen(part, with, 1)
    })
}

/// The honest policy with items that no validation has seen.
fn unchecked(items: &str) -> Vec<u8> {
    Guest { items, ..Guest::default() }.component_unchecked()
}
