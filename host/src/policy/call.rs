//! Calls a policy: each time a fresh instance, under fuel, wall time and memory limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store, Trap, WasmBacktrace};

use super::bindings::wit::{DrainPod, Rendering, Situation, Verdict};
use super::bindings::{Policy, PolicyPre, log_import};
use super::engine::{Role, Ticker, engine};
use super::fault::{Fault, LoadError};
use super::limits::{CROSSING_MAX_BYTES, DEADLINE_TICKS, FUEL_PER_CALL, Limiter};
use super::log::{Escaped, Log, LogLevel};
use super::output;
use super::source::Digest;

/// Bytes of what wasmtime says of a trap; it goes into an event.
const REASON_MAX_BYTES: usize = 512;

/// Bytes of a trap's backtrace; it goes into the log.
const BACKTRACE_MAX_BYTES: usize = 4 * 1024;

/// How many calls run at once on a machine with many processors. Each may take the memory of one call, and all of them together must fit
/// into the container's limit beside the host itself.
const CALLS_MAX: usize = 4;

/// What came of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Called<T> {
    /// The answer within its limits, or why there is none.
    pub answer: Result<T, Fault>,
    /// What the policy said meanwhile.
    pub log: Log,
}

/// A policy ready to be called. Clones are the same policy.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    digest: Digest,
    artifact_bytes: usize,
    runtime: Arc<Runtime>,
    policy: PolicyPre<CallState>,
}

impl Module {
    /// The sha256 of the unpacked component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Asks the policy for a drain pod. Waits for one of as many places as the machine has processors.
    pub async fn render(&self, at: Situation) -> Called<Rendering> {
        let called = self
            .call(move |policy, store| policy.tidegate_policy_renderer().call_render(store, &at))
            .await;
        Called { answer: called.answer.and_then(output::rendering), log: called.log }
    }

    /// Asks the policy about a drain pod. Waits for one of as many places as the machine has processors.
    pub async fn judge(&self, at: Situation, pod: DrainPod) -> Called<Verdict> {
        let called = self
            .call(move |policy, store| policy.tidegate_policy_judge().call_judge(store, &at, &pod))
            .await;
        Called { answer: called.answer.and_then(output::verdict), log: called.log }
    }

    /// Bytes of machine code that the module holds.
    pub(super) fn artifact_bytes(&self) -> usize {
        self.inner.artifact_bytes
    }

    /// Starts the policy and calls nothing: tells whether it can be started at all.
    pub(super) async fn try_start(&self) -> Result<(), Fault> {
        self.call(|_policy, _store| Ok(())).await.answer
    }

    /// The call goes on to its end, which its limits bring soon, and holds its place until then. It needs a runtime of several threads; on one
    /// of a single thread every call is a [`Fault::Host`].
    async fn call<T, F>(&self, call: F) -> Called<T>
    where
        T: Send + 'static,
        F: FnOnce(&Policy, &mut Store<CallState>) -> wasmtime::Result<T> + Send + 'static,
    {
        let host = |error: &dyn std::fmt::Display| Called {
            answer: Err(Fault::Host(error.to_string())),
            log: Log::default(),
        };
        let place = match Arc::clone(&self.inner.runtime.places).acquire_owned().await {
            Ok(place) => place,
            Err(closed) => return host(&closed),
        };
        let inner = Arc::clone(&self.inner);
        let run = move || {
            let _place = place;
            call_blocking(&inner, call)
        };
        // This very thread goes on with the call, and the runtime puts another in its place: no wait for a thread that has to be woken lies
        // between a reading of the cluster and the write that is decided on it, and however long calls take, as many threads as before serve
        // everything else.
        catch_unwind(AssertUnwindSafe(|| tokio::task::block_in_place(run)))
            .unwrap_or_else(|_| host(&"the engine panicked"))
    }
}

/// The engine, its clock and its places, shared by all modules.
pub(super) struct Runtime {
    engine: Engine,
    linker: Linker<CallState>,
    ticker: Ticker,
    places: Arc<Semaphore>,
}

impl Runtime {
    /// # Errors
    /// Where wasmtime does not support this machine or the system gives no thread.
    pub(super) fn start() -> wasmtime::Result<Self> {
        let engine = engine(Role::Run)?;
        let mut linker = Linker::new(&engine);
        log_import::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
        let ticker = Ticker::start(&engine)?;
        // A call is nothing but computing: more at once than processors only makes each of them slower by the clock.
        let processors = thread::available_parallelism()?.get().min(CALLS_MAX);
        Ok(Self { engine, linker, ticker, places: Arc::new(Semaphore::new(processors)) })
    }

