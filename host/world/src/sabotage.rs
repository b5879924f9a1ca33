//! Guards taken out, one at a time: a host that lacks it, in a world that is otherwise the same. An explorer that finds nothing then is
//! blind there.

/// One guard that the hosts of a world do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// Claims are deleted as soon as the ended pod is judged complete, without a seal.
    NoSeal,
    /// Whoever says complete before the seal is not asked again under it.
    NoSecondJudgement,
    /// A seal is given back without a fence.
    NoFence,
    /// A seal is given back without saying so first.
    NoGiveBack,
    /// Writes name an object by its name and not by identity and version.
    ByName,
    /// Writes name an object in any version.
    AnyVersion,
    /// A drain pod is deleted though it is all that holds a deleted claim.
    NoLastCopy,
    /// The claims are gone on with though another pod uses them.
    NoOtherUsers,
    /// A paused set is worked on.
    NoPause,
    /// A pod of phase `Succeeded` counts as ended by itself, whatever marks it bears.
    PhaseAlone,
    /// The owning claim is deleted in the background.
    NoForeground,
    /// Claims are taken for enrolled.
    NoEnrolment,
    /// The pods are read before the claims.
    PodsFirst,
    /// The set is never touched.
    NoTouch,
    /// A pod is unsealed as soon as one of its claims is being deleted.
    UnsealsEarly,
}

impl Sabotage {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoSeal,
        Self::NoSecondJudgement,
        Self::NoFence,
        Self::NoGiveBack,
        Self::ByName,
        Self::AnyVersion,
        Self::NoLastCopy,
        Self::NoOtherUsers,
        Self::NoPause,
        Self::PhaseAlone,
        Self::NoForeground,
        Self::NoEnrolment,
        Self::PodsFirst,
        Self::NoTouch,
        Self::UnsealsEarly,
    ];
}
