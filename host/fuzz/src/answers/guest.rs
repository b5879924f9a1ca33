//! A policy whose answer is whatever stands in its memory.

use tidegate::policy::wit::{Cause, DrainPod, Ending, Phase, Situation};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Bytes of memory that an input may fill; arguments come behind them.
const MEMORY_MAX_BYTES: usize = 32 * 1024;

/// The guest. The config, whose letters are half bytes (`a` is 0), becomes its memory from 0 on. Three words at 0 are a message for the log, which
/// is said where the first is not zero: level, place, length. The answer stands at 16. The config's place and length stand at 72 in the situation,
/// by the layout of the component model.
const CORE: &str = r#"(module
  (import "tidegate:policy/log@1.1.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 32768))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (block $fits
      (loop $grow
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.const 1)))
        (br $grow)))
    (local.get $at))
  (func $half (param $at i32) (result i32)
    (i32.and (i32.sub (i32.load8_u (local.get $at)) (i32.const 97)) (i32.const 15)))
  (func $answer (param $situation i32) (result i32)
    (local $from i32) (local $end i32) (local $to i32)
    (local.set $from (i32.load offset=72 (local.get $situation)))
    (local.set $end (i32.add (local.get $from) (i32.load offset=76 (local.get $situation))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (i32.store8 (local.get $to)
          (i32.or
            (i32.shl (call $half (local.get $from)) (i32.const 4))
            (call $half (i32.add (local.get $from) (i32.const 1)))))
        (local.set $from (i32.add (local.get $from) (i32.const 2)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $next)))
    (if (i32.load (i32.const 0)) (then
      (call $log (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.load (i32.const 8)))))
    (i32.const 16))
  (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32)
    (call $answer (local.get 0)))
  (func (export "tidegate:policy/judge@1.1.0#judge") (param i32) (result i32)
    (call $answer (local.get 0))))"#;

/// The guest as a component of the contract.
pub(super) fn component() -> Vec<u8> {
    let contract = include_str!("../../../../wit/policy.wit");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", contract).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("policy")).expect("it has the world");
    let mut module = wat::parse_str(CORE).expect("the guest parses");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("the metadata fits");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).expect("the guest fits the world");
    encoder.encode().expect("the guest is a component")
}

/// What the guest is told so that its memory becomes this.
pub(super) fn situation(memory: &[u8]) -> Situation {
    let halves = memory.iter().take(MEMORY_MAX_BYTES).flat_map(|byte| [byte >> 4, byte & 15]);
    Situation {
        now: 1_700_000_000_000,
        namespace: "shop".to_owned(),
        set_name: "web".to_owned(),
        ordinal: 2,
        cause: Cause::ScaleDown,
        set: "{}".to_owned(),
        start: 0,
        replicas: 2,
        claims: Vec::new(),
        peers: Vec::new(),
        config: halves.map(|half| char::from(b'a' + half)).collect(),
        attempt: 1,
        orphan_since: 1_700_000_000_000,
        state: String::new(),
        extra: Vec::new(),
    }
}

/// A drain pod of which nothing is known.
pub(super) fn drain_pod() -> DrainPod {
    DrainPod {
        created: 0,
        phase: Phase::Unknown,
        reason: String::new(),
        message: String::new(),
        node: None,
        conditions: Vec::new(),
        containers: Vec::new(),
        labels: Vec::new(),
        annotations: Vec::new(),
        terminating: false,
        ending: Ending::NotEnded,
        wanted: false,
        can_cancel: true,
    }
}
