//! What people do, and what befalls their pods.

use crate::{
    Rules, canon,
    objects::{
        BackOff, Care, Cascade, Claim, Content, Culprit, Deletion, Fate, OnDeleted, Phase, Seat,
        SetObject, Start, Truth, World,
    },
    write::wake_controller,
};

/// The most generations that a set may have: more edits than that tell nothing else.
const GENERATIONS_MAX: u8 = 200;

/// Something that a person does, or that befalls a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// The set is scaled so that it wants so many of the world's ordinals.
    Scale(u8),
    /// `spec.ordinals.start` is raised above every ordinal of the world, or put back.
    MoveStart(Start),
    /// The set's annotations are changed.
    Annotate(Care),
    /// `spec.persistentVolumeClaimRetentionPolicy` is changed.
    Retain {
        /// What becomes of the claims of a member that is scaled away.
        when_scaled: Fate,
        /// What becomes of the claims when the set is deleted.
        when_deleted: Fate,
    },
    /// The set is deleted.
    DeleteSet(Cascade),
    /// A set of the same name is made. One whose claims stay when their members go wants all but the highest ordinal; one whose claims do not
    /// wants all.
    MakeSet(Fate),
    /// The pod of that name is deleted.
    DeletePod(Seat),
    /// The pod is evicted or preempted, or its node is lost: it is marked, then deleted.
    Evict(Seat),
    /// The pod's node shuts down: its processes end with exit code 0 on SIGTERM, and it is marked.
    ShutDown(Seat),
    /// The drain pod's process fails.
    Fail(Seat),
    /// The claim is deleted.
    DeleteClaim(Seat, usize),
    /// A claim of that name is made, with data from a backup.
    RestoreClaim(Seat, usize),
    /// A pod of another name begins to use the claims.
    StrangerComes(Seat),
    /// It ends.
    StrangerGoes(Seat),
}

impl Deed {
    /// Whether it is one of the surprises of which the explorer allows a number.
    #[must_use]
    pub const fn is_surprise(&self) -> bool {
        !matches!(self, Self::StrangerGoes(_))
    }
}

/// What people may do next.
#[must_use]
pub fn deeds(world: &World, rules: &Rules) -> Vec<Deed> {
    let mut deeds = match &world.set {
        None => [Fate::Retain, Fate::Delete].map(Deed::MakeSet).to_vec(),
        Some(set) => of_set(set, rules),
    };
    for (seat, place) in world.places.iter().enumerate().take(rules.ordinals) {
        if let Some(pod) = &place.pod {
            let running = pod.phase == Phase::Running;
            if !pod.terminating {
                deeds.extend([Deed::DeletePod(seat), Deed::Evict(seat)]);
            }
            if running && pod.marks().is_some() && !pod.terminating {
                deeds.extend([Deed::ShutDown(seat), Deed::Fail(seat)]);
            }
        }
        for (template, claim) in place.claims.iter().enumerate().take(rules.claims) {
            match claim {
                Some(claim) if claim.is_terminating() => {}
                Some(_) => deeds.push(Deed::DeleteClaim(seat, template)),
                None => deeds.push(Deed::RestoreClaim(seat, template)),
            }
        }
        let has_claims = place.claims.iter().any(Option::is_some);
        match place.stranger {
            true => deeds.push(Deed::StrangerGoes(seat)),
            false if has_claims => deeds.push(Deed::StrangerComes(seat)),
            false => {}
        }
    }
    deeds
}

