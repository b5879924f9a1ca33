//! The passages that are walked: what a person does in each, and how it is seen that it is over.

use anyhow::Result;
use serde_json::json;
use xtask::proxy::Call;

use crate::scene::Scene;
use crate::state::State;
use crate::store::Store;

/// What a drain pod says that is done.
const DRAINED: &str = "tidegate: drained";

/// What stands before a call that comes in some walks only.
const OPTIONAL: &str = "? ";

/// What stands before a call that comes in nearly all walks: whether the host wakes the set's controller hangs on whether that woke by itself.
const MOSTLY: &str = "~ ";

/// One passage.
#[derive(Clone, Copy)]
pub(crate) struct Passage {
    /// Its name.
    pub(crate) name: &'static str,
    /// The calls of the host in it, a line each: those that faults befall, after a tilde where they may stay out, and after a question mark those that
    /// no fault befalls because they come in some walks only. What comes before it parts from the passages above is listed there alone.
    calls: &'static str,
    /// What the people of the cluster do.
    pub(crate) people: fn(&Scene<'_>) -> Result<()>,
    /// What the API server refuses all the while.
    pub(crate) bars: fn(&Call) -> bool,
    /// Whether this is how it ends.
    pub(crate) is_over: fn(&State) -> bool,
}

/// Every passage.
pub(crate) const ALL: &[Passage] = &[
    Passage {
        name: "drained",
        calls: include_str!("calls/drained.txt"),
        people: drained,
        bars: |_| false,
        is_over: |state| is_settled(state, 1) && !has_claims_of(state, "web-1"),
    },
    Passage {
        name: "given_back",
        calls: include_str!("calls/given_back.txt"),
        people: given_back,
        bars: |call| {
            let deleted = ["data-web-1", "log-web-1"];
            deleted.iter().any(|claim| call.is(&format!("delete persistentvolumeclaims {claim}")))
        },
        is_over: |state| is_settled(state, 2) && has_claims_of(state, "web-1"),
    },
    Passage {
        name: "tried_again",
        calls: include_str!("calls/tried_again.txt"),
        people: tried_again,
        bars: |_| false,
        is_over: |state| is_settled(state, 1) && !has_claims_of(state, "web-1"),
    },
    Passage {
        name: "cancelled",
        calls: include_str!("calls/cancelled.txt"),
        people: cancelled,
        bars: |_| false,
        is_over: |state| is_settled(state, 2) && has_claims_of(state, "web-1"),
    },
    Passage {
        name: "departure",
        calls: include_str!("calls/departure.txt"),
        people: departure,
        bars: |_| false,
        is_over: |state| *state == State::default(),
    },
];

impl Passage {
    /// The names of the calls that faults befall.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &'static str> {
        let befallen = self.calls.lines().filter(|line| !line.starts_with(OPTIONAL));
        befallen.map(|line| line.trim_start_matches(MOSTLY))
    }

    /// Whether the call may stay out.
    pub(crate) fn may_stay_out(&self, call: &str) -> bool {
        self.calls.lines().any(|line| line.strip_prefix(MOSTLY) == Some(call))
    }

    /// The names of all calls that may come.
    pub(crate) fn known_calls(&self) -> impl Iterator<Item = &'static str> {
        let name =
            |line: &'static str| line.trim_start_matches(OPTIONAL).trim_start_matches(MOSTLY);
        self.calls.lines().map(name)
    }
}

/// The set is scaled down, and both claims are drained and deleted.
fn drained(scene: &Scene<'_>) -> Result<()> {
    scene.start(&store("finish"))?;
    scene.scale(1)?;
    scene.drains("web-1", 1)?;
    scene.finish("web-1", 0, Some(DRAINED))
}

/// The drain pod is sealed, and its claims cannot be deleted. The set is scaled up and, when its controller has tried in vain for a while, taken
/// away from the host; the member comes back to its claims.
fn given_back(scene: &Scene<'_>) -> Result<()> {
    scene.start(&store("finish"))?;
    scene.scale(1)?;
    scene.drains("web-1", 1)?;
    scene.finish("web-1", 0, Some(DRAINED))?;
    scene.sealed("web-1")?;
    scene.scale(2)?;
    scene.asked("delete persistentvolumeclaims log-web-1", 3)?;
    scene.change(&json!({ "metadata": { "annotations": { "tidegate.dev/policy": null } } }))
}

/// The first drain pod fails.
fn tried_again(scene: &Scene<'_>) -> Result<()> {
    scene.start(&store("finish"))?;
    scene.scale(1)?;
    scene.drains("web-1", 1)?;
    scene.finish("web-1", 1, None)?;
    scene.drains("web-1", 2)?;
    scene.finish("web-1", 0, Some(DRAINED))
}

/// The set is scaled up while the drain pod runs, and its policy gives the ordinal back.
fn cancelled(scene: &Scene<'_>) -> Result<()> {
    scene.start(&store("cancel"))?;
    scene.scale(1)?;
    scene.drains("web-1", 1)?;
    scene.scale(2)
}

/// The set is deleted, and drained before it goes.
fn departure(scene: &Scene<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true", "readyPeers": 0 }))
        .annotated("tidegate.dev/on-set-deleted", "drain")
        .with_claims_that_go_with_it();
    scene.start(&store)?;
    scene.held()?;
    scene.delete_set()?;
    for pod in ["web-1", "web-0"] {
        scene.drains(pod, 1)?;
        scene.finish(pod, 0, Some(DRAINED))?;
    }
    Ok(())
}

/// A set of two members with two claims each.
fn store(on_scale_up: &str) -> Store {
    Store::exec(&json!({ "script": "true", "onScaleUp": on_scale_up }))
        .with_volumes(&["data", "log"])
}

/// Whether as many members run as there are to be, and no drain pod.
fn is_settled(state: &State, members: u64) -> bool {
    let status = &state.of("statefulsets web")["status"];
    let drains = |name: &str| {
        let annotations = &state.of(&format!("pods {name}"))["annotations"];
        !annotations["tidegate.dev/drain"].is_null()
    };
    let has = |name: &str| state.has(&format!("pods {name}"));
    status["replicas"] == members
        && status["readyReplicas"] == members
        && has("web-0")
        && has("web-1") == (members > 1)
        && !drains("web-1")
}

fn has_claims_of(state: &State, member: &str) -> bool {
    ["data", "log"]
        .iter()
        .any(|template| state.has(&format!("persistentvolumeclaims {template}-{member}")))
}
