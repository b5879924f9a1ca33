//! Plays one schedule: its moves at full speed, then a quiet end in which everything must come to rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::manifests::{self, DRAINED, STRANGER};
use super::past::{
    Kind, Objects, annotation, get, is_disrupted, is_terminating, label, list, name, of_kind, text,
    uid,
};
use super::person::Person;
use super::person::resource::{CLAIMS, PODS, SETS};
use super::rest::{DRAIN, ENROLLED, Rest, look};
use super::schedule::{Cascade, Deed, Fate, SET, Schedule, claim_name};
use super::stage::Stage;

/// How long the members of a set may take to run at first, on a machine that builds something else at the same time.
const START_WITHIN: Duration = Duration::from_secs(120);

/// How long a move waits for a drain pod that it is about. On an idle machine a drain pod runs half a second after its member has gone; where none
/// comes in this time, there is none.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);

/// After how long without any write to a pod or a claim nothing more is to come. Three failures make a policy wait 20 s, and a host that was killed is
/// there again in ten; the rest is for controllers on a machine that builds something else at the same time, where binding a claim took two minutes.
const STUCK_AFTER: Duration = Duration::from_secs(240);

/// How long a quiet cluster may take to come to rest while it still moves, on a machine that builds something else at the same time.
const REST_WITHIN: Duration = Duration::from_secs(900);

/// How often is looked again where nothing changed: time alone ends a wait of a host.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The pause between two looks at a namespace that changes all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What became of a schedule.
pub(super) struct Played {
    /// How many of its moves found something to move.
    pub(super) moves: u32,
    /// What it is like at the end.
    pub(super) rest: Rest,
    /// How long the end took.
    pub(super) quiet: Duration,
}

/// Plays it.
///
/// # Errors
/// Where the cluster does not do what clusters do: the API server or a node does not answer, or the set does not even start.
pub(super) async fn play(stage: &Stage, person: &Person, schedule: &Schedule) -> Result<Played> {
    let player = Player { stage, person, schedule };
    player.begin().await?;
    let mut moves = 0;
    for (pause_ms, deed) in &schedule.moves {
        sleep(Duration::from_millis(*pause_ms)).await;
        moves += u32::from(player.perform(*deed).await?);
    }
    let began = Instant::now();
    player.mend().await?;
    let rest = player.come_to_rest().await?;
    Ok(Played { moves, rest, quiet: began.elapsed() })
}

struct Player<'a> {
    stage: &'a Stage,
    person: &'a Person,
    schedule: &'a Schedule,
}

