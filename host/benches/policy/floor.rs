//! The floor: wasmtime and nothing else.

use anyhow::{Context as _, Result, anyhow};
use tidegate::policy::engine::{Role, engine};
use tidegate::policy::limits::{DEADLINE_TICKS, FUEL_PER_CALL};
use tidegate::policy::wit::{DrainPod, Situation, Verdict};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::components::{contract, encode};

/// The interface and the function that are called.
const INTERFACE: &str = "tidegate:policy/judge@1.1.0";
const FUNCTION: &str = "judge";

/// A policy that needs nothing, takes its arguments in, and answers at once that all is complete.
const AT_ONCE: &str = r#"(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 4096))
  (data (i32.const 64) "done")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func $complete (result i32)
    (i32.store8 (i32.const 0) (i32.const 2))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 4))
    (i32.const 0))
  (func (export "tidegate:policy/renderer@1.1.0#render") (param i32) (result i32) (call $complete))
  (func (export "tidegate:policy/judge@1.1.0#judge") (param i32) (result i32) (call $complete)))"#;

/// A component that answers at once, ready to be instantiated.
pub(crate) struct Floor {
    engine: Engine,
    instance: InstancePre<()>,
    judge: ComponentExportIndex,
}

impl Floor {
    /// Compiles the component in this process: it is our own.
    pub(crate) fn new() -> Result<Self> {
        // The engine that may compile has every other setting of the one that runs policies.
        let engine = engine(Role::Compile).map_err(plain)?;
        let bytes = encode(AT_ONCE, &contract(|wit| wit), "policy");
        let component = Component::new(&engine, bytes).map_err(plain)?;
        let interface = component.get_export_index(None, INTERFACE).context(INTERFACE)?;
        let judge = component.get_export_index(Some(&interface), FUNCTION).context(FUNCTION)?;
        let instance = Linker::new(&engine).instantiate_pre(&component).map_err(plain)?;
        Ok(Self { engine, instance, judge })
    }

    /// One call in a fresh instance.
    pub(crate) fn call(&self, at: &Situation, pod: &DrainPod) -> Result<Verdict> {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(DEADLINE_TICKS);
        store.set_fuel(FUEL_PER_CALL).map_err(plain)?;
        let instance = self.instance.instantiate(&mut store).map_err(plain)?;
        let judge = instance
            .get_typed_func::<(&Situation, &DrainPod), (Verdict,)>(&mut store, self.judge)
            .map_err(plain)?;
        let (verdict,) = judge.call(&mut store, (at, pod)).map_err(plain)?;
        Ok(verdict)
    }
}

fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}
