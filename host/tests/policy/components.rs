//! Components made by hand: what a policy's author may get wrong, and what somebody may do on purpose.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, as a guest sees it.
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/policy.wit");

/// Answers `keep` with the text at 64.
const KEEP: &str = "
    (i32.store8 (i32.const 0) (i32.const 2))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (global.get $reason_bytes))
    (i32.const 0)";

/// Answers `complete` with the text at 64.
const COMPLETE: &str = "
    (i32.store8 (i32.const 0) (i32.const 2))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (global.get $reason_bytes))
    (i32.const 0)";

/// The parts of a policy that a test replaces; the rest is the same honest one that keeps everything.
pub(crate) struct Guest<'a> {
    /// The body of `render`; answers `keep` unless a test says otherwise.
    pub(crate) render: &'a str,
    /// The body of `judge`; answers `complete` unless a test says otherwise.
    pub(crate) judge: &'a str,
    /// Further imports of the core module.
    pub(crate) imports: &'a str,
    /// Further items of the core module.
    pub(crate) items: &'a str,
    /// What runs when the policy is started.
    pub(crate) start: &'a str,
    /// The reason of the answers.
    pub(crate) reason: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            render: KEEP,
            judge: COMPLETE,
            imports: "",
            items: "",
            start: "",
            reason: "nothing to move",
        }
    }
}

impl Guest<'_> {
    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        self.component_of(&contract(|wit| wit))
    }

    /// The component, of another world of the contract.
    pub(crate) fn component_of_world(&self, world: &str) -> Vec<u8> {
        encode(&self.core(), &contract(|wit| wit), world)
    }

    /// The component, with its core module's text changed.
    pub(crate) fn component_with(&self, change: impl FnOnce(String) -> String) -> Vec<u8> {
        encode(&change(self.core()), &contract(|wit| wit), "policy")
    }

    /// The component, whether its core module is in order or not.
    pub(crate) fn component_unchecked(&self) -> Vec<u8> {
        let checks = Checks::None;
        encode_with(&self.core(), &contract(|wit| wit), "policy", checks)
    }

    /// The component against another text of the contract.
    pub(crate) fn component_of(&self, wit: &str) -> Vec<u8> {
        encode(&self.core(), wit, "policy")
    }

    /// The component against a text of the contract of another version.
    pub(crate) fn component_of_version(&self, wit: &str, version: &str) -> Vec<u8> {
        encode(&self.core().replace("@1.1.0", &format!("@{version}")), wit, "policy")
    }

    fn core(&self) -> String {
        let Self { render, judge, imports, items, start, reason } = self;
        format!(
            r#"(module
              (import "tidegate:policy/log@1.1.0" "log" (func $log (param i32 i32 i32)))
              {imports}
              (memory (export "memory") 1)
              (global $next (mut i32) (i32.const 4096))
              (global $reason_bytes i32 (i32.const {}))
              (data (i32.const 64) "{reason}")
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at
                  (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (block $fits
                  (loop $grow
                    (br_if $fits (i32.le_u (global.get $next)
                      (i32.mul (memory.size) (i32.const 65536))))
                    (drop (memory.grow (i32.const 1)))
                    (br $grow)))
                (local.get $at))
              {items}
              (func $start {start})
              (start $start)
              (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32)
                {render})
              (func (export "tidegate:policy/judge@1.1.0#judge") (param i32) (result i32)
                {judge}))"#,
            reason.len()
        )
    }
}

/// The text of the contract, changed.
pub(crate) fn contract(change: impl FnOnce(String) -> String) -> String {
    let wit = std::fs::read_to_string(CONTRACT).expect("the contract is in wit/");
    let changed = change(wit);
    assert!(changed.contains("package tidegate:policy"));
    changed
}

/// Encodes a core module in text as a component of a world of the contract.
pub(crate) fn encode(core: &str, wit: &str, world: &str) -> Vec<u8> {
    encode_with(core, wit, world, Checks::All)
}

/// What is checked of a component when it is encoded.
enum Checks {
    All,
    None,
}

fn encode_with(core: &str, wit: &str, world: &str, checks: Checks) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", wit).expect("the contract parses");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    let mut module = wat::parse_str(core).expect("the core module parses");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("the metadata embeds");
    ComponentEncoder::default()
        .module(&module)
        .expect("the module fits the world")
        .validate(matches!(checks, Checks::All))
        .encode()
        .expect("the component encodes")
}

/// Nested loops that all touch many locals: small to write, and the compiler takes gigabytes.
pub(crate) fn compile_bomb(loops: usize, locals: usize) -> String {
    let mut body = format!("(func (export \"bomb\") (local {})\n", "i32 ".repeat(locals));
    for depth in 0..loops {
        let (to, from) = (depth % locals, (depth * 7 + 1) % locals);
        body.push_str(&format!(
            "(loop (local.set {to} (i32.add (local.get {from}) (local.get {to})))\n"
        ));
    }
    for depth in 0..loops {
        body.push_str(&format!("(br_if 0 (local.get {})))\n", depth % locals));
    }
    body.push(')');
    body
}
