//! The rules one by one, and two hosts in every order of events.

use std::collections::{HashSet, VecDeque};

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn timing() -> Timing {
    Timing { duration: secs(15), renew_deadline: secs(10), retry: secs(2) }
}

fn host(me: &str) -> Election {
    Election::new(me.to_owned(), timing())
}

/// A record as this holder wrote it at that time of its own clock.
fn by(holder: &str, renewed: i64) -> Record {
    Record {
        holder: holder.to_owned(),
        duration_secs: Some(15),
        transitions: 3,
        acquired: Some(Timestamp::UNIX_EPOCH),
        renewed: Timestamp::from_second(renewed).ok(),
    }
}

/// A host that took the lease at second 100.
fn leader() -> Election {
    let mut me = host("me");
    me.saw(Found::Missing, secs(100));
    me.wrote(by("me", 0), secs(100), secs(101));
    me
}

#[test]
fn it_reads_before_it_writes() {
    assert_eq!(host("me").next(secs(0)), Step::Read);
}

#[test]
fn where_there_is_none_it_makes_one() {
    let mut me = host("me");
    me.saw(Found::Missing, secs(1));
    assert_eq!(me.next(secs(1)), Step::Write(Draft::Create));
}

#[test]
fn a_lease_of_another_is_taken_when_it_was_not_seen_to_change_for_its_duration() {
    let mut me = host("me");
    // The other's clock is a year ahead, which means nothing.
    me.saw(Found::Ours(by("other", 31_536_000)), secs(5));
    assert_eq!(me.next(secs(5)), Step::Watch(Some(secs(20))));
    me.saw(Found::Ours(by("other", 31_536_000)), secs(9));
    assert_eq!(me.next(secs(19)), Step::Watch(Some(secs(20))), "the same record is no change");
    me.saw(Found::Ours(by("other", 31_536_002)), secs(19));
    assert_eq!(me.next(secs(33)), Step::Watch(Some(secs(34))));
    assert_eq!(me.next(secs(34)), Step::Write(Draft::Take));
}

#[test]
fn a_record_from_the_past_is_respected_as_long_as_any() {
    let mut me = host("me");
    me.saw(Found::Ours(by("other", -31_536_000)), secs(5));
    assert_eq!(me.next(secs(19)), Step::Watch(Some(secs(20))));
}

#[test]
fn it_is_the_records_own_duration_that_counts() {
    let mut me = host("me");
    me.saw(Found::Ours(Record { duration_secs: Some(60), ..by("other", 0) }), secs(5));
    assert_eq!(me.next(secs(64)), Step::Watch(Some(secs(65))));
}

#[test]
fn a_duration_without_sense_is_read_as_our_own() {
    for duration_secs in [None, Some(0), Some(-7)] {
        let mut me = host("me");
        me.saw(Found::Ours(Record { duration_secs, ..by("other", 0) }), secs(5));
        assert_eq!(me.next(secs(19)), Step::Watch(Some(secs(20))), "{duration_secs:?}");
    }
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut me = host("me");
    me.saw(Found::Ours(by("other", 0)), secs(5));
    me.saw(Found::Ours(by("", 1)), secs(6));
    assert_eq!(me.next(secs(6)), Step::Write(Draft::Take));
}

#[test]
fn a_lease_of_another_program_is_never_written() {
    let mut me = host("me");
    me.saw(Found::Foreign { holder: String::new() }, secs(5));
    assert_eq!(me.next(secs(5)), Step::Watch(None));
    assert_eq!(me.next(secs(1_000_000)), Step::Watch(None));
}

#[test]
fn a_lease_that_vanishes_is_respected_as_long_as_it_would_have_been() {
    let mut me = host("me");
    me.saw(Found::Ours(by("other", 0)), secs(5));
    me.saw(Found::Missing, secs(6));
    assert_eq!(me.next(secs(6)), Step::Rest(secs(20)));
    assert_eq!(me.next(secs(20)), Step::Write(Draft::Create));
}

#[test]
fn it_acts_from_when_the_write_was_sent_not_answered() {
    let me = leader();
    assert_eq!(me.held_until(), Some(secs(110)));
    assert_eq!(me.next(secs(101)), Step::Rest(secs(102)));
    assert_eq!(me.next(secs(102)), Step::Write(Draft::Renew));
}

