//! What becomes of a cluster that is left alone: no more surprises, everybody does what there is to do, and time passes. It must come to rest,
//! and at rest whatever does not go on must say why (I7).
//!
//! Here a host looks only where a real one would: when something that it watches has changed, or when the time has come that its last plan
//! named. A name that nobody waits for, and a moment that nobody wakes for, show as a cluster that rests too early.

use tidegate_core::Reason;

use crate::{
    Rules, cluster,
    explore::fingerprint,
    harm::Harm,
    host::{Delivery, Errand, Minds, Order, Reading, Step},
    mind::glance,
    moves::{Move, after},
    objects::{BackOff, Care, HOSTS_MAX, Marks, Place, Pod, Seat, World},
    sight::seat_of,
    table::Table,
};

/// How many moves a quiet cluster may take to its rest. A passage of one ordinal takes about thirty.
const MOVES_MAX: usize = 300;

/// How many worlds are remembered to end well. Who forgets leaves them alone again.
const CALM_MAX: usize = 50_000_000;

/// Quiet clusters, and those that are known to end well.
#[derive(Default)]
pub struct Quiet {
    calm: Table,
}

/// How a quiet cluster ends that does not end well.
#[derive(Clone, Debug)]
pub struct Unrest {
    /// What it does.
    pub harm: Harm,
    /// The moves from the world that was left alone.
    pub moves: Vec<Move>,
}

/// What a host that looked and found nothing to do waits for.
#[derive(Clone, Default)]
struct Sleep {
    /// What it watched when it fell asleep; nothing where it is awake.
    on: Option<Reading>,
    /// Whether it wakes when time has passed.
    until: bool,
}

/// What comes of a look.
enum Look {
    /// There is something to write, seen in this order.
    Acts(Order),
    /// There is not.
    Sleeps {
        /// Whether the host looks again when time has passed.
        until: bool,
    },
}

impl Quiet {
    /// Leaves the world alone.
    ///
    /// # Errors
    /// What happens that must not.
    pub fn ends_well(
        &mut self,
        world: &World,
        rules: &Rules,
        minds: &mut Minds,
    ) -> Result<(), Unrest> {
        let mut run =
            Run { world: world.clone(), rules, sleeps: std::array::from_fn(|_| Sleep::default()) };
        let mut moves = Vec::new();
        let mut path = Vec::new();
        loop {
            let key = fingerprint(&run.world);
            // Every host is awake here, so that what is known of this world is known of this run.
            if run.sleeps.iter().all(|sleep| sleep.on.is_none()) {
                if self.calm.contains(key) {
                    break;
                }
                if path.contains(&key) {
                    return Err(Unrest { harm: Harm::NoRest, moves });
                }
                path.push(key);
            }
            let Some(it) = run.next(minds) else {
                if let Some(harm) = at_rest(&run.world, rules, minds) {
                    return Err(Unrest { harm, moves });
                }
                break;
            };
            moves.push(it);
            run.make(it, minds);
            if let Some(harm) = run.world.harm.clone() {
                return Err(Unrest { harm, moves });
            }
            if moves.len() > MOVES_MAX {
                return Err(Unrest { harm: Harm::NoRest, moves });
            }
        }
        if self.calm.len() >= CALM_MAX {
            self.calm = Table::default();
        }
        for key in path {
            self.calm.insert(key);
        }
        Ok(())
    }
}

struct Run<'a> {
    world: World,
    rules: &'a Rules,
    sleeps: [Sleep; HOSTS_MAX],
}

