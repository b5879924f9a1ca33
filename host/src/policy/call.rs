//! Calls a policy: each time a fresh instance, under fuel, wall time and memory limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker,
    Lower, TypedFunc,
};
use wasmtime::{Engine, Store, StoreContextMut, Trap, WasmBacktrace};

use super::engine::{Role, Ticker, engine};
use super::fault::{Fault, LoadError};
use super::inspect::interface;
use super::limits::{CROSSING_MAX_BYTES, DEADLINE_TICKS, FUEL_PER_CALL, Limiter};
use super::log::{Escaped, Log, LogLevel};
use super::output;
use super::record::Recorder;
use super::source::Digest;
use super::transcript::{self, Said};
use super::wit::{DrainPod, Proposal, Rendering, Situation, Verdict};

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
    /// What it took.
    pub used: Used,
}

/// What a call took. The same arguments take the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Units of wasmtime's fuel, out of [`FUEL_PER_CALL`].
    pub fuel: u64,
    /// Bytes of linear memory at the end, which is the most there was: it never shrinks.
    pub memory_bytes: usize,
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
    instance: InstancePre<CallState>,
    exports: Exports,
}

/// Where the questions are among the component's exports.
struct Exports {
    render: ComponentExportIndex,
    judge: ComponentExportIndex,
    validate: Option<ComponentExportIndex>,
}

impl Module {
    /// The sha256 of the unpacked component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Bytes of machine code that the module holds.
    #[must_use]
    pub fn artifact_bytes(&self) -> usize {
        self.inner.artifact_bytes
    }

    /// Asks the policy for a drain pod. Waits for one of as many places as the machine has processors.
    pub async fn render(&self, at: Situation) -> Called<Rendering> {
        let recorded = self.if_recorded(|| transcript::Call::Render { at: at.clone() });
        let called =
            self.call(Stage::Call, move |call| call.ask(&call.exports.render, (&at,))).await;
        let called = called.checked(output::rendering);
        self.record(recorded, || transcript::said(&called));
        called
    }

    /// Asks the policy about a drain pod. Waits for one of as many places as the machine has processors.
    pub async fn judge(&self, at: Situation, pod: DrainPod) -> Called<Verdict> {
        let recorded =
            self.if_recorded(|| transcript::Call::Judge { at: at.clone(), pod: pod.clone() });
        let called =
            self.call(Stage::Call, move |call| call.ask(&call.exports.judge, (&at, &pod))).await;
        let called = called.checked(output::verdict);
        self.record(recorded, || transcript::said(&called));
        called
    }

    /// Whether the policy can say what is wrong with a config.
    #[must_use]
    pub fn has_validator(&self) -> bool {
        self.inner.exports.validate.is_some()
    }

    /// Asks the policy what is wrong with a config; nothing where it has no `validator`. Waits as the other questions do.
    pub async fn validate(&self, of: Proposal) -> Option<Called<Result<(), String>>> {
        self.inner.exports.validate?;
        let recorded = self.if_recorded(|| transcript::Call::Validate { of: of.clone() });
        let called = self
            .call(Stage::Call, move |call| match &call.exports.validate {
                Some(validate) => call.ask(validate, (&of,)),
                None => Ok(Ok(())),
            })
            .await;
        let called = called.checked(|answer| Ok(output::validity(answer)));
        self.record(recorded, || transcript::validity(&called));
        Some(called)
    }

    /// Starts the policy, compares the shapes of what it exports with the contract's, and calls nothing.
    pub(super) async fn try_start(&self) -> Result<(), Fault> {
        self.call(Stage::Start, |call| {
            let Exports { render, judge, validate } = call.exports;
            call.find::<(&Situation,), (Rendering,)>(render)?;
            call.find::<(&Situation, &DrainPod), (Verdict,)>(judge)?;
            if let Some(validate) = validate {
                call.find::<(&Proposal,), (Result<(), String>,)>(validate)?;
            }
            Ok(())
        })
        .await
        .answer
    }

    fn if_recorded(&self, call: impl FnOnce() -> transcript::Call) -> Option<transcript::Call> {
        self.inner.runtime.recorder.is_some().then(call)
    }

    fn record(&self, call: Option<transcript::Call>, said: impl FnOnce() -> Said) {
        if let (Some(recorder), Some(call)) = (&self.inner.runtime.recorder, call) {
            recorder.record(self.digest(), call, &said());
        }
    }

