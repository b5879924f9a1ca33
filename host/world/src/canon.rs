//! One world for all that differ in numbers alone. Identities and versions say nothing but which are the same and which came later, so
//! they are counted anew, place by place, from those that anybody still knows; and whose turn a host has is not in its name.

use crate::{
    Reduction, Rules,
    host::{Host, Reading, Step},
    objects::{CLAIMS_MAX, Claim, HOSTS_MAX, Kind, ORDINALS_MAX, Place, Pod, Seat, World},
    write::Write,
};

/// The identities or the versions known at one place, one bit each.
#[derive(Clone, Copy, Default)]
struct Known(u128);

impl Known {
    fn add(&mut self, number: u8) {
        self.0 |= 1_u128.checked_shl(u32::from(number)).unwrap_or_default();
    }

    /// How many known numbers are smaller; the order is kept and the gaps are closed.
    fn rank(self, number: u8) -> u8 {
        let below = 1_u128.checked_shl(u32::from(number)).map_or(u128::MAX, |bit| bit - 1);
        u8::try_from((self.0 & below).count_ones()).unwrap_or(u8::MAX)
    }

    /// A number later than all that are known.
    fn next(self) -> u8 {
        u8::try_from(u128::BITS - self.0.leading_zeros()).unwrap_or(u8::MAX)
    }
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    PodUid(Seat),
    PodVersion(Seat),
    ClaimUid(Seat, usize),
    ClaimVersion(Seat, usize),
    SetVersion,
}

/// How many kinds of numbers there are: two a pod, two a claim, one of the set.
const KINDS: usize = ORDINALS_MAX * 2 + ORDINALS_MAX * CLAIMS_MAX * 2 + 1;

impl Number {
    const fn index(self) -> usize {
        let claims = ORDINALS_MAX * 2;
        match self {
            Self::PodUid(seat) => seat * 2,
            Self::PodVersion(seat) => seat * 2 + 1,
            Self::ClaimUid(seat, template) => claims + (seat * CLAIMS_MAX + template) * 2,
            Self::ClaimVersion(seat, template) => claims + (seat * CLAIMS_MAX + template) * 2 + 1,
            Self::SetVersion => KINDS - 1,
        }
    }
}

/// Counts every number of the world anew, and puts hosts and late requests in an order of their own. Returns which host stands where.
///
/// A version that an object no longer has fits nothing for ever, whichever it is: one number stands for all of them.
pub fn canonical(world: &mut World, rules: &Rules) -> [usize; HOSTS_MAX] {
    let mut known = [Known::default(); KINDS];
    visit(world, &mut |kind, number| known[kind.index()].add(*number));
    let current = current_versions(world);
    visit(world, &mut |kind, number| {
        *number = match kind {
            Number::PodUid(_) | Number::ClaimUid(..) => known[kind.index()].rank(*number),
            Number::PodVersion(_) | Number::ClaimVersion(..) | Number::SetVersion => {
                match rules.reduction {
                    Reduction::None => known[kind.index()].rank(*number),
                    Reduction::Lazy => u8::from(current[kind.index()] == Some(*number)),
                }
            }
        };
    });
    world.late.sort();
    world.late.dedup();
    let mut order = std::array::from_fn(|host| host);
    if rules.hosts == HOSTS_MAX && world.hosts[1] < world.hosts[0] {
        world.hosts.swap(0, 1);
        order.swap(0, 1);
    }
    order
}

/// The version that each object has at this moment.
fn current_versions(world: &World) -> [Option<u8>; KINDS] {
    let mut current = [None; KINDS];
    current[Number::SetVersion.index()] = world.set.as_ref().map(|set| set.version);
    for (seat, place) in world.places.iter().enumerate() {
        current[Number::PodVersion(seat).index()] = place.pod.as_ref().map(|pod| pod.version);
        for (template, claim) in place.claims.iter().enumerate() {
            let version = claim.as_ref().map(|claim| claim.version);
            current[Number::ClaimVersion(seat, template).index()] = version;
        }
    }
    current
}

/// An identity and a version that no pod of this place has had, as far as anybody knows.
pub(crate) fn fresh_pod(world: &mut World, seat: Seat) -> u8 {
    let of = [Number::PodUid(seat), Number::PodVersion(seat)];
    fresh(world, of)
}

/// The same for a claim.
pub(crate) fn fresh_claim(world: &mut World, seat: Seat, template: usize) -> u8 {
    let of = [Number::ClaimUid(seat, template), Number::ClaimVersion(seat, template)];
    fresh(world, of)
}

/// An identity that no set has had, as far as anybody in the world knows.
pub(crate) fn fresh_set(world: &World) -> u8 {
    let mut known = Known::default();
    known.add(0);
    for place in &world.places {
        if let Some(pod) = &place.pod {
            known.add(set_of(&pod.kind));
        }
        for claim in place.claims.iter().flatten() {
            let note = claim.record.as_ref().map(|note| note.set);
            claim
                .enrolled
                .into_iter()
                .chain(claim.owner_set)
                .chain(note)
                .for_each(|it| known.add(it));
        }
    }
    for host in &world.hosts {
        host.memory.set.into_iter().for_each(|it| known.add(it));
        match &host.step {
            Step::Idle => {}
            Step::Reading(reading) => {
                reading.set.iter().flatten().for_each(|set| known.add(set.uid));
                let pods = reading.pods.iter().flatten().filter_map(|(pod, _)| pod.as_ref());
                pods.for_each(|pod| known.add(set_of(&pod.kind)));
            }
            Step::Writing(writes) => writes.iter().for_each(|write| known.add(set_of_write(write))),
        }
    }
    world.late.iter().for_each(|write| known.add(set_of_write(write)));
    known.next()
}

