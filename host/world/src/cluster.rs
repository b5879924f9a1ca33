//! What Kubernetes does by itself: the set's controller, the garbage collector, the protection of claims, the scheduler and the kubelet. Each
//! deed is one that the real one may do at this moment, and each may be as late as it likes.

use crate::{
    Rules, canon,
    harm::Harm,
    objects::{
        BackOff, Cascade, Claim, Content, Culprit, Deletion, Fate, Kind, Moment, NO_SET, Phase,
        Place, Pod, Seat, SetObject, Truth, World,
    },
    people::{bare_claim, forget_failures},
};

/// Something that Kubernetes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// The set's controller deletes a member that the set does not want, and says before whose its claims are then.
    DeletesMember(Seat),
    /// The set's controller makes missing claims and a member that the set wants, or finds that it cannot and rests.
    MakesMember(Seat),
    /// The scheduler finds a node, and the kubelet starts the pod.
    Starts(Seat),
    /// The drain pod's processes end by themselves with exit code 0.
    Succeeds(Seat),
    /// The processes of a drain pod that is being deleted end on SIGTERM, with exit code 0.
    Stops(Seat),
    /// A pod that is being deleted is gone.
    PodGoes(Seat),
    /// The garbage collector deletes a pod whose owner is gone, or takes it with it.
    CollectsPod(Seat),
    /// The garbage collector deletes a claim whose owners are all gone.
    CollectsClaim(Seat, usize),
    /// The garbage collector strikes owners that are gone from a claim that has another.
    StrikesOwners(Seat, usize),
    /// A claim that is being deleted is gone.
    ClaimGoes(Seat, usize),
    /// The set's controller says anew whose the claims of a member are, because the set's retention policy is another.
    OwnsClaims(Seat),
    /// The garbage collector takes the set, which is deleted with its pods left behind, from its member.
    OrphansMember(Seat),
    /// The set's controller takes on a member that a set before it left behind.
    AdoptsMember(Seat),
    /// A set that is being deleted is gone.
    SetGoes,
}

/// What Kubernetes may do next.
#[must_use]
pub fn deeds(world: &World, rules: &Rules) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for (seat, place) in world.places.iter().enumerate().take(rules.ordinals) {
        let wanted = world.wants(seat);
        if let Some(pod) = &place.pod {
            of_pod(world, seat, place, pod, &mut deeds);
        }
        if wanted && makes_something(place, rules) {
            deeds.push(Deed::MakesMember(seat));
        }
        for (template, claim) in place.claims.iter().enumerate().take(rules.claims) {
            if let Some(claim) = claim {
                of_claim(world, (seat, template), place, claim, &mut deeds);
            }
        }
    }
    if set_goes(world) {
        deeds.push(Deed::SetGoes);
    }
    deeds
}

/// Kubernetes does it.
pub fn act(world: &mut World, rules: &Rules, deed: Deed) {
    match deed {
        Deed::DeletesMember(seat) => delete_member(world, seat),
        Deed::MakesMember(seat) => make_member(world, rules, seat),
        Deed::Starts(seat) => start(world, seat),
        Deed::Succeeds(seat) => succeed(&mut world.places[seat]),
        Deed::Stops(seat) => with_pod(world, seat, |pod| pod.phase = Phase::Succeeded),
        Deed::PodGoes(seat) => {
            let wanted = world.wants(seat);
            let place = &mut world.places[seat];
            let pod = place.pod.take();
            if wanted && pod.is_some_and(|pod| pod.marks().is_some()) {
                place.back_off = BackOff::Rests;
            }
        }
        Deed::CollectsPod(seat) => with_pod(world, seat, |pod| pod.terminating = true),
        Deed::CollectsClaim(seat, template) => {
            let owned = is_owned(&world.places[seat], template);
            let in_turn = world.set.as_ref().map(|set| set.uid).filter(|uid| !world.keeps(*uid));
            if let Some(claim) = &mut world.places[seat].claims[template] {
                // An owner that goes in the foreground has what it owns go in the same way, where that owns something.
                let foreground = owned && in_turn.is_some() && claim.owner_set == in_turn;
                claim.deletion =
                    if foreground { Deletion::Foreground } else { Deletion::Background };
                claim.truth.deleted_by = Culprit::Collector;
                claim.changed();
            }
        }
        Deed::StrikesOwners(seat, template) => {
            let owners =
                world.places[seat].claims[template].as_ref().map(|it| living(world, seat, it));
            if let (Some(claim), Some((set, pod))) =
                (&mut world.places[seat].claims[template], owners)
            {
                (claim.owner_set, claim.owner_pod) = (set, pod);
                claim.changed();
            }
        }
        Deed::ClaimGoes(seat, template) => {
            let place = &mut world.places[seat];
            let claim = place.claims[template].take();
            place.gone_by_host[template] =
                claim.is_some_and(|claim| claim.truth.deleted_by == Culprit::Host);
        }
        Deed::OwnsClaims(seat) => {
            let owner = world.set.as_ref().and_then(set_that_owns);
            for claim in world.places[seat].claims.iter_mut().flatten() {
                own(claim, owner, None);
            }
        }
        Deed::OrphansMember(seat) => {
            with_pod(world, seat, |pod| pod.kind = Kind::Member { set: NO_SET });
        }
        Deed::AdoptsMember(seat) => {
            let set = world.set.as_ref().map_or(NO_SET, |set| set.uid);
            with_pod(world, seat, |pod| pod.kind = Kind::Member { set });
        }
        Deed::SetGoes => {
            world.set = None;
            forget_failures(world);
        }
    }
}

