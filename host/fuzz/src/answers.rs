//! What a policy answers. On one road the bytes are the memory of a real guest, and its answer is read out of them through the engine with all its
//! limits; on the other they are values, for what a guest's answer is cut to.

mod guest;
mod values;

use std::sync::{OnceLock, PoisonError, RwLock};

use tidegate::policy::{
    Called, Compiler, Fault, Log, Module, Policies,
    log::{LOG_MAX_BYTES, LOG_MAX_MESSAGES},
    output::{
        self, DISCARD_MAX_BYTES, DISCARD_MAX_ENTRIES, REASON_MAX_BYTES, STATE_MAX_BYTES,
        TEMPLATE_MAX_BYTES,
    },
    wit::{Rendering, Verdict},
};
use tokio::runtime::Runtime;

/// Who compiles the guest, where it is not this process: its executable then has the hidden subcommand of the host.
static COMPILER: RwLock<Option<Compiler>> = RwLock::new(None);

/// Says which executable compiles; without that it is the one that runs.
pub fn compile_with(compiler: Compiler) {
    *COMPILER.write().unwrap_or_else(PoisonError::into_inner) = Some(compiler);
}

/// An answer is within its limits, or it is a fault of the policy; it is never a fault of the host, and the same bytes give the same answer.
pub fn holds(bytes: &[u8]) {
    match bytes.split_first() {
        None => {}
        Some((choice, rest)) if choice % 2 == 0 => by_value(rest),
        Some((_, rest)) => by_guest(rest),
    }
}

fn by_value(bytes: &[u8]) {
    let mut values = values::Values::new(bytes);
    let rendering = values.rendering();
    let held = output::rendering(rendering.clone());
    assert_eq!(held.is_err(), values::is_too_large(&rendering));
    if let Ok(held) = held {
        within_limits(&held);
        assert_eq!(output::rendering(held.clone()), Ok(held), "what is fit stays as it is");
    }
    let verdict = values.verdict();
    let held = output::verdict(verdict.clone());
    assert_eq!(held.is_err(), values::is_state_too_large(&verdict));
    if let Ok(held) = held {
        verdict_within_limits(&held);
        assert_eq!(output::verdict(held.clone()), Ok(held), "what is fit stays as it is");
    }
}

fn by_guest(memory: &[u8]) {
    let Stage { runtime, module, .. } = stage();
    let situation = guest::situation(memory);
    let pod = guest::drain_pod();
    let rendered = runtime.block_on(in_a_task(module.clone(), situation.clone(), None));
    let again = runtime.block_on(in_a_task(module.clone(), situation.clone(), None));
    assert_eq!(rendered, again, "the same arguments give the same answer");
    let judged = runtime.block_on(in_a_task(module.clone(), situation, Some(pod)));
    if let Asked::Rendering(Called { answer, log, used: _ }) = rendered {
        logged(&log);
        match answer {
            Ok(rendering) => within_limits(&rendering),
            Err(fault) => blames_the_policy(&fault),
        }
    }
    if let Asked::Verdict(Called { answer, log, used: _ }) = judged {
        logged(&log);
        match answer {
            Ok(verdict) => verdict_within_limits(&verdict),
            Err(fault) => blames_the_policy(&fault),
        }
    }
}

struct Stage {
    runtime: Runtime,
    module: Module,
    _policies: Policies,
}

#[derive(Debug, PartialEq)]
enum Asked {
    Rendering(Called<Rendering>),
    Verdict(Called<Verdict>),
}

/// A call needs a thread of the runtime, which the caller's is not.
async fn in_a_task(
    module: Module,
    situation: tidegate::policy::wit::Situation,
    pod: Option<tidegate::policy::wit::DrainPod>,
) -> Asked {
    let call = async move {
        match pod {
            None => Asked::Rendering(module.render(situation).await),
            Some(pod) => Asked::Verdict(module.judge(situation, pod).await),
        }
    };
    tokio::spawn(call).await.expect("a call does not panic")
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system gives a thread");
        let compiler = COMPILER.read().unwrap_or_else(PoisonError::into_inner).clone();
        let compiler = compiler.unwrap_or_else(Compiler::this_process);
        let policies = Policies::start(compiler).expect("the engine starts");
        let loading = async { policies.load(None, guest::component()).await };
        let module = runtime.block_on(loading).unwrap_or_else(|why| panic!("the guest: {why}"));
        Stage { runtime, module, _policies: policies }
    })
}

fn blames_the_policy(fault: &Fault) {
    assert!(!matches!(fault, Fault::Host(_) | Fault::Instantiate(_)), "{fault:?}");
    let words = fault.to_string();
    assert!(is_one_line(&words), "{words:?}");
}

fn logged(log: &Log) {
    assert!(log.lines.len() <= LOG_MAX_MESSAGES);
    let bytes: usize = log.lines.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= LOG_MAX_BYTES);
    assert!(log.lines.iter().all(|line| is_one_line(&line.message)));
}

fn within_limits(rendering: &Rendering) {
    match rendering {
        Rendering::Pod(pod) => {
            assert!(pod.template.len() <= TEMPLATE_MAX_BYTES);
            assert!(pod.discard.len() <= DISCARD_MAX_ENTRIES);
            assert!(pod.discard.iter().all(|name| name.len() <= DISCARD_MAX_BYTES));
            assert!(pod.state.as_ref().is_none_or(|state| state.len() <= STATE_MAX_BYTES));
        }
        Rendering::Wait(wait) => fits_an_event(&wait.reason),
        Rendering::Keep(reason) | Rendering::Refuse(reason) => fits_an_event(reason),
    }
}

fn verdict_within_limits(verdict: &Verdict) {
    match verdict {
        Verdict::Wait(wait) => {
            fits_an_event(&wait.reason);
            assert!(wait.percent.is_none_or(|percent| percent <= 100));
            assert!(wait.state.as_ref().is_none_or(|state| state.len() <= STATE_MAX_BYTES));
        }
        Verdict::Retry(retry) => {
            fits_an_event(&retry.reason);
            assert!(retry.state.len() <= STATE_MAX_BYTES);
        }
        Verdict::Complete(reason) | Verdict::Cancel(reason) | Verdict::Fail(reason) => {
            fits_an_event(reason);
        }
    }
}

fn fits_an_event(reason: &str) {
    assert!(reason.len() <= REASON_MAX_BYTES && is_one_line(reason), "{reason:?}");
}

/// Nothing that breaks the line, colours the terminal or turns the direction of writing.
fn is_one_line(text: &str) -> bool {
    let turns = |it: char| matches!(u32::from(it), 0x200e | 0x200f | 0x061c | 0x2028..=0x202e | 0x2066..=0x2069);
    !text.chars().any(|it| it.is_control() || turns(it))
}
