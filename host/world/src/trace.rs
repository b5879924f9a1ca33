//! A way to a world, in words.

use crate::{
    Rules,
    canon::canonical,
    cluster,
    explore::Violation,
    host::{Delivery, Errand, Minds, Part, Step},
    moves::{Move, make},
    objects::{Care, Cascade, Deletion, Fate, HOSTS_MAX, OnDeleted, Seat, Start, World},
    people,
    policy::Odd,
    sight::TEMPLATES,
    turns::end,
    write::{Write, apply},
};

/// What the hosts are called.
const NAMES: [&str; HOSTS_MAX] = ["host A", "host B"];

/// What happens, one line a step, from the beginning to the harm.
#[must_use]
pub fn tell(violation: &Violation, rules: &Rules) -> Vec<String> {
    let mut beginnings = rules.beginnings();
    let world = beginnings.swap_remove(violation.beginning);
    let mut teller =
        Teller { rules, minds: Minds::default(), names: NAMES, world, reads: None, lines: vec![] };
    teller.lines.push(teller.beginning());
    for turn in &violation.turns {
        for it in turn {
            teller.tell(*it);
        }
        teller.end_turn();
    }
    if !violation.alone.is_empty() {
        teller.flush();
        teller.lines.push("(from here on the cluster is left alone)".to_owned());
    }
    for it in &violation.alone {
        teller.tell(*it);
        teller.end_move();
    }
    teller.flush();
    teller.lines.push(format!("=> {}", violation.harm));
    teller.lines
}

struct Teller<'a> {
    rules: &'a Rules,
    minds: Minds,
    /// Which host stands where: their places are exchanged as the world is made canonical.
    names: [&'static str; HOSTS_MAX],
    world: World,
    /// What a host has read without anything else happening, so that it need not be told part by part.
    reads: Option<(&'static str, Vec<&'static str>)>,
    lines: Vec<String>,
}

