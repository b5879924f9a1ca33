//! What may happen next, as turns: each is one move that changes the cluster or what is on its way to it, and before it what hosts did at
//! the last moment at which it mattered.
//!
//! A host reads, decides and sends whenever it likes, and between its steps anything may happen. But what it read and what it decided on make a
//! difference only once the cluster is no longer so: until then it may as well read later (`normal.rs`, rule 2). So a host reads a part only
//! just before something changes that part, decides only just before something changes what it read last, and otherwise reads, decides and sends
//! in one go. Nothing that can happen is missed: each way through the world can be put in that order by moving a host's steps
//! behind moves that change nothing of what they read, one by one.

use std::rc::Rc;

use crate::{
    Reduction, Rules, canon, cluster,
    host::{self, Delivery, Errand, Minds, Order, Part, Reading, Step},
    mind::Thought,
    moves::{Move, has_work, make, moves},
    normal::{Changed, normalise},
    objects::{HOSTS_MAX, Seat, World},
    people,
    policy::Odd,
};

/// How many parts a reading has.
const PARTS: usize = 3;

/// Moves that are made in one go.
pub type Turn = Vec<Move>;

/// Whether surprises are among what may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprises {
    /// They are.
    Allowed,
    /// Only what people, Kubernetes and hosts do of themselves.
    Spent,
}

/// Whether one of its moves is a surprise. No turn has two.
#[must_use]
pub fn is_surprise(turn: &[Move]) -> bool {
    turn.iter().any(|it| it.is_surprise())
}

/// Every turn that may come next.
pub fn turns(world: &World, rules: &Rules, minds: &mut Minds, surprises: Surprises) -> Vec<Turn> {
    let may = |turn: &Turn| surprises == Surprises::Allowed || !is_surprise(turn);
    if rules.reduction == Reduction::None {
        let turns = moves(world, rules, minds).into_iter().map(|it| vec![it]);
        return turns.filter(may).collect();
    }
    let passes: Vec<Vec<Pass>> =
        (0..rules.hosts).map(|host| passes(world, (rules, minds), host)).collect();
    let mut turns = Vec::new();
    for (event, by) in events(world, rules, &passes).into_iter().filter(|(event, _)| may(event)) {
        let after = made(world, rules, minds, &event);
        let changed = Changed::between(world, &after);
        if changed.anything() {
            let is_other = |host: &usize| by != Some(*host);
            let read = |host: &usize| matches!(world.hosts[*host].step, Step::Reading(_));
            let reading = (0..rules.hosts).filter(is_other).filter(read).count();
            let others = passes.iter().enumerate().filter(|(host, _)| is_other(host));
            let before = what_came_before(
                others.map(|(_, passes)| passes),
                changed,
                rules.readers.saturating_sub(reading),
            );
            turns.extend(before.into_iter().map(|mut turn| {
                turn.extend(&event);
                turn
            }));
        } else {
            turns.push(event);
        }
    }
    turns
}

/// The world after a turn, and which host of before stands where in it.
#[must_use]
pub fn after(
    world: &World,
    rules: &Rules,
    minds: &mut Minds,
    turn: &[Move],
) -> (World, [usize; HOSTS_MAX]) {
    let mut next = made(world, rules, minds, turn);
    let order = end(&mut next, rules, minds);
    (next, order)
}

/// What is done at the end of a turn: the world becomes the one that stands for all that behave alike.
pub(crate) fn end(world: &mut World, rules: &Rules, minds: &mut Minds) -> [usize; HOSTS_MAX] {
    if rules.reduction == Reduction::Lazy {
        normalise(world, rules, minds);
    }
    canon::canonical(world, rules)
}

fn made(world: &World, rules: &Rules, minds: &mut Minds, turn: &[Move]) -> World {
    let mut next = world.clone();
    for it in turn {
        make(&mut next, rules, minds, *it);
    }
    next
}

/// What a host may do at this moment up to its decision: begin a pass, or go on with one.
struct Pass {
    host: usize,
    /// What it reads, in order.
    reads: Vec<(Part, Move)>,
    /// What it may make of that.
    errands: Vec<(Errand, Rc<Vec<Thought>>)>,
}

impl Pass {
    /// The moves up to a decision.
    fn up_to(&self, errand: Errand, odd: Option<(Seat, Odd)>) -> Turn {
        // The last part is read and decided on at once.
        let before = self.reads.iter().take(self.reads.len().saturating_sub(1)).map(|(_, it)| *it);
        before.chain([Move::Decides { host: self.host, errand, odd }]).collect()
    }
}

/// The passes that a host may be in at this moment.
fn passes(world: &World, (rules, minds): (&Rules, &mut Minds), host: usize) -> Vec<Pass> {
    let begun = match &world.hosts[host].step {
        Step::Writing(_) => return Vec::new(),
        Step::Idle if !has_work(world) => return Vec::new(),
        Step::Idle => Order::ALL.map(Reading::new).to_vec(),
        Step::Reading(reading) => vec![(**reading).clone()],
    };
    let pass = |mut reading: Reading| {
        let mut reads = Vec::new();
        while let Some(part) = reading.next(rules) {
            reads.push((part, Move::Reads { host, order: reading.order, part }));
            reading.read(part, world);
        }
        let memory = &world.hosts[host].memory;
        let errands = reading.errands().into_iter();
        let errands = errands
            .map(|errand| (errand, minds.thoughts(rules, &reading, memory, errand)))
            .collect();
        Pass { host, reads, errands }
    };
    begun.into_iter().map(pass).collect()
}