/// A set that is deleted in the foreground goes after its members, one that leaves them behind after it has let go of all.
fn set_goes(world: &World) -> bool {
    let Some(set) = world.set.as_ref().filter(|set| !set.held) else {
        return false;
    };
    let is_member = |place: &Place| {
        place.pod.as_ref().is_some_and(|pod| pod.kind == Kind::Member { set: set.uid })
    };
    let owns =
        |place: &Place| place.claims.iter().flatten().any(|claim| claim.owner_set == Some(set.uid));
    match set.going {
        None | Some(Cascade::Background) => false,
        Some(Cascade::Foreground) => !world.places.iter().any(is_member),
        Some(Cascade::Orphan) => !world.places.iter().any(|it| is_member(it) || owns(it)),
    }
}

/// Whether anything waits for time to pass.
#[must_use]
pub fn anything_ahead(world: &World) -> bool {
    let ahead = Some(Moment::Ahead);
    world.places.iter().any(|place| {
        let noted = |claim: &Claim| claim.record.as_ref().and_then(|note| note.not_before) == ahead;
        place.pod.as_ref().is_some_and(|pod| pod.drained == ahead)
            || place.claims.iter().flatten().any(noted)
    })
}

/// What was ahead has passed.
pub fn pass_time(world: &mut World) {
    for place in &mut world.places {
        let drained = place.pod.iter_mut().filter_map(|pod| pod.drained.as_mut());
        let notes = place.claims.iter_mut().flatten().filter_map(|claim| claim.record.as_mut());
        let noted = notes.filter_map(|note| note.not_before.as_mut());
        drained.chain(noted).for_each(|moment| *moment = Moment::Passed);
    }
}

fn of_pod(world: &World, seat: Seat, place: &Place, pod: &Pod, deeds: &mut Vec<Deed>) {
    let claims_stand = place.claims.iter().flatten().all(|claim| !claim.is_terminating());
    let is_drain = pod.marks().is_some();
    match pod.phase {
        Phase::Unscheduled
            if !pod.terminating && claims_stand && names_only_what_is(place, pod) =>
        {
            deeds.push(Deed::Starts(seat));
        }
        Phase::Running if is_drain && pod.terminating => deeds.push(Deed::Stops(seat)),
        Phase::Running if is_drain => deeds.push(Deed::Succeeds(seat)),
        Phase::Unscheduled | Phase::Running | Phase::Succeeded | Phase::Failed => {}
    }
    let still_runs = is_drain && pod.phase == Phase::Running;
    if pod.terminating && !pod.sealed && !still_runs {
        deeds.push(Deed::PodGoes(seat));
    }
    match &pod.kind {
        Kind::Member { set } => {
            if !pod.terminating && *set != NO_SET && !world.keeps(*set) {
                deeds.push(Deed::CollectsPod(seat));
            }
            of_member(world, (seat, place), (*set, pod.terminating), deeds);
        }
        Kind::Drain(marks) => {
            let owner = place.claims[0].as_ref().filter(|claim| Some(claim.uid) == marks.claims[0]);
            let goes = owner.is_none_or(|claim| claim.deletion == Deletion::Foreground);
            if !pod.terminating && goes && marks.claims[0].is_some() {
                deeds.push(Deed::CollectsPod(seat));
            }
        }
    }
}

