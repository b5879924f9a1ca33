//! One world for all that behave alike: what a host has read or means to write, as far as it can still make a difference.
//!
//! Each rule leaves out a world only where another one is kept that can do everything that the first can. So nothing that can happen is missed;
//! the other way round, a host here may drop what it was about and begin a pass anew, as a real one does whose write failed.
//!
//! 1. *A write whose object is no longer in the version that it names* is refused whenever it arrives, because versions only grow and no identity
//!    comes twice. Late on its way it is nothing; in a host's hands it is refused at its turn, which ends the writes after it at the same ordinal.
//! 2. *What was read last and is still so* may as well be read later: from a host that has not read it yet every step is open that is open to one
//!    that has. The same for a whole pass whose writes are those that a pass of this moment would decide on.
//! 3. *Which old version* a host has read says nothing but that it is old (`canon.rs`).

use crate::{
    Rules,
    host::{Host, Memory, Minds, Order, Reading, Step},
    moves::has_work,
    objects::{Claim, Kind, OnDeleted, Phase, Place, Pod, Seat, World},
    sabotage::Sabotage,
    write::{ClaimRef, PodRef, SetRef, Write},
};

/// Leaves out what can make no difference any more.
pub(crate) fn normalise(world: &mut World, rules: &Rules, minds: &mut Minds) {
    let mut late = std::mem::take(&mut world.late);
    late.retain(|write| !is_void(world, write, rules.sabotage));
    world.late = late;
    let works = has_work(world);
    for host in 0..rules.hosts {
        let Host { memory, step } = std::mem::take(&mut world.hosts[host]);
        let step = match step {
            Step::Idle => Step::Idle,
            Step::Reading(mut reading) => {
                for pod in reading.pods.iter_mut().flatten().filter_map(|(pod, _)| pod.as_mut()) {
                    *pod = told(pod, world);
                }
                if works {
                    forget_what_is_still_so(&mut reading, world, rules);
                }
                if reading.is_blank() { Step::Idle } else { Step::Reading(reading) }
            }
            Step::Writing(mut writes) => {
                leave_out_void(&mut writes, world, rules.sabotage);
                let again = works && decides_the_same(&writes, world, &memory, (rules, minds));
                if writes.is_empty() || again { Step::Idle } else { Step::Writing(writes) }
            }
        };
        world.hosts[host] = Host { memory, step };
    }
}

/// What a change of the world changed of what can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) set: bool,
    pub(crate) claims: bool,
    pub(crate) pods: bool,
}

impl Changed {
    pub(crate) fn between(before: &World, after: &World) -> Self {
        let mut pairs = before.places.iter().zip(&after.places);
        let differ = |(one, other): (&Place, &Place)| !same_claims(&one.claims, &other.claims);
        Self {
            set: before.set != after.set,
            claims: pairs.clone().any(differ),
            pods: pairs.any(|(one, other)| {
                let views = [one, other].map(|it| it.pod.as_ref().map(|pod| told(pod, before)));
                views[0] != views[1] || one.stranger != other.stranger
            }),
        }
    }

    pub(crate) const fn anything(self) -> bool {
        self.set || self.claims || self.pods
    }
}

/// What the planner is told of a pod. Of a member that is not about to be deleted by a host it is told no more than that it is there.
fn told(pod: &Pod, world: &World) -> Pod {
    let drains = world.set.as_ref().is_some_and(|set| set.on_deleted == OnDeleted::Drain);
    match &pod.kind {
        Kind::Member { .. } if !drains => Pod {
            version: 0,
            phase: Phase::Running,
            terminating: false,
            disrupted: false,
            ..pod.clone()
        },
        Kind::Member { .. } | Kind::Drain(_) => pod.clone(),
    }
}

fn forget_what_is_still_so(reading: &mut Reading, world: &World, rules: &Rules) {
    use crate::host::Part;
    for part in reading.order.parts(rules).into_iter().rev() {
        let is_so = match part {
            Part::Set => reading.set.as_ref().is_none_or(|set| *set == world.set),
            Part::Claims => reading.claims.as_ref().is_none_or(|claims| {
                claims.iter().zip(&world.places).all(|(read, is)| same_claims(read, &is.claims))
            }),
            Part::Pods => reading.pods.as_ref().is_none_or(|pods| {
                let mut pairs = pods.iter().zip(&world.places);
                pairs.all(|((pod, stranger), is)| {
                    *pod == is.pod.as_ref().map(|pod| told(pod, world)) && *stranger == is.stranger
                })
            }),
        };
        if !is_so {
            return;
        }
        match part {
            Part::Set => reading.set = None,
            Part::Claims => reading.claims = None,
            Part::Pods => reading.pods = None,
        }
    }
}

fn same_claims(one: &[Option<Claim>], other: &[Option<Claim>]) -> bool {
    let same = |one: &Option<Claim>, other: &Option<Claim>| match (one, other) {
        (Some(one), Some(other)) => one.reads_like(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    one.iter().zip(other).all(|(one, other)| same(one, other))
}

/// Leaves out each write that is refused at its turn, and those of the same ordinal after it.
fn leave_out_void(writes: &mut Vec<Write>, world: &World, sabotage: Option<Sabotage>) {
    let mut ended: Vec<Option<Seat>> = Vec::new();
    writes.retain(|write| {
        if ended.contains(&write.seat()) {
            return false;
        }
        let void = is_void(world, write, sabotage);
        if void {
            ended.push(write.seat());
        }
        !void
    });
}

/// Whether a pass that begins at this moment would decide on these writes.
fn decides_the_same(
    writes: &[Write],
    world: &World,
    memory: &Memory,
    (rules, minds): (&Rules, &mut Minds),
) -> bool {
    Order::ALL.into_iter().any(|order| {
        let reading = Reading::whole(world, order);
        reading.errands().into_iter().any(|errand| {
            let thoughts = minds.thoughts(rules, &reading, memory, errand);
            thoughts.first().is_some_and(|usual| {
                let mut would = usual.writes.clone();
                leave_out_void(&mut would, world, rules.sabotage);
                would == writes
            })
        })
    })
}

/// Whether a write is refused, at this moment and at every other that may come.
fn is_void(world: &World, write: &Write, sabotage: Option<Sabotage>) -> bool {
    let any_version = sabotage == Some(Sabotage::AnyVersion);
    let by_name = sabotage == Some(Sabotage::ByName);
    let claim = |at: &ClaimRef| {
        let claim = world.places[at.seat].claims[at.template].as_ref();
        let fits =
            |claim: &Claim| claim.uid == at.uid && (any_version || claim.version == at.version);
        !by_name && !claim.is_some_and(fits)
    };
    let pod = |at: &PodRef| {
        let pod = world.places[at.seat].pod.as_ref();
        !pod.is_some_and(|pod| pod.uid == at.uid && (any_version || pod.version == at.version))
    };
    let set = |at: &SetRef| {
        let set = world.set.as_ref();
        !set.is_some_and(|set| set.uid == at.uid && (any_version || set.version == at.version))
    };
    match write {
        Write::Enrol { claim: at, .. }
        | Write::Note { claim: at, .. }
        | Write::Fence(at)
        | Write::DeleteClaim { claim: at, .. } => claim(at),
        Write::Seal(at)
        | Write::GiveBack(at)
        | Write::Unseal { pod: at, .. }
        | Write::DeleteMember(at)
        | Write::DeletePod(at) => pod(at),
        Write::Hold(at) | Write::LetGo(at) => set(at),
        // The name may become free.
        Write::CreatePod { .. } => false,
        Write::Touch { set, .. } => !world.has_set(*set),
    }
}
