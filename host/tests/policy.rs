//! Policies against the limits of the host: every hostile one ends in a fault or a refusal that says what to mend.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected")]

#[path = "policy/cases.rs"]
mod cases;
#[allow(dead_code, reason = "other tests need all of it, these here a part")]
#[path = "policy/components.rs"]
mod components;
#[path = "policy/javascript.rs"]
mod javascript;
#[path = "policy/released.rs"]
mod released;
#[path = "policy/situations.rs"]
mod situations;

use std::io::Write;
use std::path::{Path, PathBuf};

use components::{Guest, compile_bomb, contract, encode};
use flate2::Compression;
use flate2::write::GzEncoder;
use situations::{drain_pod, situation};
use tidegate::policy::compile::Limit;
use tidegate::policy::limits::MEMORY_MAX_BYTES;
use tidegate::policy::log::{LOG_MAX_BYTES, LOG_MAX_MESSAGES};
use tidegate::policy::output::REASON_MAX_BYTES;
use tidegate::policy::unpack::COMPONENT_MAX_BYTES;
use tidegate::policy::wit::{Rendering, Verdict};
use tidegate::policy::{Called, Compiler, Digest, Fault, LoadError, LogLevel, Module, Policies};

fn policies() -> Policies {
    Policies::start(Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate"))))
        .expect("the engine starts")
}

async fn load(bytes: Vec<u8>) -> Result<Module, LoadError> {
    policies().load(None, bytes).await
}

async fn refusal(bytes: Vec<u8>) -> LoadError {
    match load(bytes).await {
        Ok(_) => panic!("a component that must be refused was loaded"),
        Err(error) => error,
    }
}

async fn render(guest: &Guest<'_>) -> Called<Rendering> {
    let module = load(guest.component()).await.expect("the component loads");
    module.render(situation()).await
}

async fn render_fault(render_body: &str, items: &str) -> Fault {
    let guest = Guest { render: render_body, items, ..Guest::default() };
    render(&guest).await.answer.expect_err("the call breaks a limit")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("write to memory");
    encoder.finish().expect("write to memory")
}

/// Loops without end on instructions that cost fuel and no time, so that the fuel ends it on the slowest machine.
fn busy_loop() -> String {
    format!("(loop {} (br 0))", "(drop (i32.const 1))".repeat(1000))
}

/// Writes an executable file from another process: a file that this one has open for writing, as a child that another
/// test starts meanwhile may have too, cannot be run.
fn write_executable(path: &Path, script: &str) {
    let written = std::process::Command::new("/bin/sh")
        .args(["-c", r#"printf %s "$1" > "$2" && chmod 755 "$2""#, "sh", script])
        .arg(path)
        .status()
        .expect("a shell is there");
    assert!(written.success());
}

/// Resident bytes of this process.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_policy_answers_the_same_every_time() {
    let policies = policies();
    let component = Guest::default().component();
    let digest = Digest::of(&component);
    let module = policies.load(Some(&digest), component).await.expect("it loads");
    assert_eq!(module.digest(), digest);
    for _ in 0..200 {
        let rendered = module.render(situation()).await;
        assert_eq!(rendered.answer, Ok(Rendering::Keep("nothing to move".to_owned())));
        let judged = module.judge(situation(), drain_pod()).await;
        assert_eq!(judged.answer, Ok(Verdict::Complete("nothing to move".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_a_fresh_instance() {
    let module = load(Guest::default().component()).await.expect("it loads");
    let trapping = Guest { render: "unreachable", ..Guest::default() };
    let trapping = load(trapping.component()).await.expect("it loads");
    for _ in 0..3 {
        assert!(matches!(trapping.render(situation()).await.answer, Err(Fault::Trap { .. })));
        assert!(trapping.judge(situation(), drain_pod()).await.answer.is_ok());
        assert!(module.render(situation()).await.answer.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_components_are_the_same_policy() {
    let policies = policies();
    let component = Guest::default().component();
    let digest = Digest::of(&component);
    let zstd = ruzstd::encoding::compress_to_vec(
        &component[..],
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    for packed in [gzip(&component), zstd, component] {
        let module = policies.load(Some(&digest), packed).await.expect("it loads");
        assert_eq!(module.digest(), digest);
    }
    assert!(policies.get(&digest).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_than_the_pinned_one_is_refused() {
    let component = Guest::default().component();
    let expected = Digest::of(b"another");
    let found = Digest::of(&component);
    let refused = policies().load(Some(&expected), component).await.err();
    assert_eq!(refused, Some(LoadError::DigestMismatch { expected, found }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_runs_out_of_fuel() {
    assert_eq!(render_fault(&format!("{} unreachable", busy_loop()), "").await, Fault::OutOfFuel);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_time_and_no_fuel_runs_into_the_deadline() {
    // A message of 3 MiB costs the fuel of one call, and the host copies all of it. Without a deadline it would end too, seconds later and otherwise.
    let body = "
        (drop (memory.grow (i32.const 60)))
        (loop
          (call $log (i32.const 0) (i32.const 65536) (i32.const 3145728))
          (global.set $left (i32.sub (global.get $left) (i32.const 1)))
          (br_if 0 (global.get $left)))
        unreachable";
    let left = "(global $left (mut i32) (i32.const 30000))";
    assert_eq!(render_fault(body, left).await, Fault::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_allocates_forever_is_stopped() {
    let before = resident_bytes();
    let body = "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable";
    assert_eq!(render_fault(body, "").await, Fault::Memory);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 4 * MEMORY_MAX_BYTES, "{grown} bytes more are resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_memories_and_tables_count_together() {
    let memories = "(memory $two 600) (memory $three 600)";
    let guest = Guest { items: memories, ..Guest::default() };
    assert_eq!(refusal(guest.component()).await, LoadError::Start(Fault::Memory));
    let tables = "(table 60000 funcref) (table 60000 funcref)";
    let guest = Guest { items: tables, ..Guest::default() };
    assert_eq!(refusal(guest.component()).await, LoadError::Start(Fault::Memory));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_recursion_is_a_trap() {
    let recursion = "(func $deep (param i64) (result i64)
        (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (local.get 0)))";
    let fault = render_fault("(drop (call $deep (i64.const 0))) unreachable", recursion).await;
    let Fault::Trap { reason, backtrace, .. } = fault else { panic!("expected a trap: {fault}") };
    assert!(reason.contains("call stack exhausted"), "{reason}");
    assert!(backtrace.lines().count() < 100, "{backtrace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_says_its_last_words() {
    let items = r#"(data (i32.const 512) "panicked at: no receiver\1b[2J")"#;
    let body = "(call $log (i32.const 3) (i32.const 512) (i32.const 28)) unreachable";
    let guest = Guest { render: body, items, ..Guest::default() };
    let called = render(&guest).await;
    let fault = called.answer.expect_err("it traps");
    let Fault::Trap { reason, last_words, .. } = &fault else { panic!("expected a trap: {fault}") };
    assert!(reason.contains("unreachable"), "{reason}");
    assert_eq!(last_words.as_deref(), Some("panicked at: no receiver\\u{1b}[2J"));
    assert!(fault.to_string().contains("no receiver"), "{fault}");
    assert_eq!(called.log.lines[0].level, LogLevel::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_thirty_mebibytes_is_refused() {
    let body = "
        (drop (memory.grow (i32.const 600)))
        (i32.store8 (i32.const 0) (i32.const 2))
        (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (i32.const 31457280))
        (i32.const 0)";
    assert_eq!(render_fault(body, "").await, Fault::TooMuchData);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_above_the_limit_is_named() {
    let body = "
        (drop (memory.grow (i32.const 8)))
        (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store (i32.const 8) (i32.const 131072))
        (i32.store (i32.const 12) (i32.const 262145))
        (i32.const 0)";
    let fault = render_fault(body, "").await;
    assert!(
        matches!(fault, Fault::Output { field: "pod.template", found: 262_145, .. }),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_no_known_case_is_a_fault() {
    let body = "(i32.store8 (i32.const 0) (i32.const 9)) (i32.const 0)";
    assert!(matches!(render_fault(body, "").await, Fault::Trap { .. }));
    let out_of_bounds = "(i32.const 2147483640)";
    assert!(matches!(render_fault(out_of_bounds, "").await, Fault::Trap { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_cut_and_escaped() {
    let long = "x".repeat(2 * REASON_MAX_BYTES);
    let guest = Guest { reason: &long, ..Guest::default() };
    let Ok(Rendering::Keep(reason)) = render(&guest).await.answer else { panic!("expected keep") };
    assert_eq!(reason.len(), REASON_MAX_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_log_lines_are_counted_and_dropped() {
    let items = r#"(data (i32.const 512) "again")"#;
    let body = "
        (local $left i32)
        (local.set $left (i32.const 1000000))
        (loop
          (call $log (i32.const 1) (i32.const 512) (i32.const 5))
          (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (i32.store8 (i32.const 0) (i32.const 2))
        (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (i32.const 7))
        (i32.const 0)";
    let guest = Guest { render: body, items, ..Guest::default() };
    let called = render(&guest).await;
    // On a machine where a million crossings take longer than the deadline they end there.
    assert!(matches!(called.answer, Ok(_) | Err(Fault::Timeout)), "{:?}", called.answer);
    assert_eq!(called.log.lines.len(), LOG_MAX_MESSAGES);
    assert!(called.log.dropped > 0);
    let bytes: usize = called.log.lines.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= LOG_MAX_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_never_starts_is_refused() {
    let busy = busy_loop();
    let guest = Guest { start: &busy, ..Guest::default() };
    assert_eq!(refusal(guest.component()).await, LoadError::Start(Fault::OutOfFuel));
    let guest = Guest { start: "unreachable", ..Guest::default() };
    let error = refusal(guest.component()).await;
    assert!(matches!(error, LoadError::Start(Fault::Trap { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_beyond_the_log_is_named() {
    for (package, import) in
        [("wasi:cli", "environment"), ("wasi:clocks", "wall-clock"), ("tidegate:secrets", "reader")]
    {
        let wit = contract(|wit| {
            let wit = wit.replace(
                "  import log;",
                &format!("  import log;\n  import {package}/{import}@0.2.0;"),
            );
            format!("{wit}\npackage {package}@0.2.0 {{ interface {import} {{ get: func(); }} }}")
        });
        let items = "(func (export \"use\") (call $get))";
        let imports = format!("(import \"{package}/{import}@0.2.0\" \"get\" (func $get))");
        let guest = Guest { imports: &imports, items, ..Guest::default() };
        let error = refusal(guest.component_of(&wit)).await;
        let name = format!("{package}/{import}@0.2.0");
        assert_eq!(error, LoadError::Import { name: name.clone() });
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_minor_version_is_understood_and_a_later_major_is_not() {
    let version = |wit: String, version: &str| wit.replace("tidegate:policy@1.1.0", version);
    let minor = contract(|wit| version(wit, "tidegate:policy@1.4.0"));
    let minor = Guest::default().component_of_version(&minor, "1.4.0");
    let module = load(minor).await.expect("it loads");
    assert!(module.render(situation()).await.answer.is_ok());
    let major = contract(|wit| version(wit, "tidegate:policy@2.0.0"));
    let major = Guest::default().component_of_version(&major, "2.0.0");
    let error = refusal(major).await;
    assert!(
        matches!(&error, LoadError::UnknownVersion { name } if name.ends_with("@2.0.0")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_export_is_named() {
    let wit = contract(|wit| format!("{wit}\nworld half {{ import log; export renderer; }}"));
    let core = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32) unreachable))"#;
    let error = refusal(encode(core, &wit, "half")).await;
    assert_eq!(error, LoadError::MissingExport { name: "tidegate:policy/judge".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_shape_is_refused() {
    let added = contract(|wit| {
        let changed =
            wit.replacen("record situation {", "record situation {\n    mood: string,", 1);
        assert_ne!(changed, wit);
        changed
    });
    let error = refusal(Guest::default().component_of(&added)).await;
    assert!(matches!(error, LoadError::Contract(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_told() {
    let core = wat::parse_str("(module)").expect("it parses");
    assert_eq!(refusal(core).await, LoadError::CoreModule);
    for (bytes, looks) in [
        (&b"(component)"[..], "WebAssembly in its text format"),
        (b"", "empty"),
        (b"apiVersion: v1", "text"),
        (b"AGFzbQ0AAQA=", "WebAssembly in base64, which binaryData adds by itself"),
        (b"\x7fELF\x02\xff\xfe", "unknown bytes"),
    ] {
        assert_eq!(refusal(bytes.to_vec()).await, LoadError::NotWebAssembly { looks });
    }
    let component = Guest::default().component();
    for cut in [4, 8, 9, component.len() / 2, component.len() - 1] {
        let error = refusal(component[..cut].to_vec()).await;
        assert!(
            matches!(error, LoadError::Malformed(_) | LoadError::MissingExport { .. }),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_code_is_refused_by_the_compiler() {
    let mut component = Guest::default().component();
    let body = component.windows(2).rposition(|pair| pair == [0x41, 0x02]).expect("a constant");
    component[body] = 0xff;
    let error = refusal(component).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_stops_at_the_cap() {
    let before = resident_bytes();
    let bomb = gzip(&vec![0; 64 * COMPONENT_MAX_BYTES]);
    assert!(bomb.len() < 1024 * 1024);
    assert_eq!(refusal(bomb).await, LoadError::TooBig { limit: COMPONENT_MAX_BYTES });
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 * COMPONENT_MAX_BYTES, "{grown} bytes more are resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compile_bomb_dies_in_the_child_once() {
    let policies = policies();
    let bomb = compile_bomb(2000, 1000);
    let component = Guest { items: &bomb, ..Guest::default() }.component();
    assert!(component.len() < 64 * 1024);
    let before = resident_bytes();
    for _ in 0..3 {
        let error = policies.load(None, component.clone()).await.err();
        assert!(
            matches!(error, Some(LoadError::CompileLimits(Limit::Memory | Limit::CpuTime))),
            "{error:?}"
        );
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 * COMPONENT_MAX_BYTES, "{grown} bytes more are resident");
    let honest = policies.load(None, Guest::default().component()).await;
    assert!(honest.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_remembered_and_a_failure_of_the_host_is_not() {
    let component = Guest { start: "unreachable", ..Guest::default() }.component();
    let missing = Policies::start(Compiler::new(PathBuf::from("/nonexistent/tidegate")))
        .expect("the engine starts");
    for _ in 0..2 {
        let error = missing.load(None, component.clone()).await.err().expect("it is refused");
        assert!(error.is_host() && error.to_string().contains("/nonexistent/tidegate"), "{error}");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-compile-once");
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let counted = folder.join("compiler");
    let marks = folder.join("marks");
    let _absent = std::fs::remove_file(&marks);
    let script = format!(
        "#!/bin/sh\necho one >> {}\nexec {} \"$@\"\n",
        marks.display(),
        env!("CARGO_BIN_EXE_tidegate")
    );
    write_executable(&counted, &script);
    let policies = Policies::start(Compiler::new(counted)).expect("the engine starts");
    for _ in 0..3 {
        let error = policies.load(None, component.clone()).await.err();
        assert!(matches!(error, Some(LoadError::Start(_))), "{error:?}");
    }
    let compiled = std::fs::read_to_string(&marks).expect("the script ran");
    assert_eq!(compiled, "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_has_its_limits_no_environment_and_no_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-child");
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let seen = folder.join("seen");
    let spy = folder.join("spy");
    let script =
        format!("#!/bin/sh\n(env; ls -l /proc/self/fd) > {} 2>&1\nexit 9\n", seen.display());
    write_executable(&spy, &script);
    let _open = std::fs::File::open("/etc/hostname");
    let policies = Policies::start(Compiler::new(spy)).expect("the engine starts");
    let error = policies.load(None, Guest::default().component()).await.err().expect("it ends");
    assert!(error.is_host(), "{error}");
    let seen = std::fs::read_to_string(&seen).expect("the script ran");
    assert!(!seen.contains("CARGO") && !seen.contains("HOME="), "{seen}");
    assert!(!seen.contains("/etc/hostname") && !seen.contains("socket:"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_that_take_long_leave_the_threads_to_others() {
    let spin = Guest { render: "(loop (br 0)) unreachable", ..Guest::default() };
    let policies = policies();
    let spin = policies.load(None, spin.component()).await.expect("it loads");
    let honest = policies.load(None, Guest::default().component()).await.expect("it loads");
    let spins: Vec<_> = (0..8)
        .map(|_| {
            let spin = spin.clone();
            tokio::spawn(async move { spin.render(situation()).await.answer })
        })
        .collect();
    // It is behind all of them in the line for the one thread, and would come last if any of them kept it.
    let other = tokio::spawn(async { 7 });
    assert_eq!(other.await.expect("it ends"), 7);
    assert!(spins.iter().any(|spin| !spin.is_finished()));
    for spin in spins {
        // On a busy machine the clock is quicker than the fuel.
        let ended = spin.await.expect("it ends");
        assert!(matches!(ended, Err(Fault::OutOfFuel | Fault::Timeout)), "{ended:?}");
    }
    assert!(honest.render(situation()).await.answer.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_the_library_answer() {
    let library = xtask::policies::build_all().expect("the library builds");
    let policies = policies();
    for built in library {
        let bytes = std::fs::read(&built.component).expect("the component is there");
        let digest: Digest = built.sha256.parse().expect("a digest");
        let module = policies.load(Some(&digest), bytes).await.expect("it loads");
        let rendered = module.render(situation()).await;
        assert!(rendered.answer.is_ok(), "{}: {:?}", built.name, rendered.answer);
        let judged = module.judge(situation(), drain_pod()).await;
        assert!(judged.answer.is_ok(), "{}: {:?}", built.name, judged.answer);
    }
}