/// What may change the cluster next, with the host that does it.
fn events(world: &World, rules: &Rules, passes: &[Vec<Pass>]) -> Vec<(Turn, Option<usize>)> {
    let mut events: Vec<(Turn, Option<usize>)> = Vec::new();
    let of_all = |it: Move| (vec![it], None);
    events.extend(cluster::deeds(world, rules).into_iter().map(Move::Cluster).map(of_all));
    events.extend(people::deeds(world, rules).into_iter().map(Move::Person).map(of_all));
    if cluster::anything_ahead(world) {
        events.push(of_all(Move::TimePasses));
    }
    events.extend((0..world.late.len()).map(|late| of_all(Move::Arrives { late })));
    for (host, passes) in passes.iter().enumerate() {
        // Two hosts of which neither can be told from the other do the same.
        if world.hosts.iter().take(host).any(|other| *other == world.hosts[host]) {
            continue;
        }
        let mut own: Vec<Turn> = Vec::new();
        for pass in passes {
            of_pass(world, rules, pass, &mut own);
        }
        let writes = matches!(world.hosts[host].step, Step::Writing(_));
        if writes {
            own.extend(sendings(world, rules, host).map(|it| vec![it]));
        }
        if writes || host::would_forget(world, host) {
            own.push(vec![Move::Crashes { host }]);
        }
        events.extend(own.into_iter().map(|turn| (turn, Some(host))));
    }
    events
}

/// The rest of a pass at this moment, up to its first write; or, after an odd answer, up to its decision.
fn of_pass(world: &World, rules: &Rules, pass: &Pass, turns: &mut Vec<Turn>) {
    for (errand, thoughts) in &pass.errands {
        for thought in thoughts.iter() {
            let decides = pass.up_to(*errand, thought.odd);
            if thought.harm.is_some() || (thought.odd.is_some() && !thought.writes.is_empty()) {
                turns.push(decides.clone());
            }
            if thought.odd.is_none() && !thought.writes.is_empty() {
                let with = |it: Move| decides.iter().copied().chain([it]).collect();
                turns.extend(sendings(world, rules, pass.host).map(with));
            }
        }
    }
}

/// What may become of a host's next write.
fn sendings(world: &World, rules: &Rules, host: usize) -> impl Iterator<Item = Move> + use<> {
    let late = world.late.len() < rules.late;
    [Delivery::Answered, Delivery::Unanswered, Delivery::Late]
        .into_iter()
        .filter(move |delivery| late || *delivery != Delivery::Late)
        .map(move |delivery| Move::Sends { host, delivery })
}

/// What the other hosts may have done at the last moment at which it mattered, in each combination in which no more than so many begin to read
/// and do not decide.
fn what_came_before<'a>(
    others: impl Iterator<Item = &'a Vec<Pass>>,
    changed: Changed,
    readers: usize,
) -> Vec<Turn> {
    let mut before: Vec<(Turn, usize)> = vec![(Vec::new(), 0)];
    for passes in others {
        let options: Vec<(Turn, usize)> =
            passes.iter().flat_map(|pass| last_moments(pass, changed)).collect();
        let both = |turn: &(Turn, usize), option: &(Turn, usize)| {
            let moves = turn.0.iter().chain(&option.0).copied().collect();
            (moves, turn.1 + option.1)
        };
        let longer =
            options.iter().flat_map(|option| before.iter().map(move |it| both(it, option)));
        let longer: Vec<(Turn, usize)> = longer.filter(|(_, begun)| *begun <= readers).collect();
        before.extend(longer);
    }
    before.into_iter().map(|(turn, _)| turn).collect()
}

/// What a host may have read or decided that is no longer so afterwards, and how many readings that begins.
fn last_moments(pass: &Pass, changed: Changed) -> Vec<(Turn, usize)> {
    let is_old = |part: Part| match part {
        Part::Set => changed.set,
        Part::Claims => changed.claims,
        Part::Pods => changed.pods,
    };
    let begins = usize::from(pass.reads.len() == PARTS);
    let mut options = Vec::new();
    let mut turn: Turn = Vec::new();
    for (part, it) in pass.reads.iter().take(pass.reads.len().saturating_sub(1)) {
        turn.push(*it);
        if is_old(*part) {
            options.push((turn.clone(), begins));
        }
    }
    if pass.reads.iter().any(|(part, _)| is_old(*part)) {
        for (errand, thoughts) in &pass.errands {
            if thoughts.first().is_some_and(|usual| !usual.writes.is_empty()) {
                options.push((pass.up_to(*errand, None), 0));
            }
        }
    }
    options
}
