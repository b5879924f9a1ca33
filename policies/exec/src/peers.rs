//! Whether those who are to take the data are there.

use crate::config::{Config, ReadyPeers, WhenAlone};
use tidegate_policy::{CONFIG_ANNOTATION, Cause, Holder, Peer, Rendering, Situation};

/// Why the work does not begin yet, or at all; none where it may.
pub(crate) fn obstacle(at: &Situation, config: &Config) -> Option<Rendering> {
    let staying = staying(at);
    let needed = match config.ready_peers {
        ReadyPeers::AtLeast(0) => return None,
        ReadyPeers::AtLeast(_) | ReadyPeers::All if staying == 0 => {
            return alone(config.when_alone);
        }
        ReadyPeers::All => staying,
        // Of a set that is being deleted fewer stay with every ordinal, and nobody can scale it up.
        ReadyPeers::AtLeast(count) if at.cause == Cause::SetDeleted => count.min(staying),
        ReadyPeers::AtLeast(count) => count,
    };
    if needed > staying {
        return Some(Rendering::Refuse(format!(
            "`readyPeers` is {needed}, but the set keeps only {staying} members: scale it up, or lower `readyPeers` in annotation \
             {CONFIG_ANNOTATION} (to 0 where no member takes the data)"
        )));
    }
    wait(at, needed, config.ready_for_secs)
}

/// How many members stay. Of a set that is being deleted only those that are there: its controller makes no member any more.
fn staying(at: &Situation) -> u32 {
    let is_there = |peer: &&Peer| peer.stays && peer.holder == Holder::Member;
    match at.cause {
        Cause::SetDeleted => {
            u32::try_from(at.peers.iter().filter(is_there).count()).unwrap_or(u32::MAX)
        }
        Cause::ScaleDown | Cause::Other(_) => at.replicas,
    }
}

fn alone(when_alone: WhenAlone) -> Option<Rendering> {
    match when_alone {
        WhenAlone::Run => None,
        WhenAlone::Keep => Some(Rendering::keep(format!(
            "no member stays that could take the data; where the work needs none, set `whenAlone` to `run` in annotation \
             {CONFIG_ANNOTATION}"
        ))),
    }
}

/// Waits until so many members have been ready for so long. The moment is told to the host, since nothing changes when it comes.
fn wait(at: &Situation, needed: u32, ready_for_secs: u32) -> Option<Rendering> {
    let needed_count = usize::try_from(needed).unwrap_or(usize::MAX);
    let age_ms = u64::from(ready_for_secs) * 1_000;
    let fit_from: Vec<u64> = at
        .peers
        .iter()
        .filter(|peer| peer.can_receive())
        .map(|peer| peer.ready_since.unwrap_or(at.now).saturating_add(age_ms))
        .collect();
    let fit_at = |moment: u64| fit_from.iter().filter(|from| **from <= moment).count();
    // Without an age a clock that is ahead of the host's plays no part.
    let fit = if age_ms == 0 { fit_from.len() } else { fit_at(at.now) };
    if fit >= needed_count {
        return None;
    }
    let enough = fit_from.iter().filter(|from| fit_at(**from) >= needed_count).min();
    let reason = if ready_for_secs == 0 {
        format!("{fit} of the {needed} members that must be ready to take the data are")
    } else {
        format!(
            "{fit} of the {needed} members that must have been ready for {ready_for_secs} s to take the data have"
        )
    };
    Some(match enough {
        Some(from) => Rendering::wait_for(reason, from.saturating_sub(at.now)),
        None => Rendering::wait(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::testing::{self, NOW_MS};

    fn config(keys: &str) -> Config {
        Config::parse(&format!(r#"{{"script": "move-all", {keys}}}"#)).expect(keys)
    }

    fn refusal(at: &Situation, keys: &str) -> String {
        let obstacle = obstacle(at, &config(keys));
        let Some(Rendering::Refuse(reason)) = obstacle else { panic!("{obstacle:?}") };
        reason
    }

    #[test]
    fn it_waits_for_members_that_can_take_the_data() {
        let mut at = testing::situation("web", 2, 2);
        for keys in [r#""readyPeers": 2"#, r#""readyPeers": "all""#] {
            assert_eq!(obstacle(&at, &config(keys)), None);
            at.peers[1].terminating = true;
            let expected = "1 of the 2 members that must be ready to take the data are";
            assert_eq!(obstacle(&at, &config(keys)), Some(Rendering::wait(expected)));
            at.peers[1].terminating = false;
        }
        assert!(refusal(&at, r#""readyPeers": 3"#).starts_with("`readyPeers` is 3, but"));
    }

    #[test]
    fn it_waits_until_they_have_been_ready_for_long_enough() {
        let mut at = testing::situation("web", 2, 2);
        at.peers[0].ready_since = Some(NOW_MS - 30_000);
        at.peers[1].ready_since = Some(NOW_MS - 10_000);
        let all = config(r#""readyPeers": "all", "readyForSecs": 30"#);
        let expected =
            "1 of the 2 members that must have been ready for 30 s to take the data have";
        assert_eq!(obstacle(&at, &all), Some(Rendering::wait_for(expected, 20_000)));
        assert_eq!(obstacle(&at, &config(r#""readyForSecs": 30"#)), None);
        at.now += 20_000;
        assert_eq!(obstacle(&at, &all), None);
        at.peers[1].ready = false;
        assert_eq!(obstacle(&at, &all), Some(Rendering::wait(expected)));
    }

    #[test]
    fn a_clock_that_is_behind_the_members_does_not_hold_up_who_asks_for_no_age() {
        let mut at = testing::situation("web", 1, 1);
        at.peers[0].ready_since = Some(NOW_MS + 5_000);
        assert_eq!(obstacle(&at, &config(r#""readyForSecs": 0"#)), None);
        let waits = obstacle(&at, &config(r#""readyForSecs": 2"#));
        let Some(Rendering::Wait(wait)) = waits else { panic!("{waits:?}") };
        assert_eq!(wait.ask_again, Some(7_000));
    }

    #[test]
    fn with_nobody_left_the_claims_stay_unless_the_owner_says_otherwise() {
        let at = testing::situation("web", 0, 0);
        for keys in [r#""readyPeers": 1"#, r#""readyPeers": "all""#] {
            let obstacle = obstacle(&at, &config(keys));
            let Some(Rendering::Keep(reason)) = obstacle else { panic!("{obstacle:?}") };
            assert!(reason.contains("set `whenAlone` to `run`"), "{reason}");
        }
        assert_eq!(obstacle(&at, &config(r#""whenAlone": "run""#)), None);
        assert_eq!(obstacle(&at, &config(r#""readyPeers": 0"#)), None);
    }

    #[test]
    fn of_a_set_that_is_being_deleted_those_count_that_are_there() {
        let mut at = testing::situation("web", 2, 2);
        at.cause = Cause::SetDeleted;
        assert_eq!(obstacle(&at, &config(r#""readyPeers": 3"#)), None);
        at.peers[1].holder = Holder::Nobody;
        at.peers[1].ready = false;
        assert_eq!(obstacle(&at, &config(r#""readyPeers": "all""#)), None);
        at.peers[0].holder = Holder::Nobody;
        let obstacle = obstacle(&at, &config(r#""readyPeers": 3"#));
        assert!(matches!(obstacle, Some(Rendering::Keep(_))), "{obstacle:?}");
    }
}