impl Player<'_> {
    async fn begin(&self) -> Result<()> {
        self.person.settle().await?;
        // Without the account of its namespace a pod is refused, and whoever makes it waits long before the next try.
        let has_account = |live: &Objects| get(live, Kind::Account, "default").is_some();
        if !self.until(START_WITHIN, has_account).await {
            bail!("the namespace has no account after {} s", START_WITHIN.as_secs());
        }
        let setup = &self.schedule.setup;
        self.person.create(SETS, &manifests::set(setup, setup.replicas)).await?;
        // What does not come to be here is seen, and told, at the end.
        let is_up = |live: &Objects| {
            let members = of_kind(live, Kind::Pod).filter(|pod| runs(pod));
            let wanted = usize::try_from(setup.replicas).unwrap_or_default();
            members.count() == wanted && look(live).unrest.is_empty()
        };
        if setup.is_awaited {
            self.until(START_WITHIN, is_up).await;
        }
        Ok(())
    }

    /// Answers whether there was something to move.
    async fn perform(&self, deed: Deed) -> Result<bool> {
        let to_set = |change: Value| async move { self.person.patch(SETS, SET, &change).await };
        let setup = &self.schedule.setup;
        match deed {
            Deed::Scale(replicas) => to_set(json!({ "spec": { "replicas": replicas } })).await,
            Deed::Flip(to, back) => {
                let there = to_set(json!({ "spec": { "replicas": to } })).await?;
                Ok(there && to_set(json!({ "spec": { "replicas": back } })).await?)
            }
            Deed::Start(start) => {
                to_set(json!({ "spec": { "ordinals": { "start": start } } })).await
            }
            Deed::Drain(which, fate) => self.befall(which, fate).await,
            Deed::DeleteMember(ordinal) => {
                self.person.delete(PODS, &format!("{SET}-{ordinal}"), &json!({})).await
            }
            Deed::DeleteClaim(ordinal, template) => {
                self.person.delete(CLAIMS, &claim_name(template, ordinal), &json!({})).await
            }
            Deed::RestoreClaim(ordinal, template) => {
                let template = template.min(setup.claims - 1);
                self.person.create(CLAIMS, &manifests::claim(template, ordinal)).await
            }
            Deed::StripLabel(ordinal, template) => {
                let change = json!({ "metadata": { "labels": { ENROLLED: null } } });
                self.person.patch(CLAIMS, &claim_name(template, ordinal), &change).await
            }
            Deed::DeleteSet(cascade) => {
                let propagation = match cascade {
                    Cascade::Background => "Background",
                    Cascade::Foreground => "Foreground",
                    Cascade::Orphan => "Orphan",
                };
                let options = json!({ "propagationPolicy": propagation });
                self.person.delete(SETS, SET, &options).await
            }
            Deed::MakeSet(replicas) => {
                self.person.create(SETS, &manifests::set(setup, replicas)).await
            }
            Deed::PolicyOff => to_set(annotate(&manifests::without_policy())).await,
            Deed::PolicyOn => to_set(annotate(&manifests::annotations(setup))).await,
            Deed::Pause(is_paused) => to_set(annotate(&paused(is_paused))).await,
            Deed::BreakConfig(is_broken) => {
                let config = if is_broken { "{".to_owned() } else { manifests::config(setup) };
                to_set(annotate(&json!({ manifests::CONFIG: config }))).await
            }
            Deed::StrangerComes(ordinal) => self.stranger(ordinal).await,
            Deed::StrangersGo => self.strangers_go().await,
        }
    }

    /// Something befalls one of the drain pods.
    async fn befall(&self, which: u32, fate: Fate) -> Result<bool> {
        let Some(pod) = self.drain_pod(which, fate).await else {
            return Ok(false);
        };
        let (story, pod_name) = (self.person.story(), name(&pod));
        match fate {
            Fate::Ends => self.stage.finish(story, &pod, 0, Some(DRAINED)).await,
            Fate::Fails => self.stage.finish(story, &pod, 1, None).await,
            Fate::Evicted => self.person.evict(pod_name).await,
            Fate::Deleted => self.person.delete(PODS, pod_name, &json!({})).await,
            Fate::ForceDeleted => {
                self.person.delete(PODS, pod_name, &json!({ "gracePeriodSeconds": 0 })).await
            }
            Fate::ShutDown => {
                self.person.mark_shut_down(pod_name).await?;
                self.stage.finish(story, &pod, 0, None).await
            }
        }
    }

    /// A drain pod that this can befall, once there is one.
    async fn drain_pod(&self, which: u32, fate: Fate) -> Option<Value> {
        let fits = |pod: &&Value| {
            annotation(pod, DRAIN).is_some()
                && match fate {
                    Fate::Ends | Fate::Fails | Fate::ShutDown => runs(pod),
                    Fate::Evicted | Fate::Deleted => !is_terminating(pod),
                    Fate::ForceDeleted => true,
                }
        };
        let is_there = |live: &Objects| of_kind(live, Kind::Pod).any(|pod| fits(&pod));
        if !self.until(DRAIN_WITHIN, is_there).await {
            return None;
        }
        let live = self.person.story().live();
        let fitting: Vec<&Value> = of_kind(&live, Kind::Pod).filter(fits).collect();
        let index = usize::try_from(which).unwrap_or_default().checked_rem(fitting.len())?;
        fitting.get(index).map(|pod| (*pod).clone())
    }

    async fn stranger(&self, ordinal: u32) -> Result<bool> {
        let live = self.person.story().live();
        let claims = (0..self.schedule.setup.claims).map(|template| claim_name(template, ordinal));
        let there = claims.filter(|claim| get(&live, Kind::Claim, claim).is_some());
        let there: Vec<String> = there.collect();
        if there.is_empty() {
            return Ok(false);
        }
        let pod = manifests::stranger(&format!("stranger-{ordinal}"), &there);
        self.person.create(PODS, &pod).await
    }

    async fn strangers_go(&self) -> Result<bool> {
        let live = self.person.story().live();
        let mut went = false;
        for pod in of_kind(&live, Kind::Pod).filter(|pod| label(pod, STRANGER).is_some()) {
            let at_once = json!({ "gracePeriodSeconds": 0 });
            went |= self.person.delete(PODS, name(pod), &at_once).await?;
        }
        Ok(went)
    }

    /// People put right what they did, where it would only keep everything waiting.
    async fn mend(&self) -> Result<()> {
        // What was made just before is to be seen, too.
        self.stage.caught_up().await?;
        self.strangers_go().await?;
        self.perform(Deed::Pause(false)).await?;
        self.perform(Deed::BreakConfig(false)).await?;
        if self.schedule.is_remade {
            self.perform(Deed::PolicyOn).await?;
            self.perform(Deed::MakeSet(self.schedule.setup.replicas)).await?;
        }
        Ok(())
    }

    /// From here on every drain that begins ends well.
    async fn come_to_rest(&self) -> Result<Rest> {
        let end = Instant::now() + REST_WITHIN;
        let mut changes = self.person.story().changes();
        let mut ended = BTreeSet::new();
        loop {
            changes.mark_unchanged();
            let live = self.person.story().live();
            for pod in of_kind(&live, Kind::Pod) {
                let drains = annotation(pod, DRAIN).is_some() && runs(pod) && !is_disrupted(pod);
                if drains
                    && !ended.contains(uid(pod))
                    && self.stage.finish(self.person.story(), pod, 0, Some(DRAINED)).await?
                {
                    ended.insert(uid(pod).to_owned());
                }
            }
            let rest = look(&live);
            let is_stuck = self.person.story().stands_still_for() > STUCK_AFTER;
            if rest.unrest.is_empty() || is_stuck || Instant::now() > end {
                return Ok(rest);
            }
            sleep(LOOK_PAUSE).await;
            // Where nothing changes the time may have come for something.
            let _ = timeout(LOOK_AGAIN, changes.changed()).await;
        }
    }

    /// Whether it becomes so.
    async fn until(&self, within: Duration, is_so: impl Fn(&Objects) -> bool) -> bool {
        let end = tokio::time::Instant::now() + within;
        let mut changes = self.person.story().changes();
        loop {
            changes.mark_unchanged();
            if is_so(&self.person.story().live()) {
                return true;
            }
            let changed = tokio::time::timeout_at(end, changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return false;
            }
        }
    }
}

/// Takes a set away from the hosts, so that what is kept there costs them nothing any more.
///
/// # Errors
/// Where the API server does not answer.
pub(super) async fn leave(person: &Person) -> Result<()> {
    person.patch(SETS, SET, &annotate(&manifests::without_policy())).await.map(|_| ())
}

fn annotate(annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

fn paused(is_paused: bool) -> Value {
    json!({ "tidegate.dev/paused": is_paused.then_some("true") })
}

/// Whether the pod's process is there, as far as its status says.
fn runs(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
        && list(pod, "/status/containerStatuses")
            .any(|status| status["state"]["running"].is_object())
}