/// What the set's controller and the garbage collector do with a member of the set that is there.
fn of_member(
    world: &World,
    (seat, place): (Seat, &Place),
    (owner, terminating): (u8, bool),
    deeds: &mut Vec<Deed>,
) {
    let Some(set) = &world.set else {
        return;
    };
    let has_claim = place.claims.iter().flatten().any(|claim| !claim.is_terminating());
    match set.going {
        None if owner == NO_SET && !terminating => deeds.push(Deed::AdoptsMember(seat)),
        None if owner == set.uid && !terminating && !world.wants(seat) => {
            deeds.push(Deed::DeletesMember(seat));
        }
        None if owner == set.uid && !terminating && has_claim => {
            let owners = (set_that_owns(set), None);
            let differs = |claim: &Claim| (claim.owner_set, claim.owner_pod) != owners;
            if place.claims.iter().flatten().any(differs) {
                deeds.push(Deed::OwnsClaims(seat));
            }
        }
        Some(Cascade::Orphan) if owner == set.uid => deeds.push(Deed::OrphansMember(seat)),
        None | Some(Cascade::Background | Cascade::Foreground | Cascade::Orphan) => {}
    }
}

/// The set, where it is to own its members' claims.
fn set_that_owns(set: &SetObject) -> Option<u8> {
    (set.when_deleted == Fate::Delete).then_some(set.uid)
}

fn of_claim(
    world: &World,
    (seat, template): (Seat, usize),
    place: &Place,
    claim: &Claim,
    deeds: &mut Vec<Deed>,
) {
    let living = living(world, seat, claim);
    let some_dead = living != (claim.owner_set, claim.owner_pod);
    if !claim.is_terminating() && some_dead {
        // A set that leaves behind what it owns takes its name off, and nothing is deleted for it.
        let left_behind = living.0.is_none() && claim.owner_set.is_some_and(|it| world.keeps(it));
        let all_dead = living == (None, None) && !claim.anchored && !left_behind;
        deeds.push(if all_dead {
            Deed::CollectsClaim(seat, template)
        } else {
            Deed::StrikesOwners(seat, template)
        });
    }
    let is_owned = is_owned(place, template);
    let held = place.stranger
        || place.pod.as_ref().is_some_and(Pod::holds_claims)
        || (claim.deletion == Deletion::Foreground && is_owned);
    if claim.is_terminating() && !held {
        deeds.push(Deed::ClaimGoes(seat, template));
    }
}

/// Whether the claim owns the pod of its ordinal.
fn is_owned(place: &Place, template: usize) -> bool {
    let claim = place.claims[template].as_ref().map(|claim| claim.uid);
    let marks = place.pod.as_ref().and_then(Pod::marks);
    marks.is_some_and(|marks| template == 0 && claim.is_some() && marks.claims[0] == claim)
}

/// Which of the claim's owners are still there and keep it.
fn living(world: &World, seat: Seat, claim: &Claim) -> (Option<u8>, Option<u8>) {
    let pod = world.places[seat].pod.as_ref().map(|pod| pod.uid);
    let orphans = world.set.as_ref().is_some_and(|set| set.going == Some(Cascade::Orphan));
    let set = claim.owner_set.filter(|owner| world.keeps(*owner) && !orphans);
    (set, claim.owner_pod.filter(|owner| pod == Some(*owner)))
}

/// Whether every claim that the pod mounts is there.
fn names_only_what_is(place: &Place, pod: &Pod) -> bool {
    match &pod.kind {
        Kind::Member { .. } => true,
        Kind::Drain(marks) => {
            let mut pairs = marks.claims.iter().zip(&place.claims);
            pairs.all(|(marked, claim)| marked.is_none() || claim.is_some())
        }
    }
}

/// The controller makes what is missing as long as nobody of its own bears the name: claims even where the name is held by another.
fn makes_something(place: &Place, rules: &Rules) -> bool {
    let missing = place.claims.iter().take(rules.claims).any(Option::is_none);
    match &place.pod {
        Some(Pod { kind: Kind::Member { .. }, .. }) => false,
        Some(Pod { kind: Kind::Drain(_), .. }) => missing,
        None => {
            let doomed = place.claims.iter().flatten().any(Claim::is_terminating);
            missing || !doomed || (place.back_off == BackOff::Woken && dooms_by_host(place))
        }
    }
}