#[test]
fn it_is_lost_when_no_renewal_is_taken_in_time() {
    let mut me = leader();
    me.doubt(Doubt::Failed, secs(104));
    assert_eq!(me.next(secs(104)), Step::Rest(secs(106)));
    assert_eq!(me.next(secs(106)), Step::Read);
    me.saw(Found::Ours(by("me", 0)), secs(107));
    assert_eq!(me.next(secs(107)), Step::Write(Draft::Renew));
    assert_eq!(me.next(secs(110)), Step::Lost(Loss::NotRenewed(secs(10))));
    me.wrote(by("me", 9), secs(109), secs(111));
    assert_eq!(
        me.next(secs(111)),
        Step::Lost(Loss::NotRenewed(secs(10))),
        "what was lost for a moment is lost"
    );
}

#[test]
fn it_is_lost_when_another_is_seen_in_its_place() {
    let mut taken = leader();
    taken.saw(Found::Ours(by("other", 1)), secs(103));
    assert_eq!(taken.next(secs(103)), Step::Lost(Loss::Taken("other".into())));
    let mut replaced = leader();
    replaced.saw(Found::Foreign { holder: "x".into() }, secs(103));
    assert_eq!(replaced.next(secs(103)), Step::Lost(Loss::Replaced("x".into())));
}

#[test]
fn a_holder_whose_lease_is_deleted_makes_it_again() {
    let mut me = leader();
    me.saw(Found::Missing, secs(103));
    assert_eq!(me.next(secs(103)), Step::Write(Draft::Create));
}

#[test]
fn a_lease_that_it_holds_without_knowing_is_renewed_before_it_acts() {
    let mut me = host("me");
    me.saw(Found::Missing, secs(1));
    // Created, and the answer lost.
    me.doubt(Doubt::Failed, secs(2));
    me.saw(Found::Ours(by("me", 1)), secs(5));
    assert_eq!(me.held_until(), None);
    assert_eq!(me.next(secs(5)), Step::Write(Draft::Renew));
    me.wrote(by("me", 5), secs(5), secs(5));
    assert_eq!(me.held_until(), Some(secs(15)));
}

#[test]
fn an_answer_that_comes_after_the_deadline_begins_nothing() {
    let mut me = host("me");
    me.saw(Found::Missing, secs(1));
    me.wrote(by("me", 1), secs(1), secs(11));
    assert_eq!(me.held_until(), None);
    assert_eq!(me.next(secs(11)), Step::Write(Draft::Renew));
}

#[test]
fn after_one_conflict_it_reads_at_once_and_after_two_it_waits() {
    let mut me = leader();
    me.doubt(Doubt::Conflict, secs(102));
    assert_eq!(me.next(secs(102)), Step::Read);
    me.saw(Found::Ours(by("me", 0)), secs(102));
    me.doubt(Doubt::Conflict, secs(103));
    assert_eq!(me.next(secs(103)), Step::Rest(secs(105)));
    assert_eq!(me.next(secs(105)), Step::Read);
}

#[test]
fn a_watch_that_ends_again_and_again_is_not_opened_without_a_pause() {
    let mut me = host("me");
    me.saw(Found::Ours(by("other", 0)), secs(5));
    me.doubt(Doubt::Unwatched, secs(6));
    assert_eq!(me.next(secs(6)), Step::Read);
    me.saw(Found::Ours(by("other", 0)), secs(6));
    me.doubt(Doubt::Unwatched, secs(6));
    assert_eq!(me.next(secs(6)), Step::Rest(secs(8)));
}

// Two hosts, one lease, and every order of what can happen between them, in whole seconds with spans as short as they can be. States that
// differ only in what no rule looks at, such as how late it is, are one; so that there is an end to them.

const DURATION_SECS: u64 = 3;
const RENEW_DEADLINE_SECS: u64 = 2;
/// How long a quiet time is, in seconds, after which one host must act: each may be waiting out a lease, a pause, and one more lease.
const QUIET_SECS: u64 = 12;

fn short() -> Timing {
    Timing {
        duration: secs(DURATION_SECS),
        renew_deadline: secs(RENEW_DEADLINE_SECS),
        retry: secs(1),
    }
}