impl Run<'_> {
    /// What happens next: late requests first, then what a host has begun, then Kubernetes, then the hosts' passes, then time.
    fn next(&mut self, minds: &mut Minds) -> Option<Move> {
        if !self.world.late.is_empty() {
            return Some(Move::Arrives { late: 0 });
        }
        let begun = (0..self.rules.hosts).find_map(|host| self.goes_on(host));
        let due = begun.or_else(|| self.of_kubernetes()).or_else(|| self.looks(minds));
        due.or_else(|| cluster::anything_ahead(&self.world).then_some(Move::TimePasses))
    }

    fn goes_on(&self, host: usize) -> Option<Move> {
        match &self.world.hosts[host].step {
            Step::Idle => None,
            Step::Writing(_) => Some(Move::Sends { host, delivery: Delivery::Answered }),
            Step::Reading(reading) => {
                let part = reading.next(self.rules)?;
                let mut fuller = (**reading).clone();
                fuller.read(part, &self.world);
                if fuller.next(self.rules).is_some() {
                    return Some(Move::Reads { host, order: fuller.order, part });
                }
                let errand = self.errand(host, &fuller);
                Some(Move::Decides { host, errand, odd: None })
            }
        }
    }

    /// The errand that has something to do, or else any.
    fn errand(&self, host: usize, reading: &Reading) -> Errand {
        let memory = &self.world.hosts[host].memory;
        let errands = reading.errands();
        let closer = |errand: &&Errand| glance(self.rules, reading, memory, **errand).is_err();
        let due = errands.iter().find(closer).or_else(|| errands.first());
        due.copied().unwrap_or(Errand::Set)
    }

    fn of_kubernetes(&self) -> Option<Move> {
        let deeds = cluster::deeds(&self.world, self.rules);
        let rests = |seat: &Seat| self.world.places[*seat].back_off == BackOff::Rests;
        let due = deeds.into_iter().find(|deed| match deed {
            cluster::Deed::MakesMember(seat) => !rests(seat),
            cluster::Deed::DeletesMember(_)
            | cluster::Deed::Starts(_)
            | cluster::Deed::Succeeds(_)
            | cluster::Deed::Stops(_)
            | cluster::Deed::PodGoes(_)
            | cluster::Deed::CollectsPod(_)
            | cluster::Deed::CollectsClaim(..)
            | cluster::Deed::StrikesOwners(..)
            | cluster::Deed::ClaimGoes(..)
            | cluster::Deed::OwnsClaims(_)
            | cluster::Deed::OrphansMember(_)
            | cluster::Deed::AdoptsMember(_)
            | cluster::Deed::SetGoes => true,
        });
        due.map(Move::Cluster)
    }

    /// The first host that is awake and has something to do; the others fall asleep.
    fn looks(&mut self, minds: &mut Minds) -> Option<Move> {
        for host in 0..self.rules.hosts {
            if self.sleeps[host].on.is_some() {
                continue;
            }
            match self.look(host, minds) {
                Look::Acts(order) => {
                    let part = order.parts(self.rules)[0];
                    return Some(Move::Reads { host, order, part });
                }
                Look::Sleeps { until } => {
                    self.sleeps[host] = Sleep { on: Some(watched(&self.world)), until };
                }
            }
        }
        None
    }

    /// A glance, then everything read at once, then the claims read first: each only where the one before asks for it.
    fn look(&self, host: usize, minds: &mut Minds) -> Look {
        let memory = &self.world.hosts[host].memory;
        let mut until = false;
        let at_once = Reading::whole(&self.world, Order::AtOnce);
        for errand in at_once.errands() {
            if let Ok(wake_at) = glance(self.rules, &at_once, memory, errand) {
                until |= wake_at.is_some();
                continue;
            }
            for order in Order::ALL {
                let reading = Reading::whole(&self.world, order);
                let thoughts = minds.thoughts(self.rules, &reading, memory, errand);
                let Some(usual) = thoughts.first() else {
                    break;
                };
                if !usual.look_closer || order == Order::ClaimsFirst {
                    if !usual.writes.is_empty() {
                        return Look::Acts(order);
                    }
                    until |= usual.wake_at.is_some();
                    break;
                }
            }
        }
        Look::Sleeps { until }
    }

    fn make(&mut self, it: Move, minds: &mut Minds) {
        let (world, order) = after(&self.world, self.rules, minds, it);
        self.sleeps = order.map(|host| self.sleeps[host].clone());
        self.world = world;
        let shown = watched(&self.world);
        let time = it == Move::TimePasses;
        for sleep in &mut self.sleeps {
            let Some(on) = &mut sleep.on else {
                continue;
            };
            // Time is no event: it wakes only who waits for it.
            if time && !sleep.until {
                *on = shown.clone();
            } else if time || *on != shown {
                *sleep = Sleep::default();
            }
        }
    }
}

/// What the watches show: everything but other people's pods.
fn watched(world: &World) -> Reading {
    let mut reading = Reading::whole(world, Order::ClaimsFirst);
    for (_, stranger) in reading.pods.iter_mut().flatten() {
        *stranger = false;
    }
    reading
}

