//! The proof without which no claim is deleted. Nothing outside this file can make one.

use crate::{Answer, Drain, Reason, Seat, Seen, View, safety, seen::Claim, stage};

/// That every condition for deleting the claims of one sealed drain pod held in one live read and one judgement of it.
#[derive(Debug)]
pub struct Proof {
    pod_uid: String,
    owner: String,
    reason: String,
}

/// A claim that may be deleted: this very claim in this very version. Only [`Proof::condemn`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    name: String,
    uid: String,
    resource_version: String,
    propagation: Propagation,
    pod_uid: String,
}

/// How a claim is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It goes when no pod uses it.
    Background,
    /// It takes the pods that it owns with it.
    Foreground,
}

impl Condemned {
    /// The claim's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claim's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The version of the claim that was judged.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.resource_version
    }

    /// How it is deleted.
    #[must_use]
    pub const fn propagation(&self) -> Propagation {
        self.propagation
    }

    /// The UID of the sealed drain pod that proves it.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.pod_uid
    }
}

impl Proof {
    /// The proof that the claims of this sealed drain pod may be deleted, or the reason why there is none.
    ///
    /// # Errors
    /// What speaks against it, if anything does or anything needed is not known.
    pub fn of(seen: &Seen, seat: &Seat, drain: &Drain, answer: &Answer) -> Result<Self, Reason> {
        if seen.view != View::LiveInOrder {
            return Err(Reason::Unknown { what: "how things stand at the API server".to_owned() });
        }
        let Answer::Complete(reason) = answer else {
            return Err(Reason::Unknown { what: "whether the drain is complete".to_owned() });
        };
        if !drain.sealed || drain.giving_back {
            return Err(Reason::Unknown { what: "whether the name stays held".to_owned() });
        }
        match safety::no_claim_delete(&seen.set, seat, drain) {
            Some(reason) => Err(reason),
            None => Ok(Self {
                pod_uid: drain.uid.clone(),
                owner: drain.owner.clone(),
                reason: reason.clone(),
            }),
        }
    }

    /// The claims to delete, the owner last and in the foreground, so that it takes the pod with it.
    #[must_use]
    pub fn condemn(&self, seat: &Seat, drain: &Drain) -> Vec<Condemned> {
        let mut claims = stage::undeleted(seat, drain);
        let owner_uid = drain.claims.get(&self.owner);
        claims.sort_by_key(|claim| Some(&claim.uid) == owner_uid);
        claims
            .into_iter()
            .map(|claim| {
                let is_owner = Some(&claim.uid) == owner_uid;
                self.condemn_one(
                    claim,
                    if is_owner { Propagation::Foreground } else { Propagation::Background },
                )
            })
            .collect()
    }

    /// The policy's reason for saying complete.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn condemn_one(&self, claim: &Claim, propagation: Propagation) -> Condemned {
        Condemned {
            name: claim.name.clone(),
            uid: claim.uid.clone(),
            resource_version: claim.resource_version.clone(),
            propagation,
            pod_uid: self.pod_uid.clone(),
        }
    }
}
