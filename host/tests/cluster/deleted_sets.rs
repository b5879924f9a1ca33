//! Every way to delete a set, with real data: what Kubernetes calls a cascade, by what the set asks for and by what it retains. Each set has a
//! member that lives and another whose drain is under way when the set goes.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::audit::asked_by;
use crate::receiver::Receiver;
use crate::shard::{self, Gates, Shard};
use crate::site::{QUIET, Site, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually, found_if, stays};
use crate::world::HOST_USER;

use Asks::{Drain, Keep, Nothing};
use Cascade::{Background, Foreground, Orphan};
use Fate::{Collected, Drained, Held, Kept};
use Member::{End, Stay};

pub(crate) const TESTS: &[Test] =
    &[test("deleted_sets::in_every_cascade_no_byte_is_lost_that_is_not_asked_for", every_way)];

/// What must come of each way: the set, how it is deleted, what it asks for, its `whenDeleted`; what becomes of the member that lives, of its
/// claim, and of the claim whose drain is under way; and the event that says so.
#[rustfmt::skip]
const CELLS: [Cell; 18] = [
    ("bg-drain-retain",  Background, Drain,   "Retain", End,  Drained,   Drained,   Some("LetGo")),
    ("bg-drain-delete",  Background, Drain,   "Delete", End,  Drained,   Drained,   Some("LetGo")),
    ("bg-keep-retain",   Background, Keep,    "Retain", End,  Kept,      Kept,      Some("GivenBack")),
    ("bg-keep-delete",   Background, Keep,    "Delete", End,  Kept,      Kept,      Some("GivenBack")),
    ("bg-none-retain",   Background, Nothing, "Retain", End,  Kept,      Kept,      Some("GivenBack")),
    ("bg-none-delete",   Background, Nothing, "Delete", End,  Collected, Held,      Some("PodHoldsData")),
    ("fg-drain-retain",  Foreground, Drain,   "Retain", End,  Kept,      Kept,      Some("NobodyStays")),
    ("fg-drain-delete",  Foreground, Drain,   "Delete", End,  Kept,      Kept,      Some("NobodyStays")),
    ("fg-keep-retain",   Foreground, Keep,    "Retain", End,  Kept,      Kept,      Some("GivenBack")),
    ("fg-keep-delete",   Foreground, Keep,    "Delete", End,  Kept,      Kept,      Some("GivenBack")),
    ("fg-none-retain",   Foreground, Nothing, "Retain", End,  Kept,      Kept,      Some("GivenBack")),
    ("fg-none-delete",   Foreground, Nothing, "Delete", End,  Collected, Collected, None),
    ("orp-drain-retain", Orphan,     Drain,   "Retain", Stay, Kept,      Kept,      Some("NobodyStays")),
    ("orp-drain-delete", Orphan,     Drain,   "Delete", Stay, Kept,      Kept,      Some("NobodyStays")),
    ("orp-keep-retain",  Orphan,     Keep,    "Retain", Stay, Kept,      Kept,      Some("GivenBack")),
    ("orp-keep-delete",  Orphan,     Keep,    "Delete", Stay, Kept,      Kept,      Some("GivenBack")),
    ("orp-none-retain",  Orphan,     Nothing, "Retain", Stay, Kept,      Kept,      Some("GivenBack")),
    ("orp-none-delete",  Orphan,     Nothing, "Delete", Stay, Kept,      Kept,      Some("GivenBack")),
];

type Cell = (&'static str, Cascade, Asks, &'static str, Member, Fate, Fate, Option<&'static str>);

/// `kubectl delete statefulset --cascade=…`.
#[derive(Clone, Copy, Debug)]
enum Cascade {
    Background,
    Foreground,
    Orphan,
}

/// The annotation `on-set-deleted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Drain,
    Keep,
    /// It is not there.
    Nothing,
}

/// What becomes of the member that lives.
#[derive(Clone, Copy, Debug)]
enum Member {
    End,
    Stay,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is there, byte for byte, and no pod of ours is.
    Kept,
    /// The receiver has its bytes, and the host deleted it.
    Drained,
    /// Kubernetes deletes it, as the set has it, and the host has no part in that.
    Collected,
    /// Kubernetes has deleted it too, and the drain pod holds it, which the host leaves alone.
    Held,
}

/// How many members a set has, before the last is scaled away.
const MEMBERS: u32 = 2;

