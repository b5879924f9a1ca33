//! A small world in which the real planner and the real checker run: one set, its pods and claims, what Kubernetes does with them, people,
//! a policy that may answer anything, and hosts that may die between any two requests. It is searched for what must never happen.
//!
//! | file | tells |
//! | --- | --- |
//! | `objects.rs` | what there is |
//! | `cluster.rs` | what Kubernetes does by itself: set controller, garbage collector, claim protection, scheduler, kubelet |
//! | `people.rs` | what people do, and what befalls their pods |
//! | `policy.rs` | what the policy answers |
//! | `host.rs` | what a host does between two requests, and how its pass can be broken off |
//! | `sight.rs`, `mind.rs` | what a host read → `Seen`, and the plan → its requests |
//! | `intent.rs` | what a plan means to do, held against what was read |
//! | `write.rs` | what the API server does with a request |
//! | `harm.rs` | what must never happen |
//! | `moves.rs` | everything that may happen next |
//! | `turns.rs`, `normal.rs`, `canon.rs` | the same with what makes no difference left out: what the search goes through |
//! | `quiet.rs` | what becomes of a cluster that is left alone |
//! | `explore.rs`, `search.rs` | the search, and that of one beginning |
//! | `table.rs`, `frontier.rs`, `hash.rs` | what it keeps in mind, in little room |
//! | `trace.rs` | a way to a world, in words |
//! | `script.rs` | scenarios known from the real Kubernetes, played in the world |
//! | `sabotage.rs` | guards taken out, to see that the search finds what they guard against |
//!
//! What is left out, and why nothing is lost by it: caches (a pass may begin at any moment, whatever the watches show; a plan made of an old
//! reading is a plan whose writes are late, and those are here), the lease (two hosts may act at any moment), the policy's state, delays and
//! bounds on ordinals at once other than one number, webhooks, and volumes that are not bound. That a drain pod bears the member's name holds
//! here by construction; that the real one does is for the tests of the host to show.
//!
//! A crate of its own, so that the core stays free of everything that does not decide.

pub mod canon;
pub mod cluster;
pub mod explore;
mod frontier;
pub mod harm;
mod hash;
pub mod host;
mod intent;
pub mod mind;
pub mod moves;
mod normal;
pub mod objects;
pub mod people;
pub mod policy;
pub mod quiet;
pub mod sabotage;
pub mod script;
mod search;
pub mod sight;
mod table;
pub mod trace;
pub mod turns;
pub mod write;

use host::{Host, Memory};
use objects::{
    CLAIMS_MAX, Care, Claim, Content, Fate, HOSTS_MAX, Kind, ORDINALS_MAX, OnDeleted, Phase, Place,
    Pod, SetObject, Start, Truth, World,
};
use sabotage::Sabotage;

/// What a world is made of, and how much may happen in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many ordinals it has, beside ordinal 0, to which nothing happens.
    pub ordinals: usize,
    /// How many claims an ordinal has.
    pub claims: usize,
    /// How many hosts act at once.
    pub hosts: usize,
    /// How many requests may be late at once.
    pub late: usize,
    /// How many hosts may begin a reading of which a part is no longer so before they decide; counts where what makes no difference is left out.
    pub readers: usize,
    /// How many surprises may happen.
    pub surprises: usize,
    /// How many drain pods the set may have at once.
    pub max_parallel: u32,
    /// The guard that the hosts lack.
    pub sabotage: Option<Sabotage>,
    /// Whether worlds are told apart that nobody in them can.
    pub reduction: Reduction,
}

/// Whether the search leaves out what makes no difference: see `turns.rs` and `normal.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// It leaves nothing out.
    None,
    /// It does.
    Lazy,
}

impl Default for Rules {
    /// The least world in which something happens.
    fn default() -> Self {
        Self {
            ordinals: 1,
            claims: 1,
            hosts: 1,
            late: 1,
            readers: HOSTS_MAX,
            surprises: 2,
            max_parallel: 1,
            sabotage: None,
            reduction: Reduction::Lazy,
        }
    }
}

impl Rules {
    /// The worlds that everything begins with: every member runs on its claims; either nothing is enrolled yet, or everything is and the set
    /// has just been scaled down to ordinal 0; each for everything that Kubernetes may be told to do with claims.
    #[must_use]
    pub fn beginnings(&self) -> Vec<World> {
        let asked = [
            (Fate::Retain, Fate::Retain, OnDeleted::AsTheSet),
            (Fate::Retain, Fate::Delete, OnDeleted::AsTheSet),
            (Fate::Delete, Fate::Retain, OnDeleted::AsTheSet),
            (Fate::Delete, Fate::Delete, OnDeleted::AsTheSet),
            (Fate::Retain, Fate::Delete, OnDeleted::Drain),
        ];
        let mut beginnings = Vec::new();
        for (when_scaled, when_deleted, on_deleted) in asked {
            for enrolled in [None, Some(FIRST_SET)] {
                let replicas = if enrolled.is_some() { 0 } else { self.ordinals };
                let set = SetObject {
                    uid: FIRST_SET,
                    generation: 1,
                    replicas: u8::try_from(replicas).unwrap_or(u8::MAX),
                    start: Start::Zero,
                    care: Care::Ours,
                    when_scaled,
                    when_deleted,
                    on_deleted,
                    version: 0,
                    held: enrolled.is_some() && on_deleted == OnDeleted::Drain,
                    going: None,
                };
                beginnings.push(self.beginning(set, enrolled));
            }
        }
        beginnings
    }

    fn beginning(&self, set: SetObject, enrolled: Option<u8>) -> World {
        let anchors = set.when_scaled == Fate::Delete || set.on_deleted == OnDeleted::Drain;
        let anchored = enrolled.is_some() && anchors;
        let owner_set = (set.when_deleted == Fate::Delete).then_some(FIRST_SET);
        let claim = Claim {
            enrolled,
            owner_set,
            anchored,
            truth: Truth { content: Content::Data, ..Truth::default() },
            ..people::bare_claim(1)
        };
        let member =
            Pod { phase: Phase::Running, ..Pod::created(1, Kind::Member { set: FIRST_SET }) };
        let place = |seat: usize| {
            let is_there = seat < self.ordinals;
            let claims = std::array::from_fn::<_, CLAIMS_MAX, _>(|template| {
                (is_there && template < self.claims).then(|| claim.clone())
            });
            Place { pod: is_there.then(|| member.clone()), claims, ..Place::default() }
        };
        let memory = Memory { set: Some(FIRST_SET), held: [false; ORDINALS_MAX] };
        let host = |host: usize| match host < self.hosts {
            true => Host { memory: memory.clone(), ..Host::default() },
            false => Host::default(),
        };
        let mut world = World {
            set: Some(set),
            places: std::array::from_fn(place),
            hosts: std::array::from_fn::<_, HOSTS_MAX, _>(host),
            late: Vec::new(),
            harm: None,
        };
        canon::canonical(&mut world, self);
        world
    }
}

/// The identity of the set that everything begins with.
const FIRST_SET: u8 = 1;