    /// The call goes on to its end, which its limits bring soon, and holds its place until then. It needs a runtime of several threads; on one
    /// of a single thread every call is a [`Fault::Host`].
    async fn call<T, F>(&self, stage: Stage, call: F) -> Called<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Call<'_>) -> wasmtime::Result<T> + Send + 'static,
    {
        let host = |error: &dyn std::fmt::Display| Called {
            answer: Err(Fault::Host(error.to_string())),
            log: Log::default(),
            used: Used::default(),
        };
        let place = match Arc::clone(&self.inner.runtime.places).acquire_owned().await {
            Ok(place) => place,
            Err(closed) => return host(&closed),
        };
        let inner = Arc::clone(&self.inner);
        let run = move || {
            let _place = place;
            call_blocking(&inner, stage, call)
        };
        // This very thread goes on with the call, and the runtime puts another in its place: no wait for a thread that has to be woken lies
        // between a reading of the cluster and the write that is decided on it, and however long calls take, as many threads as before serve
        // everything else.
        catch_unwind(AssertUnwindSafe(|| tokio::task::block_in_place(run)))
            .unwrap_or_else(|_| host(&"the engine panicked"))
    }
}

impl<T> Called<T> {
    fn checked(self, check: impl FnOnce(T) -> Result<T, Fault>) -> Self {
        let Self { answer, log, used } = self;
        Self { answer: answer.and_then(check), log, used }
    }
}

/// The engine, its clock and its places, shared by all modules.
pub(super) struct Runtime {
    engine: Engine,
    linker: Linker<CallState>,
    ticker: Ticker,
    places: Arc<Semaphore>,
    recorder: Option<Recorder>,
}

impl Runtime {
    /// # Errors
    /// Where wasmtime does not support this machine or the system gives no thread.
    pub(super) fn start(recorder: Option<Recorder>) -> wasmtime::Result<Self> {
        let engine = engine(Role::Run)?;
        let mut linker = Linker::new(&engine);
        linker.instance(&interface("log"))?.func_wrap("log", log)?;
        let ticker = Ticker::start(&engine)?;
        // A call is nothing but computing: more at once than processors only makes each of them slower by the clock.
        let processors = thread::available_parallelism()?.get().min(CALLS_MAX);
        let places = Arc::new(Semaphore::new(processors));
        Ok(Self { engine, linker, ticker, places, recorder })
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
        let exports = Exports::of(&component)?;
        let runtime = Arc::clone(self);
        let artifact_bytes = artifact.0.len();
        Ok(Module { inner: Arc::new(Inner { digest, artifact_bytes, runtime, instance, exports }) })
    }
}

impl Exports {
    /// The lookup finds an interface of an older minor version too.
    fn of(component: &Component) -> Result<Self, LoadError> {
        let find = |name: &str, function: &str| {
            let interface = component.get_export_index(None, interface(name))?;
            component.get_export_index(Some(&interface), function)
        };
        let needed = |name: &str, function: &str| {
            find(name, function)
                .ok_or_else(|| LoadError::Contract(format!("no function `{function}` in `{name}`")))
        };
        Ok(Self {
            render: needed("renderer", "render")?,
            judge: needed("judge", "judge")?,
            validate: find("validator", "validate"),
        })
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

#[expect(clippy::unnecessary_wraps, reason = "the shape that the linker asks for")]
fn log(
    mut store: StoreContextMut<'_, CallState>,
    (level, message): (LogLevel, String),
) -> wasmtime::Result<()> {
    store.data_mut().log.push(level, &message);
    Ok(())
}

/// An instance that lives for one call.
struct Call<'a> {
    exports: &'a Exports,
    instance: Instance,
    store: &'a mut Store<CallState>,
}

impl Call<'_> {
    fn ask<P, R>(&mut self, function: &ComponentExportIndex, arguments: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: Lift + 'static,
        (R,): ComponentNamedList,
    {
        let function = self.find::<P, (R,)>(function)?;
        let (answer,) = function.call(&mut *self.store, arguments)?;
        Ok(answer)
    }

    fn find<P, R>(&mut self, function: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.instance.get_typed_func(&mut *self.store, function)
    }
}

fn call_blocking<T>(
    inner: &Inner,
    stage: Stage,
    call: impl FnOnce(&mut Call<'_>) -> wasmtime::Result<T>,
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
            let instance = inner
                .instance
                .instantiate(&mut store)
                .map_err(|error| fault(&error, store.data(), Stage::Start))?;
            let mut one = Call { exports: &inner.exports, instance, store: &mut store };
            call(&mut one).map_err(|error| fault(&error, store.data(), stage))
        });
    // It fails only where the engine counts no fuel.
    let left = store.get_fuel().unwrap_or(FUEL_PER_CALL);
    let CallState { limiter, log } = store.into_data();
    let fuel = FUEL_PER_CALL.saturating_sub(left);
    Called { answer, log, used: Used { fuel, memory_bytes: limiter.memory_bytes() } }
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