/// What is wrong with a cluster in which nothing happens any more.
fn at_rest(world: &World, rules: &Rules, minds: &mut Minds) -> Option<Harm> {
    let reading = Reading::whole(world, Order::ClaimsFirst);
    let memory = world.hosts[0].memory.clone();
    let mut told: Vec<(Seat, Reason)> = Vec::new();
    let mut of_set = false;
    for errand in reading.errands() {
        let thoughts = minds.thoughts(rules, &reading, &memory, errand);
        let usual = thoughts.first()?;
        if let Some(write) = usual.writes.first() {
            return Some(Harm::Overlooked { seat: write.seat().unwrap_or_default() });
        }
        let is_about = |seat: &Seat| match errand {
            Errand::Set => true,
            Errand::LeftBehind(at) => at == *seat,
        };
        let reports = usual.reports.iter();
        // What is told of the whole set is told of each of its ordinals.
        of_set |= usual.reports.iter().any(|report| report.ordinal.is_none());
        let about =
            reports.filter_map(|report| Some((seat_of(report.ordinal?)?, report.reason.clone())));
        told.extend(about.filter(|(seat, _)| is_about(seat)));
    }
    let silence = |harm: &Harm| of_set && matches!(harm, Harm::Silence { .. });
    let mut harms = (0..rules.ordinals).filter_map(|seat| of_place(world, seat, &told));
    harms.find(|harm| !silence(harm))
}

fn of_place(world: &World, seat: Seat, told: &[(Seat, Reason)]) -> Option<Harm> {
    let place = &world.places[seat];
    let reason = told.iter().find(|(at, _)| *at == seat).map(|(_, reason)| reason);
    if let Some(reason) = reason.filter(|reason| passes(reason)) {
        return Some(Harm::Stale { seat, code: reason.code() });
    }
    let ours = world.set.as_ref().is_some_and(|set| set.care != Care::NotOurs);
    let drains = place
        .pod
        .as_ref()
        .and_then(Pod::marks)
        .is_some_and(|marks| (ours && world.has_set(marks.set)) || is_whole(marks, place));
    let claims = place.claims.iter().any(Option::is_some);
    let wanted = world.wants(seat);
    if (drains || (ours && claims && !wanted)) && reason.is_none() {
        return Some(Harm::Silence { seat });
    }
    let rests = place.pod.is_none() && place.back_off == BackOff::Rests;
    if wanted && ours && rests && reason.is_none() {
        return Some(Harm::NotWoken { seat });
    }
    None
}

/// Whether the claims that a drain pod's marks name are still those, or gone. A pod that a set which is gone left on other claims is nobody's,
/// and nobody is left to be told.
fn is_whole(marks: &Marks, place: &Place) -> bool {
    let mut pairs = marks.claims.iter().zip(&place.claims);
    pairs.all(|(uid, claim)| claim.as_ref().is_none_or(|claim| Some(claim.uid) == *uid))
}

/// Whether a reason should have passed in a cluster in which nothing happens any more.
fn passes(reason: &Reason) -> bool {
    match reason {
        Reason::MemberThere
        | Reason::Delayed { .. }
        | Reason::BackingOff { .. }
        | Reason::SealWithdrawn { .. }
        | Reason::PodLeaving
        | Reason::Collecting
        | Reason::WriteRefused { .. }
        | Reason::Unknown { .. }
        | Reason::PolicyFault { .. } => true,
        Reason::AnnotationUnreadable { .. }
        | Reason::WhenScaledDelete { .. }
        | Reason::Paused
        | Reason::ScaledToZero
        | Reason::BelowStart
        | Reason::SetTerminating
        | Reason::ClaimMissing { .. }
        | Reason::NotEnrolled { .. }
        | Reason::EnrolledElsewhere { .. }
        | Reason::RecordUnreadable { .. }
        | Reason::NotBound { .. }
        | Reason::ClaimTerminating { .. }
        | Reason::NameHeld { .. }
        | Reason::ClaimInUse { .. }
        | Reason::Queued
        | Reason::Held { .. }
        | Reason::PolicyWaits { .. }
        | Reason::PolicyKeeps { .. }
        | Reason::PolicyRefuses { .. }
        | Reason::PolicyFails { .. }
        | Reason::PolicyNotTaken { .. }
        | Reason::ConfigInvalid { .. }
        | Reason::PolicyTaken { .. }
        | Reason::TemplateRejected { .. }
        | Reason::NotProven { .. }
        | Reason::InUseAtTheEnd { .. }
        | Reason::PodHoldsData { .. }
        | Reason::ClaimLingers { .. }
        | Reason::HeldByFinalizers { .. }
        | Reason::AwaitsHigher
        | Reason::NobodyStays { .. }
        | Reason::Departs { .. }
        | Reason::StraySeal => false,
    }
}