#[derive(Clone, Debug)]
enum Request {
    /// On its way, since then.
    Sent(Draft, u64),
    /// Carried out or refused; the answer is on its way back.
    Answered(Option<Record>, u64),
}

#[derive(Clone, Debug)]
struct Player {
    election: Election,
    /// Whether the lease is still as it was last found: only then is a write taken.
    is_current: bool,
    request: Option<Request>,
}

#[derive(Clone, Debug)]
struct World {
    now: u64,
    lease: Option<Record>,
    writes: i64,
    starts: u32,
    hosts: [Player; 2],
    upset: Upset,
}

/// What people and machines do besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Upset {
    /// Hosts end, crash and start.
    Restarts,
    /// Somebody deletes the lease, once, and when both hosts have seen it as it is. One that has not would know nothing of its holder: that is
    /// why nobody should delete it.
    Deletion { done: bool },
}

/// All of a world that any rule looks at.
type Key = (Option<u8>, Upset, [Vec<u64>; 2]);

impl World {
    fn new(upset: Upset) -> Self {
        let hosts = [Player::new(0), Player::new(1)];
        Self { now: 1, lease: None, writes: 0, starts: 2, hosts, upset }
    }

    fn now(&self) -> Duration {
        secs(self.now)
    }

    fn key(&self) -> Key {
        let who = |holder: &str| {
            let at = self.hosts.iter().position(|host| host.election.me == holder);
            at.map_or(if holder.is_empty() { 2 } else { 3 }, |at| if at == 0 { 0 } else { 1 })
        };
        let ahead = |at: Duration| at.saturating_sub(self.now()).as_secs();
        let of_host = |host: &Player| {
            let it = &host.election;
            let age = |sent: u64| (self.now - sent).min(RENEW_DEADLINE_SECS);
            vec![
                match &it.found {
                    None => 9,
                    Some(Found::Missing) => 8,
                    Some(Found::Foreign { .. }) => 7,
                    Some(Found::Ours(record)) => u64::from(who(&record.holder)),
                },
                u64::from(it.last == self.lease),
                ahead(it.free_at),
                it.held_until.map_or(9, ahead),
                ahead(it.renew_at),
                ahead(it.not_before),
                u64::from(it.hurried),
                u64::from(host.is_current),
                match &host.request {
                    None => 0,
                    Some(Request::Sent(Draft::Create, sent)) => 10 + age(*sent),
                    Some(Request::Sent(Draft::Take, sent)) => 20 + age(*sent),
                    Some(Request::Sent(Draft::Renew, sent)) => 30 + age(*sent),
                    Some(Request::Answered(None, _)) => 40,
                    Some(Request::Answered(record, sent)) => {
                        50 + 10 * u64::from(*record == self.lease) + age(*sent)
                    }
                },
            ]
        };
        let holder = self.lease.as_ref().map(|record| who(&record.holder));
        (holder, self.upset, [of_host(&self.hosts[0]), of_host(&self.hosts[1])])
    }

    fn acting(&self) -> usize {
        let acts = |host: &&Player| {
            host.election.held_until().is_some_and(|until| self.now() < until)
                && !matches!(host.election.next(self.now()), Step::Lost(_))
        };
        self.hosts.iter().filter(acts).count()
    }

    fn see(&mut self, at: usize) {
        let now = self.now();
        let host = &mut self.hosts[at];
        host.is_current = true;
        host.election.saw(self.lease.clone().map_or(Found::Missing, Found::Ours), now);
    }

    fn put(&mut self, lease: Option<Record>) {
        self.lease = lease;
        for host in &mut self.hosts {
            host.is_current = false;
        }
    }

    fn send(&mut self, at: usize, draft: Draft) {
        self.hosts[at].request = Some(Request::Sent(draft, self.now));
    }

    /// The API server carries out the host's write, or refuses it.
    fn carry_out(&mut self, at: usize) {
        let Some(Request::Sent(_, sent)) = self.hosts[at].request else {
            return;
        };
        let taken = self.hosts[at].is_current.then(|| {
            self.writes += 1;
            let me = self.hosts[at].election.me.clone();
            Record { duration_secs: Some(3), ..by(&me, self.writes) }
        });
        if taken.is_some() {
            self.put(taken.clone());
            self.hosts[at].is_current = true;
        }
        self.hosts[at].request = Some(Request::Answered(taken, sent));
    }

