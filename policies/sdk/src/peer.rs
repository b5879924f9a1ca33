//! What can be said of another ordinal.

use crate::{Holder, Peer};

impl Peer {
    /// Whether it is a member that stays, is ready and is not on its way out: data may be handed to it.
    pub fn can_receive(&self) -> bool {
        self.stays && self.holder == Holder::Member && self.ready && !self.terminating
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn data_is_handed_to_members_that_stay_and_are_ready() {
        assert!(testing::ready_peer("web", 0).can_receive());
        let unfit: [fn(&mut Peer); 4] = [
            |peer| peer.stays = false,
            |peer| peer.holder = Holder::DrainPod,
            |peer| peer.ready = false,
            |peer| peer.terminating = true,
        ];
        for spoil in unfit {
            let mut peer = testing::ready_peer("web", 0);
            spoil(&mut peer);
            assert!(!peer.can_receive(), "{peer:?}");
        }
    }
}
