//! Everything that may happen next in a world, each as one move: by people, by Kubernetes and by the hosts.

use crate::{
    Rules, canon, cluster,
    host::{self, Delivery, Errand, Minds, Order, Part, Step},
    objects::{Care, HOSTS_MAX, Kind, Pod, Seat, World},
    people,
    policy::Odd,
    write::apply,
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// A person does something, or a mishap befalls a pod.
    Person(people::Deed),
    /// Kubernetes does something.
    Cluster(cluster::Deed),
    /// What was ahead has passed.
    TimePasses,
    /// A host reads a part of the cluster that is not the last.
    Reads {
        /// Which host.
        host: usize,
        /// In which order it reads.
        order: Order,
        /// What.
        part: Part,
    },
    /// A host reads the last part, asks the policy and decides.
    Decides {
        /// Which host.
        host: usize,
        /// About what.
        errand: Errand,
        /// The one answer that is not as it should be.
        odd: Option<(Seat, Odd)>,
    },
    /// A host sends its next write.
    Sends {
        /// Which host.
        host: usize,
        /// What becomes of it.
        delivery: Delivery,
    },
    /// A host dies, and another begins in its place.
    Crashes {
        /// Which host.
        host: usize,
    },
    /// A request that left a host long ago arrives.
    Arrives {
        /// Which of them.
        late: usize,
    },
}

impl Move {
    /// Whether it is a surprise: something that need not happen, and of which the explorer allows a number.
    #[must_use]
    pub const fn is_surprise(&self) -> bool {
        match self {
            Self::Person(deed) => deed.is_surprise(),
            Self::Decides { odd, .. } => odd.is_some(),
            Self::Sends { delivery, .. } => !matches!(delivery, Delivery::Answered),
            Self::Crashes { .. } => true,
            Self::Cluster(_) | Self::TimePasses | Self::Reads { .. } | Self::Arrives { .. } => {
                false
            }
        }
    }
}

/// Everything that may happen next.
pub fn moves(world: &World, rules: &Rules, minds: &mut Minds) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    moves.extend(cluster::deeds(world, rules).into_iter().map(Move::Cluster));
    moves.extend(people::deeds(world, rules).into_iter().map(Move::Person));
    if cluster::anything_ahead(world) {
        moves.push(Move::TimePasses);
    }
    for host in 0..rules.hosts {
        of_host(world, rules, minds, host, &mut moves);
    }
    moves.extend((0..world.late.len()).map(|late| Move::Arrives { late }));
    moves
}

/// The world after this move, and which host of before stands where in it.
#[must_use]
pub fn after(
    world: &World,
    rules: &Rules,
    minds: &mut Minds,
    it: Move,
) -> (World, [usize; HOSTS_MAX]) {
    let mut next = world.clone();
    make(&mut next, rules, minds, it);
    let order = canon::canonical(&mut next, rules);
    (next, order)
}

/// Makes a move. Every host stays where it stands.
pub(crate) fn make(next: &mut World, rules: &Rules, minds: &mut Minds, it: Move) {
    match it {
        Move::Person(deed) => people::act(next, rules, deed),
        Move::Cluster(deed) => cluster::act(next, rules, deed),
        Move::TimePasses => cluster::pass_time(next),
        Move::Reads { host, order, part } => host::read(next, host, order, part),
        Move::Decides { host, errand, odd } => {
            host::decide(next, (rules, minds), host, errand, odd);
        }
        Move::Sends { host, delivery } => host::send(next, rules, host, delivery),
        Move::Crashes { host } => host::crash(next, host),
        Move::Arrives { late } => {
            let write = next.late.remove(late);
            // Nobody is left who would hear what came of it.
            let _ = apply(next, &write, rules.sabotage);
        }
    }
    host::watch(next, rules);
}

fn of_host(world: &World, rules: &Rules, minds: &mut Minds, host: usize, moves: &mut Vec<Move>) {
    match &world.hosts[host].step {
        Step::Idle => {
            // Two hosts that have begun nothing are one and the same.
            let twin = world.hosts.iter().take(host).any(|other| *other == world.hosts[host]);
            if !twin && has_work(world) {
                let begins =
                    |order: Order| Move::Reads { host, order, part: order.parts(rules)[0] };
                moves.extend(Order::ALL.map(begins));
            }
            if !twin && host::would_forget(world, host) {
                moves.push(Move::Crashes { host });
            }
        }
        Step::Reading(reading) => {
            if host::would_forget(world, host) {
                moves.push(Move::Crashes { host });
            }
            let Some(part) = reading.next(rules) else {
                return;
            };
            let mut fuller = (**reading).clone();
            fuller.read(part, world);
            if fuller.next(rules).is_some() {
                moves.push(Move::Reads { host, order: fuller.order, part });
                return;
            }
            for errand in fuller.errands() {
                let thoughts = minds.thoughts(rules, &fuller, &world.hosts[host].memory, errand);
                let odds = thoughts.iter().map(|thought| thought.odd);
                moves.extend(odds.map(|odd| Move::Decides { host, errand, odd }));
            }
        }
        Step::Writing(_) => {
            let deliveries = [Delivery::Answered, Delivery::Unanswered, Delivery::Late];
            let may =
                |delivery: &Delivery| *delivery != Delivery::Late || world.late.len() < rules.late;
            let deliveries = deliveries.into_iter().filter(may);
            moves.extend(deliveries.map(|delivery| Move::Sends { host, delivery }));
            moves.push(Move::Crashes { host });
        }
    }
}

/// A cluster without a set of ours and without a drain pod is none of a host's business.
pub(crate) fn has_work(world: &World) -> bool {
    let is_drain = |pod: &Pod| matches!(pod.kind, Kind::Drain(_));
    world.set.as_ref().is_some_and(|set| set.care != Care::NotOurs)
        || world.places.iter().any(|place| place.pod.as_ref().is_some_and(is_drain))
}