impl Teller<'_> {
    fn beginning(&self) -> String {
        let Some(set) = &self.world.set else {
            return "there is no set".to_owned();
        };
        let enrolled =
            self.world.places[0].claims[0].as_ref().is_some_and(|it| it.enrolled.is_some());
        format!(
            "ordinals 1 to {} run on their claims, which are {}; the set wants {} of them; whenScaled: {}, whenDeleted: {}{}",
            self.rules.ordinals,
            if enrolled { "enrolled" } else { "not enrolled" },
            set.replicas,
            fate(set.when_scaled),
            fate(set.when_deleted),
            match set.on_deleted {
                OnDeleted::AsTheSet => "",
                OnDeleted::Drain => ", on-set-deleted: drain",
            },
        )
    }

    fn tell(&mut self, it: Move) {
        let goes_on = match it {
            Move::Reads { host, .. } | Move::Decides { host, .. } => Some(self.names[host]),
            Move::Person(_)
            | Move::Cluster(_)
            | Move::TimePasses
            | Move::Sends { .. }
            | Move::Crashes { .. }
            | Move::Arrives { .. } => None,
        };
        if self.reads.as_ref().is_some_and(|(name, _)| Some(*name) != goes_on) {
            self.flush();
        }
        let line = self.line(it);
        let mut world = self.world.clone();
        make(&mut world, self.rules, &mut self.minds, it);
        match it {
            Move::Reads { host, order: _, part } => {
                let reads = self.reads.get_or_insert((self.names[host], Vec::new()));
                reads.1.push(part_name(part));
            }
            Move::Decides { host, .. } => {
                let before = self.reads.take().map(|(_, parts)| parts).unwrap_or_default();
                let part = self.last_part(host);
                let parts: Vec<&str> = before.into_iter().chain(part).collect();
                let decision = self.decision(&world, host);
                let read = parts.join(", ");
                self.lines.push(format!("{} reads {read}{line}{decision}", self.names[host]));
            }
            Move::Person(_)
            | Move::Cluster(_)
            | Move::TimePasses
            | Move::Sends { .. }
            | Move::Crashes { .. }
            | Move::Arrives { .. } => self.lines.push(line),
        }
        self.world = world;
    }

    fn end_turn(&mut self) {
        let order = end(&mut self.world, self.rules, &mut self.minds);
        self.names = order.map(|host| self.names[host]);
    }

    fn end_move(&mut self) {
        let order = canonical(&mut self.world, self.rules);
        self.names = order.map(|host| self.names[host]);
    }

    fn flush(&mut self) {
        if let Some((name, parts)) = self.reads.take() {
            self.lines.push(format!("{name} reads {}", parts.join(", ")));
        }
    }

    fn last_part(&self, host: usize) -> Option<&'static str> {
        match &self.world.hosts[host].step {
            Step::Reading(reading) => reading.next(self.rules).map(part_name),
            Step::Idle | Step::Writing(_) => None,
        }
    }

    fn line(&self, it: Move) -> String {
        match it {
            Move::Person(deed) => person(deed),
            Move::Cluster(deed) => of_cluster(deed),
            Move::TimePasses => "time passes".to_owned(),
            Move::Reads { .. } => String::new(),
            Move::Decides { errand, odd, .. } => {
                let about = match errand {
                    Errand::Set => String::new(),
                    Errand::LeftBehind(seat) => {
                        format!(" about the drain pod {} of a set that is gone", pod(seat))
                    }
                };
                let says = odd.map_or_else(String::new, |(seat, odd)| {
                    format!(", the policy says {} of ordinal {}", odd_name(odd), seat + 1)
                });
                format!("{about}{says}, and decides: ")
            }
            Move::Sends { host, delivery } => {
                let Step::Writing(writes) = &self.world.hosts[host].step else {
                    return String::new();
                };
                let Some(write) = writes.first() else {
                    return String::new();
                };
                let how = match delivery {
                    Delivery::Answered => self.outcome(write),
                    Delivery::Unanswered => {
                        format!("{}, and the answer is lost", self.outcome(write))
                    }
                    Delivery::Late => "given up; the request stays on its way".to_owned(),
                };
                format!("{}: {}: {how}", self.names[host], write_name(write))
            }
            Move::Crashes { host } => format!("{} dies and begins anew", self.names[host]),
            Move::Arrives { late } => match self.world.late.get(late) {
                Some(write) => format!(
                    "the late request arrives: {}: {}",
                    write_name(write),
                    self.outcome(write)
                ),
                None => String::new(),
            },
        }
    }

    fn outcome(&self, write: &Write) -> String {
        match apply(&mut self.world.clone(), write, self.rules.sabotage) {
            Ok(()) => "done".to_owned(),
            Err(refusal) => format!("refused ({refusal:?})"),
        }
    }

    fn decision(&self, world: &World, host: usize) -> String {
        match &world.hosts[host].step {
            Step::Idle | Step::Reading(_) => "nothing".to_owned(),
            Step::Writing(writes) => {
                let names: Vec<String> = writes.iter().map(write_name).collect();
                names.join(", ")
            }
        }
    }
}

fn pod(seat: Seat) -> String {
    format!("web-{}", seat + 1)
}

fn claim(seat: Seat, template: usize) -> String {
    format!("{}-web-{}", TEMPLATES.get(template).copied().unwrap_or_default(), seat + 1)
}

const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Retain => "Retain",
        Fate::Delete => "Delete",
    }
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Set => "the set",
        Part::Claims => "the claims",
        Part::Pods => "the pods",
    }
}

const fn odd_name(odd: Odd) -> &'static str {
    match odd {
        Odd::Wait => "wait",
        Odd::Keep => "keep",
        Odd::Complete => "complete",
        Odd::Retry => "retry",
        Odd::Cancel => "cancel",
        Odd::Fail => "fail",
        Odd::Fault => "nothing, for it failed,",
        Odd::Gone => "nothing, for it is gone,",
    }
}