/// A person does it.
pub fn act(world: &mut World, rules: &Rules, deed: Deed) {
    match deed {
        Deed::Scale(replicas) => edit(world, |set| set.replicas = replicas),
        Deed::MoveStart(start) => edit(world, |set| set.start = start),
        Deed::Annotate(care) => {
            if let Some(set) = &mut world.set {
                set.care = care;
                set.changed();
            }
            wake_controller(world);
        }
        Deed::Retain { when_scaled, when_deleted } => edit(world, |set| {
            (set.when_scaled, set.when_deleted) = (when_scaled, when_deleted);
        }),
        Deed::DeleteSet(cascade) => {
            match &mut world.set {
                Some(set) if set.held || cascade != Cascade::Background => {
                    set.going = Some(cascade);
                    set.generation = set.generation.saturating_add(1);
                    set.changed();
                }
                Some(_) | None => world.set = None,
            }
            forget_failures(world);
        }
        Deed::MakeSet(when_scaled) => world.set = Some(made(world, rules, when_scaled)),
        Deed::DeletePod(seat) | Deed::Evict(seat) => {
            if let Some(pod) = &mut world.places[seat].pod {
                pod.disrupted |= matches!(deed, Deed::Evict(_));
                pod.terminating = true;
                pod.changed();
            }
        }
        Deed::ShutDown(seat) | Deed::Fail(seat) => {
            if let Some(pod) = &mut world.places[seat].pod {
                let shut_down = matches!(deed, Deed::ShutDown(_));
                pod.phase = if shut_down { Phase::Succeeded } else { Phase::Failed };
                pod.disrupted |= shut_down;
                pod.changed();
            }
        }
        Deed::DeleteClaim(seat, template) => {
            if let Some(claim) = &mut world.places[seat].claims[template] {
                claim.deletion = Deletion::Background;
                claim.truth.deleted_by = Culprit::Person;
                claim.changed();
            }
        }
        Deed::RestoreClaim(seat, template) => {
            let uid = canon::fresh_claim(world, seat, template);
            let place = &mut world.places[seat];
            let is_heir = place.gone_by_host[template];
            place.claims[template] = Some(Claim {
                truth: Truth { content: Content::Data, is_heir, ..Truth::default() },
                ..bare_claim(uid)
            });
        }
        Deed::StrangerComes(seat) => world.places[seat].stranger = true,
        Deed::StrangerGoes(seat) => world.places[seat].stranger = false,
    }
}

/// A claim that somebody has just made.
pub(crate) const fn bare_claim(uid: u8) -> Claim {
    Claim {
        uid,
        version: uid,
        enrolled: None,
        owner_set: None,
        owner_pod: None,
        anchored: false,
        deletion: Deletion::None,
        record: None,
        truth: Truth { content: Content::Nothing, deleted_by: Culprit::Nobody, is_heir: false },
    }
}

fn of_set(set: &SetObject, rules: &Rules) -> Vec<Deed> {
    let ordinals = u8::try_from(rules.ordinals).unwrap_or(u8::MAX);
    let mut deeds = Vec::new();
    if set.going.is_none() {
        let cascades = [Cascade::Background, Cascade::Foreground, Cascade::Orphan];
        deeds.extend(cascades.map(Deed::DeleteSet));
    }
    if set.going.is_none() && set.generation < GENERATIONS_MAX {
        let fates = [Fate::Retain, Fate::Delete];
        let policies = fates.into_iter().flat_map(|scaled| fates.map(|deleted| (scaled, deleted)));
        let others = policies.filter(|it| *it != (set.when_scaled, set.when_deleted));
        deeds.extend(
            others.map(|(when_scaled, when_deleted)| Deed::Retain { when_scaled, when_deleted }),
        );
        deeds.extend((0..=ordinals).filter(|it| *it != set.replicas).map(Deed::Scale));
        deeds.push(Deed::MoveStart(match set.start {
            Start::Zero => Start::Above,
            Start::Above => Start::Zero,
        }));
    }
    let cares = [Care::Ours, Care::Paused, Care::NotOurs];
    deeds.extend(cares.into_iter().filter(|care| *care != set.care).map(Deed::Annotate));
    deeds
}

fn edit(world: &mut World, change: impl FnOnce(&mut SetObject)) {
    if let Some(set) = &mut world.set {
        change(set);
        set.generation = set.generation.saturating_add(1);
        set.changed();
    }
    forget_failures(world);
    wake_controller(world);
}

/// A member that is not wanted any more does not fail to be made, and so the controller has nothing to rest from.
pub(crate) fn forget_failures(world: &mut World) {
    for seat in 0..world.places.len() {
        if !world.wants(seat) {
            world.places[seat].back_off = BackOff::None;
        }
    }
}

/// A set that differs from every one that anybody still speaks of.
fn made(world: &World, rules: &Rules, when_scaled: Fate) -> SetObject {
    let uid = canon::fresh_set(world);
    let wanted = match when_scaled {
        Fate::Retain => rules.ordinals.saturating_sub(1),
        Fate::Delete => rules.ordinals,
    };
    SetObject {
        uid,
        generation: 1,
        replicas: u8::try_from(wanted).unwrap_or(u8::MAX),
        start: Start::Zero,
        care: Care::Ours,
        when_scaled,
        when_deleted: Fate::Retain,
        on_deleted: OnDeleted::AsTheSet,
        version: 0,
        held: false,
        going: None,
    }
}
