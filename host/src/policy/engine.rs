//! The one configuration of wasmtime, for the child that compiles and for the host that runs, and the clock of the time limit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, Strategy};

/// Bytes of stack that a guest may use. Worker threads have 2 MiB, so the host's own frames fit beside it.
const WASM_STACK_BYTES: usize = 512 * 1024;

/// Frames kept of a trap's backtrace. Enough to find the place, and a deep recursion does not fill an event.
const BACKTRACE_FRAMES: usize = 32;

/// Milliseconds between two ticks of the epoch clock: the grain of the wall-time limit.
pub const TICK_MILLIS: u64 = 10;

/// What an engine is for. Both sides share every setting that is part of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Compiles in the child process, and never runs anything.
    Compile,
    /// Loads artifacts and runs them in the host; it has no compiler at all.
    Run,
}

/// Builds an engine for its role. An artifact of a `Compile` engine loads in a `Run` engine of the same binary.
///
/// # Errors
/// Where wasmtime does not support this machine.
pub fn engine(role: Role) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        // The same arguments must give the same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_component_model(true)
        .concurrency_support(false)
        // Fuel ends a loop at the same instruction everywhere; the epoch ends what fuel does not count.
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .allocation_strategy(InstanceAllocationStrategy::OnDemand);
    match role {
        Role::Compile => {}
        Role::Run => {
            config.enable_compiler(false);
        }
    }
    Engine::new(&config)
}

/// Ticks the epoch of an engine while a call runs, on a thread of its own, and sleeps while none does.
///
/// A tick that comes late is not made up for: a burst of ticks would end calls that have hardly begun.
pub struct Ticker {
    shared: Arc<Shared>,
}

/// Keeps the clock running until it is dropped.
pub struct Ticking {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    calls: usize,
    closed: bool,
}

impl Ticker {
    /// Starts the thread. It ends when the ticker is dropped.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { calls: 0, closed: false }),
            wake: Condvar::new(),
        });
        let weak = engine.weak();
        let clock = Arc::clone(&shared);
        thread::Builder::new()
            .name("policy-epoch".to_owned())
            .spawn(move || tick(&clock, &weak))?;
        Ok(Self { shared })
    }

    /// Runs the clock for as long as the answer lives.
    #[must_use]
    pub fn run(&self) -> Ticking {
        self.shared.lock().calls += 1;
        self.shared.wake.notify_one();
        Ticking { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.shared.lock().calls -= 1;
    }
}

impl Shared {
    /// The state is two plain fields that no panic can leave half written, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    loop {
        let state = shared.lock();
        let state = shared
            .wake
            .wait_while(state, |state| state.calls == 0 && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        // Calls that still run after the ticker is gone keep their clock.
        if state.closed && state.calls == 0 {
            return;
        }
        drop(state);
        thread::sleep(Duration::from_millis(TICK_MILLIS));
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component there is: a preamble.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn only_the_child_has_a_compiler() {
        let compile = engine(Role::Compile).expect("this machine is supported");
        assert!(compile.precompile_component(COMPONENT).is_ok());
        let run = engine(Role::Run).expect("this machine is supported");
        assert!(run.precompile_component(COMPONENT).is_err());
    }
}