fn person(deed: people::Deed) -> String {
    use people::Deed;
    match deed {
        Deed::Scale(replicas) => format!("a person scales the set: it wants {replicas} of them"),
        Deed::MoveStart(Start::Above) => {
            "a person raises spec.ordinals.start above them".to_owned()
        }
        Deed::MoveStart(Start::Zero) => "a person puts spec.ordinals.start back".to_owned(),
        Deed::Annotate(Care::Ours) => "a person asks for draining".to_owned(),
        Deed::Annotate(Care::Paused) => "a person pauses the set".to_owned(),
        Deed::Annotate(Care::NotOurs) => "a person takes the annotation off".to_owned(),
        Deed::Retain { when_scaled, when_deleted } => format!(
            "a person edits the set: whenScaled: {}, whenDeleted: {}",
            fate(when_scaled),
            fate(when_deleted)
        ),
        Deed::DeleteSet(cascade) => {
            let how = match cascade {
                Cascade::Background => "in the background",
                Cascade::Foreground => "in the foreground",
                Cascade::Orphan => "and leaves its pods behind",
            };
            format!("a person deletes the set {how}")
        }
        Deed::MakeSet(when_scaled) => {
            format!("a person makes a set of the same name, whenScaled: {}", fate(when_scaled))
        }
        Deed::DeletePod(seat) => format!("a person deletes pod {}", pod(seat)),
        Deed::Evict(seat) => format!("pod {} is evicted", pod(seat)),
        Deed::ShutDown(seat) => format!("the node of pod {} shuts down", pod(seat)),
        Deed::Fail(seat) => format!("the drain pod {} fails", pod(seat)),
        Deed::DeleteClaim(seat, template) => {
            format!("a person deletes claim {}", claim(seat, template))
        }
        Deed::RestoreClaim(seat, template) => {
            format!("a person restores claim {} from a backup", claim(seat, template))
        }
        Deed::StrangerComes(seat) => {
            format!("another pod begins to use the claims of ordinal {}", seat + 1)
        }
        Deed::StrangerGoes(seat) => format!("the other pod at ordinal {} is gone", seat + 1),
    }
}

fn of_cluster(deed: cluster::Deed) -> String {
    use cluster::Deed;
    match deed {
        Deed::DeletesMember(seat) => format!("the set's controller deletes member {}", pod(seat)),
        Deed::MakesMember(seat) => {
            format!("the set's controller tries to make member {}", pod(seat))
        }
        Deed::Starts(seat) => format!("pod {} is scheduled and starts", pod(seat)),
        Deed::Succeeds(seat) => format!("drain pod {} ends by itself with success", pod(seat)),
        Deed::Stops(seat) => format!("drain pod {} ends on SIGTERM with exit code 0", pod(seat)),
        Deed::PodGoes(seat) => format!("pod {} is gone", pod(seat)),
        Deed::CollectsPod(seat) => format!("the garbage collector deletes pod {}", pod(seat)),
        Deed::CollectsClaim(seat, template) => {
            format!("the garbage collector deletes claim {}", claim(seat, template))
        }
        Deed::StrikesOwners(seat, template) => format!(
            "the garbage collector strikes dead owners from claim {}",
            claim(seat, template)
        ),
        Deed::ClaimGoes(seat, template) => format!("claim {} is gone", claim(seat, template)),
        Deed::OwnsClaims(seat) => {
            format!("the set's controller says anew whose the claims of {} are", pod(seat))
        }
        Deed::OrphansMember(seat) => {
            format!("the garbage collector takes the set from member {}", pod(seat))
        }
        Deed::AdoptsMember(seat) => format!("the set's controller takes on member {}", pod(seat)),
        Deed::SetGoes => "the set is gone".to_owned(),
    }
}

fn write_name(write: &Write) -> String {
    match write {
        Write::Enrol { claim: it, anchor, .. } => {
            let how = if *anchor { "enrol and anchor" } else { "enrol" };
            format!("{how} {}", claim(it.seat, it.template))
        }
        Write::Note { claim: it, .. } => format!("note on {}", claim(it.seat, it.template)),
        Write::Fence(it) => format!("fence {}", claim(it.seat, it.template)),
        Write::DeleteClaim { claim: it, deletion } => {
            let how = match deletion {
                Deletion::Foreground => " in the foreground",
                Deletion::Background | Deletion::None => "",
            };
            format!("DELETE {}{how}", claim(it.seat, it.template))
        }
        Write::CreatePod { seat, .. } => format!("create drain pod {}", pod(*seat)),
        Write::Seal(it) => format!("seal {}", pod(it.seat)),
        Write::GiveBack(it) => format!("say on the seal of {} that it is given back", pod(it.seat)),
        Write::Unseal { pod: it, drained: true } => format!("unseal {}, drained", pod(it.seat)),
        Write::Unseal { pod: it, drained: false } => format!("unseal {}, given back", pod(it.seat)),
        Write::DeletePod(it) => format!("delete drain pod {}", pod(it.seat)),
        Write::DeleteMember(it) => format!("delete member {}", pod(it.seat)),
        Write::Hold(_) => "hold the set".to_owned(),
        Write::LetGo(_) => "let the set go".to_owned(),
        Write::Touch { .. } => "touch the set".to_owned(),
    }
}