    /// The answer comes to the host.
    fn answer(&mut self, at: usize) {
        let now = self.now();
        let host = &mut self.hosts[at];
        match host.request.take() {
            Some(Request::Answered(Some(record), sent)) => {
                host.election.wrote(record, secs(sent), now);
            }
            Some(Request::Answered(None, _)) => host.election.doubt(Doubt::Conflict, now),
            Some(Request::Sent(..)) | None => {}
        }
    }

    /// The request fails, or its answer is lost.
    fn give_up(&mut self, at: usize) {
        let now = self.now();
        self.hosts[at].request = None;
        self.hosts[at].election.doubt(Doubt::Failed, now);
    }

    /// It releases the lease where it holds it, ends, and another starts in its place.
    fn end(&mut self, at: usize) {
        let me = &self.hosts[at].election.me;
        if let Some(record) = self.lease.clone().filter(|record| record.holder == *me) {
            self.put(Some(Record { holder: String::new(), ..record }));
        }
        self.crash(at);
    }

    fn crash(&mut self, at: usize) {
        self.hosts[at] = Player::new(self.starts);
        self.starts += 1;
    }

    /// Everything that can happen next.
    fn successors(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut push = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        push(&|it| it.now += 1);
        let is_seen = self.hosts.iter().all(|host| host.election.last == self.lease);
        if self.upset == (Upset::Deletion { done: false }) && self.lease.is_some() && is_seen {
            push(&|it| {
                it.put(None);
                it.upset = Upset::Deletion { done: true };
            });
        }
        for at in [0, 1] {
            match &self.hosts[at].request {
                Some(Request::Sent(..)) => {
                    push(&|it| it.carry_out(at));
                    push(&|it| it.give_up(at));
                }
                Some(Request::Answered(..)) => {
                    push(&|it| it.answer(at));
                    push(&|it| it.give_up(at));
                }
                None => match self.hosts[at].election.next(self.now()) {
                    Step::Read => {
                        push(&|it| it.see(at));
                        push(&|it| it.give_up(at));
                    }
                    Step::Write(draft) => push(&|it| it.send(at, draft)),
                    Step::Watch(_) => push(&|it| it.see(at)),
                    Step::Rest(_) | Step::Lost(_) => {}
                },
            }
            if self.upset == Upset::Restarts {
                push(&|it| it.end(at));
                push(&|it| it.crash(at));
            }
        }
        all
    }

    /// Time goes by and nothing goes wrong, until somebody acts.
    fn rest(mut self) -> Self {
        let end = self.now + QUIET_SECS;
        while self.now < end && self.acting() == 0 {
            self.now += 1;
            // No host has more to do at one moment than a read, a write, a conflict, a read and a write.
            for at in [0, 1, 0, 1, 0, 1, 0, 1, 0, 1] {
                self.carry_out(at);
                self.answer(at);
                match self.hosts[at].election.next(self.now()) {
                    Step::Read | Step::Watch(_) => self.see(at),
                    Step::Write(draft) => self.send(at, draft),
                    Step::Rest(_) => {}
                    Step::Lost(_) => self.crash(at),
                }
            }
        }
        self
    }
}

impl Player {
    fn new(number: u32) -> Self {
        let election = Election::new(number.to_string(), short());
        Self { election, is_current: false, request: None }
    }
}

/// Goes through every state that can come about, and answers their number.
fn every_state(upset: Upset, look: impl Fn(&World)) -> usize {
    let start = World::new(upset);
    let mut seen = HashSet::from([start.key()]);
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        look(&world);
        for next in world.successors() {
            assert!(next.acting() < 2, "two hosts act:\n{next:#?}\nafter\n{world:#?}");
            if seen.insert(next.key()) {
                queue.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn never_do_two_hosts_act_and_a_quiet_time_makes_one_act() {
    let states = every_state(Upset::Restarts, |world| {
        let rested = world.clone().rest();
        assert_eq!(rested.acting(), 1, "nobody acts after {world:#?}\nthere is {rested:#?}");
    });
    println!("{states} states of two hosts that end, crash and start");
}

#[test]
fn a_lease_that_somebody_deletes_makes_no_two_hosts_act() {
    let states = every_state(Upset::Deletion { done: false }, |_| {});
    println!("{states} states of two hosts whose lease somebody deletes");
}