/// The ordinal whose drain waits at its gate when the set is deleted.
const TOP: u32 = MEMBERS - 1;

/// The garbage collector, as the API server knows it.
const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

fn every_way(site: &Site<'_>) -> Result<()> {
    let receiver = Receiver::start(site)?;
    site.start_all(&CELLS.map(|cell| store(&receiver, cell)))?;
    let courses = CELLS.map(|cell| Course::begin(site, cell));
    let mut courses: Vec<Course<'_>> = courses.into_iter().collect::<Result<_>>()?;
    for course in &courses {
        site.scale(course.set, TOP)?;
    }
    for course in &mut courses {
        course.drain = uid(&site.drains(&course.pod(TOP), 1)?)?;
    }
    for course in &courses {
        site.ask_to_delete_set(course.set, course.propagation())?;
    }
    for course in &courses {
        course.ends(&receiver).with_context(|| format!("of {}", course.set))?;
    }
    stays("what is kept or held is left alone", QUIET, || {
        let looks = courses.iter().map(|course| course.rests().context(course.set));
        Ok(match looks.collect::<Result<()>>() {
            Ok(()) => Look::Found(()),
            Err(error) => Look::NotYet(format!("{error:#}")),
        })
    })?;
    courses.iter().try_for_each(|course| course.mend(&receiver))?;
    deleted_by_whom_they_should(site, &courses)
}

/// The set of a cell, and what it had before it was deleted.
struct Course<'a> {
    site: &'a Site<'a>,
    set: &'static str,
    cell: Cell,
    /// What each member wrote, by ordinal.
    shards: Vec<Shard>,
    /// The UID of the member that lives.
    member: String,
    /// The UID of the drain pod.
    drain: String,
}

impl<'a> Course<'a> {
    /// Waits until the host has done what it does for such a set while that lives.
    fn begin(site: &'a Site<'a>, cell: Cell) -> Result<Self> {
        let (set, _, asks, ..) = cell;
        if asks == Drain {
            site.set_is_held(set)?;
        }
        let mut shards = Vec::new();
        for ordinal in 0..MEMBERS {
            let claim = format!("data-{set}-{ordinal}");
            if asks != Nothing {
                is_anchored(site, &claim)?;
            }
            shards.push(Shard::on(site, &claim)?);
        }
        let member = uid(&site.member_runs(&format!("{set}-0"))?)?;
        Ok(Self { site, set, cell, shards, member, drain: String::new() })
    }

    fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.set)
    }

    fn propagation(&self) -> &'static str {
        match self.cell.1 {
            Background => "Background",
            Foreground => "Foreground",
            Orphan => "Orphan",
        }
    }

    /// The ordinals with what their members wrote and what becomes of it, the highest first.
    fn fates(&self) -> impl Iterator<Item = (u32, &Shard, Fate)> {
        let (_, _, _, _, _, lives, drains, _) = self.cell;
        let fate = move |ordinal| if ordinal == TOP { drains } else { lives };
        (0..MEMBERS).zip(&self.shards).rev().map(move |(n, shard)| (n, shard, fate(n)))
    }

    /// Waits until all has come as it must.
    fn ends(&self, receiver: &Receiver<'_>) -> Result<()> {
        let (_, _, _, _, member, _, _, told) = self.cell;
        for (ordinal, shard, fate) in self.fates() {
            let pod = self.pod(ordinal);
            match fate {
                Kept => {}
                Held => self.is_being_deleted(shard)?,
                Collected => self.site.gone(&shard.claim, &pod)?,
                Drained => {
                    if ordinal == TOP {
                        shard.open_gate()?;
                    }
                    self.site.gone(&shard.claim, &pod)?;
                    shard.is_among(&receiver.took()?, &pod)?;
                }
            }
            match (fate, member) {
                (Held, _) => {}
                (_, Stay) if ordinal != TOP => {}
                (Kept | Drained | Collected, End | Stay) => self.site.no_pod(&pod)?,
            }
        }
        self.site.set_is_gone(self.set)?;
        if let Some(reason) = told {
            self.site.told(self.set, reason, &[])?;
        }
        Ok(())
    }

    /// Fails unless everything that stays is as it was.
    fn rests(&self) -> Result<()> {
        for (ordinal, shard, fate) in self.fates() {
            match fate {
                Kept => shard.is_kept(self.site)?,
                Held => {
                    shard.is_whole()?;
                    self.is_there(ordinal, &self.drain)?;
                }
                Drained | Collected => {}
            }
        }
        match self.cell.4 {
            Stay => self.is_there(0, &self.member),
            End => Ok(()),
        }
    }

    fn is_there(&self, ordinal: u32, pod_uid: &str) -> Result<()> {
        let pod = self.site.pod(&self.pod(ordinal))?.unwrap_or_default();
        let metadata = &pod["metadata"];
        let is_kept = metadata["uid"] == pod_uid && metadata["deletionTimestamp"].is_null();
        ensure!(is_kept, "the pod {} did not stay: {metadata}", self.pod(ordinal));
        Ok(())
    }

    fn is_being_deleted(&self, shard: &Shard) -> Result<()> {
        eventually(&format!("{} is being deleted", shard.claim), SOON, || {
            let claim = self.site.claim(&shard.claim)?.context("it is gone")?;
            let is_going = !claim["metadata"]["deletionTimestamp"].is_null();
            Ok(found_if(is_going, || claim["metadata"].to_string()))
        })
    }

    /// What the Warning about a claim that is held says: the drain is let to its end, which hands over the last copy, and a person deletes the pod.
    fn mend(&self, receiver: &Receiver<'_>) -> Result<()> {
        for (ordinal, shard, _) in self.fates().filter(|(_, _, fate)| *fate == Held) {
            let pod = self.pod(ordinal);
            self.site.told(self.set, "PodHoldsData", &[&shard.claim, "delete the pod yourself"])?;
            shard.open_gate()?;
            self.site.eventually_pod("the drain has ended", &pod, |pod: &Value| {
                pod["status"]["phase"] == "Succeeded"
            })?;
            shard.is_among(&receiver.took()?, &pod)?;
            self.is_there(ordinal, &self.drain)?;
            self.site.delete("pods", &pod)?;
            self.site.gone(&shard.claim, &pod)?;
        }
        Ok(())
    }
}

/// A set whose highest ordinal waits at its gate before it hands over what it has, and whose other does so at once.
fn store(receiver: &Receiver<'_>, (set, _, asks, when_deleted, ..): Cell) -> Store {
    let store = shard::store(receiver, Gates::Only(TOP));
    let store = store.named(set).of(MEMBERS).retaining("Retain", when_deleted);
    match asks {
        Drain => store.annotated("tidegate.dev/on-set-deleted", "drain"),
        Keep => store.annotated("tidegate.dev/on-set-deleted", "keep"),
        Nothing => store,
    }
}

fn is_anchored(site: &Site<'_>, claim: &str) -> Result<()> {
    eventually(&format!("{claim} is anchored"), SOON, || {
        let owners = site.owners(claim)?;
        Ok(found_if(owners.iter().any(|kind| kind == "Namespace"), || format!("{owners:?}")))
    })
}

/// By the API server's record, the host deleted what was drained, and of what it gave back or removed from its own sets the pods; the collector
/// deleted what goes with its set; and nobody deleted what is kept.
fn deleted_by_whom_they_should(site: &Site<'_>, courses: &[Course<'_>]) -> Result<()> {
    let deleted_by = |user| -> Result<BTreeSet<String>> {
        let mut asked = asked_by(site.world, user)?;
        asked.retain(|it| it.namespace == site.namespace && it.code < 300);
        Ok(asked
            .into_iter()
            .filter_map(|it| Some(it.what.strip_prefix("delete ")?.to_owned()))
            .collect())
    };
    let (mut by_host, by_collector) = (deleted_by(HOST_USER)?, deleted_by(COLLECTOR)?);
    for course in courses {
        for (ordinal, shard, fate) in course.fates() {
            let claim = format!("persistentvolumeclaims {}", shard.claim);
            let pod = format!("pods {}", course.pod(ordinal));
            let who = (by_host.remove(&claim), by_collector.contains(&claim));
            let right = match fate {
                Kept => (false, false),
                Drained => (true, false),
                Collected | Held => (false, true),
            };
            ensure!(who == right, "host and collector deleted {claim}: {who:?}, not {right:?}");
            if fate == Drained || (fate == Kept && ordinal == TOP) {
                by_host.remove(&pod);
            }
        }
    }
    ensure!(by_host.is_empty(), "the host deleted besides: {by_host:?}");
    Ok(())
}