    /// Turns an artifact of our own compiler into a module.
    ///
    /// # Errors
    /// [`LoadError::Contract`] where imports or exports have other shapes than the contract's.
    pub(super) fn load(
        self: &Arc<Self>,
        digest: Digest,
        artifact: &OwnArtifact,
    ) -> Result<Module, LoadError> {
        let component = artifact
            .deserialize(&self.engine)
            .map_err(|error| LoadError::Host(describe(&error)))?;
        let contract = |error: wasmtime::Error| LoadError::Contract(describe(&error));
        let instance = self.linker.instantiate_pre(&component).map_err(contract)?;
        let policy = PolicyPre::new(instance).map_err(contract)?;
        let runtime = Arc::clone(self);
        let artifact_bytes = artifact.0.len();
        Ok(Module { inner: Arc::new(Inner { digest, artifact_bytes, runtime, policy }) })
    }
}

/// Machine code that came out of our own compiler's child, through its pipe. Nothing else may become one.
pub(super) struct OwnArtifact(pub(super) Vec<u8>);

impl OwnArtifact {
    #[expect(unsafe_code, reason = "the only way to load what was compiled elsewhere")]
    fn deserialize(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: wasmtime runs these bytes as machine code, so they must be what its compiler wrote. They were read from the
        // pipe of a child that this process started from its own executable, and have been nowhere else: no file, no
        // ConfigMap, no shared memory. Only `Policies::load` makes an `OwnArtifact`.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// What belongs to one call and ends with it.
struct CallState {
    limiter: Limiter,
    log: Log,
}

impl log_import::Host for CallState {
    fn log(&mut self, level: log_import::Level, message: String) {
        self.log.push(LogLevel::from(level), &message);
    }
}

fn call_blocking<T>(
    inner: &Inner,
    call: impl FnOnce(&Policy, &mut Store<CallState>) -> wasmtime::Result<T>,
) -> Called<T> {
    let runtime = &inner.runtime;
    let state = CallState { limiter: Limiter::default(), log: Log::default() };
    let mut store = Store::new(&runtime.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(CROSSING_MAX_BYTES);
    let _ticking = runtime.ticker.run();
    // Both are set before the instance is made, because making it already runs code of the policy.
    store.set_epoch_deadline(DEADLINE_TICKS);
    let answer = store
        .set_fuel(FUEL_PER_CALL)
        .map_err(|error| Fault::Host(describe(&error)))
        .and_then(|()| {
            let policy = inner
                .policy
                .instantiate(&mut store)
                .map_err(|error| fault(&error, store.data(), Stage::Start))?;
            call(&policy, &mut store).map_err(|error| fault(&error, store.data(), Stage::Call))
        });
    Called { answer, log: store.into_data().log }
}

#[derive(Clone, Copy)]
enum Stage {
    Start,
    Call,
}

fn fault(error: &wasmtime::Error, state: &CallState, stage: Stage) -> Fault {
    // Where memory is refused the guest may die of anything, so the limiter is asked first.
    if state.limiter.refused() {
        return Fault::Memory;
    }
    match (error.downcast_ref::<Trap>(), stage) {
        (Some(Trap::OutOfFuel), _) => Fault::OutOfFuel,
        (Some(Trap::Interrupt), _) => Fault::Timeout,
        (None, Stage::Start) => Fault::Instantiate(describe(error)),
        (None, Stage::Call) if is_too_much_data(error) => Fault::TooMuchData,
        (Some(_), _) | (None, Stage::Call) => Fault::Trap {
            reason: Escaped::of(&error.root_cause().to_string(), REASON_MAX_BYTES).text,
            last_words: state.log.last_error().map(ToOwned::to_owned),
            backtrace: backtrace(error),
        },
    }
}

/// Wasmtime keeps the type of this error to itself; its text is held by a test.
fn is_too_much_data(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

fn backtrace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let lines: Vec<String> = backtrace
        .to_string()
        .lines()
        .map(|line| Escaped::of(line, BACKTRACE_MAX_BYTES).text)
        .collect();
    let mut text = lines.join("\n");
    text.truncate(text.floor_char_boundary(BACKTRACE_MAX_BYTES));
    text
}

fn describe(error: &wasmtime::Error) -> String {
    Escaped::of(&format!("{error:#}"), REASON_MAX_BYTES).text
}