const fn set_of(kind: &Kind) -> u8 {
    match kind {
        Kind::Member { set } => *set,
        Kind::Drain(marks) => marks.set,
    }
}

/// The set that a write names; 0, which no set is, where it names none.
const fn set_of_write(write: &Write) -> u8 {
    match write {
        Write::Enrol { set, .. } | Write::Touch { set, .. } => *set,
        Write::Note { note, .. } => note.set,
        Write::CreatePod { marks, .. } => marks.set,
        Write::Fence(_)
        | Write::DeleteClaim { .. }
        | Write::Seal(_)
        | Write::GiveBack(_)
        | Write::Unseal { .. }
        | Write::DeleteMember(_)
        | Write::DeletePod(_) => 0,
        Write::Hold(set) | Write::LetGo(set) => set.uid,
    }
}

fn fresh(world: &mut World, of: [Number; 2]) -> u8 {
    let mut known = Known::default();
    visit(world, &mut |kind, number| {
        if of.contains(&kind) {
            known.add(*number);
        }
    });
    known.next()
}

type Visitor<'a> = dyn FnMut(Number, &mut u8) + 'a;

fn visit(world: &mut World, see: &mut Visitor<'_>) {
    if let Some(set) = &mut world.set {
        see(Number::SetVersion, &mut set.version);
    }
    for (seat, Place { pod, claims, .. }) in world.places.iter_mut().enumerate() {
        if let Some(pod) = pod {
            visit_pod(pod, seat, see);
        }
        visit_claims(claims, seat, see);
    }
    for write in &mut world.late {
        visit_write(write, see);
    }
    for Host { step, .. } in &mut world.hosts {
        match step {
            Step::Idle => {}
            Step::Reading(reading) => visit_reading(reading, see),
            Step::Writing(writes) => {
                for write in writes {
                    visit_write(write, see);
                }
            }
        }
    }
}

fn visit_reading(reading: &mut Reading, see: &mut Visitor<'_>) {
    if let Some(Some(set)) = &mut reading.set {
        see(Number::SetVersion, &mut set.version);
    }
    for (seat, claims) in reading.claims.iter_mut().flatten().enumerate() {
        visit_claims(claims, seat, see);
    }
    for (seat, (pod, _)) in reading.pods.iter_mut().flatten().enumerate() {
        if let Some(pod) = pod {
            visit_pod(pod, seat, see);
        }
    }
}

fn visit_pod(pod: &mut Pod, seat: Seat, see: &mut Visitor<'_>) {
    see(Number::PodUid(seat), &mut pod.uid);
    see(Number::PodVersion(seat), &mut pod.version);
    if let Kind::Drain(marks) = &mut pod.kind {
        for (template, uid) in marks.claims.iter_mut().enumerate() {
            if let Some(uid) = uid {
                see(Number::ClaimUid(seat, template), uid);
            }
        }
    }
}

fn visit_claims(claims: &mut [Option<Claim>; CLAIMS_MAX], seat: Seat, see: &mut Visitor<'_>) {
    for (template, claim) in claims.iter_mut().enumerate() {
        if let Some(claim) = claim {
            see(Number::ClaimUid(seat, template), &mut claim.uid);
            see(Number::ClaimVersion(seat, template), &mut claim.version);
            if let Some(owner) = &mut claim.owner_pod {
                see(Number::PodUid(seat), owner);
            }
        }
    }
}

fn visit_write(write: &mut Write, see: &mut Visitor<'_>) {
    match write {
        Write::Enrol { claim, .. }
        | Write::Note { claim, .. }
        | Write::Fence(claim)
        | Write::DeleteClaim { claim, .. } => {
            see(Number::ClaimUid(claim.seat, claim.template), &mut claim.uid);
            see(Number::ClaimVersion(claim.seat, claim.template), &mut claim.version);
        }
        Write::Seal(pod)
        | Write::GiveBack(pod)
        | Write::Unseal { pod, .. }
        | Write::DeleteMember(pod)
        | Write::DeletePod(pod) => {
            see(Number::PodUid(pod.seat), &mut pod.uid);
            see(Number::PodVersion(pod.seat), &mut pod.version);
        }
        Write::CreatePod { seat, marks } => {
            for (template, uid) in marks.claims.iter_mut().enumerate() {
                if let Some(uid) = uid {
                    see(Number::ClaimUid(*seat, template), uid);
                }
            }
        }
        Write::Hold(set) | Write::LetGo(set) => see(Number::SetVersion, &mut set.version),
        Write::Touch { .. } => {}
    }
}
