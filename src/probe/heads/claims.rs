//! Whose word a height is taken on. One node may be wrong, or lie: what it shows above all others is held back until
//! another one shows as much, or until those that could tell say nothing of it.

/// Blocks that a node may be ahead of all others on its own word: between two polls a healthy one is so for a moment.
/// Far fewer than make a stall, so that no single node hides one.
pub(super) const MAX_LEAD: u64 = 2;

/// The heights that members of a shard have ever shown, as far as they vouch for each other.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The highest, and whose it is.
    highest: Option<(usize, u64)>,
    /// The highest that another one has shown, too.
    supported: Option<u64>,
}

impl Claims {
    /// A node shows this height.
    pub(super) fn note(&mut self, node: usize, height: u64) {
        match self.highest {
            Some((who, most)) if who == node => self.highest = Some((who, most.max(height))),
            Some((_, most)) if height <= most => {
                self.supported = self.supported.max(Some(height));
            }
            before => {
                self.supported = self.supported.max(before.map(|(_, height)| height));
                self.highest = Some((node, height));
            }
        }
    }

    /// Whether a second node vouches for this height, or nearly so.
    pub(super) fn vouch(&self, height: u64) -> bool {
        self.supported
            .is_some_and(|supported| height <= supported.saturating_add(MAX_LEAD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_vouch_for_what_both_have_shown() {
        let mut claims = Claims::default();
        claims.note(0, 1_000);
        claims.note(0, 1_001);
        assert!(!claims.vouch(5), "one node alone");
        claims.note(1, 10);
        assert!(claims.vouch(10 + MAX_LEAD) && !claims.vouch(11 + MAX_LEAD));
        claims.note(2, 9);
        assert!(claims.vouch(10 + MAX_LEAD), "it has been shown");
        claims.note(2, 2_000);
        assert!(claims.vouch(1_001 + MAX_LEAD) && !claims.vouch(2_000));
        claims.note(0, u64::MAX);
        assert!(claims.vouch(2_000) && !claims.vouch(u64::MAX));
        claims.note(1, u64::MAX);
        assert!(claims.vouch(u64::MAX));
    }
}
