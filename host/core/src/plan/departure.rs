//! A set that is to be drained before it goes: it is held from the moment that it says so, and let go when nothing is left to drain.

use crate::{
    Action, Change, Plan, Reason, Report, Seen, Step,
    departure::{leaves_loose, turn},
    seen::{Cascade, Life, Member, Stewardship},
    settings::{Activity, OnSetDeleted, Settings},
};

use super::{Outlook, Pass, step};

/// Plans what is done to the set itself.
pub(super) fn on_set(seen: &Seen, plan: &mut Plan) {
    let set = &seen.set;
    plan.on_set = match &set.stewardship {
        Stewardship::Unreadable { .. } => None,
        Stewardship::NotOurs if set.held && set.life != Life::Gone => {
            Some(let_go(seen, "it names no policy any more"))
        }
        Stewardship::NotOurs => None,
        Stewardship::Ours(settings) => match (settings.on_set_deleted, set.held, set.life) {
            (_, _, Life::Gone) => None,
            (OnSetDeleted::Drain, false, Life::Lives) => {
                Some(step(Action::Hold(set.into()), Change::Held))
            }
            (OnSetDeleted::Drain, false, Life::Terminating)
            | (OnSetDeleted::Drain, true, Life::Lives)
            | (OnSetDeleted::AsTheSet | OnSetDeleted::Keep, false, _) => None,
            (OnSetDeleted::AsTheSet | OnSetDeleted::Keep, true, _) => {
                Some(let_go(seen, "its annotation does not ask for a drain any more"))
            }
            (OnSetDeleted::Drain, true, Life::Terminating) => departs(seen, settings, plan),
        },
    };
}

fn departs(seen: &Seen, settings: &Settings, plan: &mut Plan) -> Option<Step> {
    let mut says = |reason| plan.reports.push(Report { ordinal: None, reason });
    match seen.set.cascade {
        Cascade::Foreground | Cascade::Orphan => {
            let cascade = seen.set.cascade;
            says(Reason::NobodyStays { cascade });
            Some(let_go(seen, "nobody stays to take its data"))
        }
        Cascade::Background if settings.activity == Activity::Paused => {
            says(Reason::Paused);
            None
        }
        Cascade::Background => match turn(seen) {
            Some(ordinal) => {
                says(Reason::Departs { ordinal });
                None
            }
            // The garbage collector would take what is not anchored yet, and that is done first.
            None if leaves_loose(seen) => None,
            None => Some(let_go(seen, "nothing is left to drain")),
        },
    }
}

fn let_go(seen: &Seen, why: &str) -> Step {
    step(Action::LetGo((&seen.set).into()), Change::LetGo { why: why.to_owned() })
}

impl Pass<'_> {
    pub(super) fn departing(&self, member: &Member) -> Outlook {
        Outlook::acts(vec![step(Action::DeleteMember(member.into()), Change::MemberDeleted)])
    }
}