fn delete_member(world: &mut World, seat: Seat) {
    let Some(set) = &world.set else {
        return;
    };
    let (when_scaled, when_deleted, uid) = (set.when_scaled, set.when_deleted, set.uid);
    let Place { pod: Some(pod), claims, .. } = &mut world.places[seat] else {
        return;
    };
    for claim in claims.iter_mut().flatten().filter(|claim| !claim.is_terminating()) {
        let (owner_set, owner_pod) = match (when_deleted, when_scaled) {
            (Fate::Retain, Fate::Retain) => (None, None),
            (Fate::Delete, Fate::Retain) => (Some(uid), None),
            (Fate::Retain | Fate::Delete, Fate::Delete) => (None, Some(pod.uid)),
        };
        own(claim, owner_set, owner_pod);
    }
    pod.terminating = true;
    pod.changed();
}

fn make_member(world: &mut World, rules: &Rules, seat: Seat) {
    let Some(SetObject { uid: set, when_deleted, .. }) = world.set.clone() else {
        return;
    };
    let owner_set = (when_deleted == Fate::Delete).then_some(set);
    for template in 0..rules.claims {
        if world.places[seat].claims[template].is_none() {
            let uid = canon::fresh_claim(world, seat, template);
            let place = &mut world.places[seat];
            let truth = Truth { is_heir: place.gone_by_host[template], ..Truth::default() };
            place.claims[template] = Some(Claim { owner_set, truth, ..bare_claim(uid) });
        }
    }
    let uid = canon::fresh_pod(world, seat);
    let place = &mut world.places[seat];
    if place.claims.iter().flatten().any(Claim::is_terminating) {
        if place.back_off == BackOff::Woken && dooms_by_host(place) {
            place.back_off = BackOff::Rests;
        }
        return;
    }
    if place.pod.is_some() {
        return;
    }
    for claim in place.claims.iter_mut().flatten() {
        own(claim, owner_set, None);
    }
    place.back_off = BackOff::None;
    place.pod = Some(Pod::created(uid, Kind::Member { set }));
}

/// What a person's deletion does to the controller's patience is not for the hosts to mend.
fn dooms_by_host(place: &Place) -> bool {
    let mut claims = place.claims.iter().flatten();
    claims.any(|claim| claim.truth.deleted_by == Culprit::Host)
}

fn own(claim: &mut Claim, owner_set: Option<u8>, owner_pod: Option<u8>) {
    if (claim.owner_set, claim.owner_pod) != (owner_set, owner_pod) {
        (claim.owner_set, claim.owner_pod) = (owner_set, owner_pod);
        claim.changed();
    }
}

fn start(world: &mut World, seat: Seat) {
    let Place { pod: Some(pod), claims, .. } = &mut world.places[seat] else {
        return;
    };
    pod.phase = Phase::Running;
    pod.changed();
    if pod.marks().is_some() {
        return;
    }
    let mut claims: Vec<&mut Claim> = claims.iter_mut().flatten().collect();
    let is_fresh =
        |claim: &&mut Claim| claim.truth.content == Content::Nothing && claim.truth.is_heir;
    let is_old =
        |claim: &&mut Claim| claim.truth.content != Content::Nothing && !claim.truth.is_heir;
    let half = claims.iter().any(is_fresh) && claims.iter().any(is_old);
    for claim in &mut claims {
        claim.truth.content = Content::Data;
        claim.truth.is_heir = false;
    }
    let condemned = claims.iter().any(|claim| claim.truth.deleted_by == Culprit::Host);
    if condemned {
        world.suffers(Harm::WritesToCondemned { seat });
    }
    if half {
        world.suffers(Harm::HalfOfItsData { seat });
    }
}

fn succeed(place: &mut Place) {
    let Place { pod: Some(pod), claims, .. } = place else {
        return;
    };
    pod.phase = Phase::Succeeded;
    pod.changed();
    let Some(marks) = pod.marks() else {
        return;
    };
    for (claim, marked) in claims.iter_mut().zip(marks.claims) {
        let mounted = claim.as_mut().filter(|claim| Some(claim.uid) == marked);
        if let Some(claim) = mounted.filter(|claim| claim.truth.content == Content::Data) {
            claim.truth.content = Content::Moved;
        }
    }
}

fn with_pod(world: &mut World, seat: Seat, change: impl FnOnce(&mut Pod)) {
    if let Some(pod) = &mut world.places[seat].pod {
        change(pod);
        pod.changed();
    }
}
