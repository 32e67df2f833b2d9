//! The cases: each defect with what exposes it and the findings that it must lead to, and pairs of defects.
//!
//! One shard of four at 100 ms a block. Expectations are those of the table of defects: of each group, `a|b` is either.

/// One defect, or a pair, and what exposes it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The defect's id, or that of both with `+` between them.
    pub id: &'static str,
    /// The defects, as a profile writes them.
    pub defects: &'static [&'static str],
    /// Length of the soak in seconds.
    pub seconds: u64,
    /// Lines of the profile beside `defects`.
    pub profile: &'static str,
    /// Lines of the plan beside the usual ones.
    pub plan: &'static str,
    /// Whether its faults need the privileged helper.
    pub helper: bool,
    /// Findings that must be there, whatever else is; `a|b` is either.
    pub expected: &'static [&'static str],
    /// Part of the reduced matrix, and of every run of the tests.
    pub always: bool,
}

/// What most cases have in common.
const PLAIN: Case = Case {
    id: "",
    defects: &[],
    seconds: 20,
    profile: "",
    plan: "",
    helper: false,
    expected: &[],
    always: false,
};

/// Growth is judged over a thousand blocks by default: a short soak of a network that is known to grow needs less.
const SHORT_TRENDS: &str = "[detectors.trends]\nwarm-up = \"50 blocks\"\nleast = \"300 blocks\"\n";

/// Every defect alone, in the order of [`crate::reference_node::defects::Defect`].
pub const DEFECTS: &[Case] = &[
    Case {
        // A block that was half finished when the shard died brings signatures of its own: some deaths do no harm.
        id: "lose-commit-signatures",
        defects: &["\"lose-commit-signatures\""],
        plan: "[[fault]]\nkind = \"kill\"\ntarget = \"shard:0\"\nevery = \"5s\"\nfor = \"1s\"\n",
        expected: &["commit-signatures-lost", "no-recovery|stall"],
        always: true,
        ..PLAIN
    },
    Case {
        id: "head-before-disk",
        defects: &["\"head-before-disk\""],
        profile: "[disk]\nsize = \"32 MiB\"\n",
        plan: "[[fault]]\nkind = \"disk-fill\"\ntarget = \"leader\"\nat = \"3s\"\nfor = \"8s\"\n",
        expected: &["height-mismatch", "invalid-announce"],
        ..PLAIN
    },
    Case {
        // Some of the deaths come between two blocks, and cost no more than one view change.
        id: "view-change-cannot-recover",
        defects: &["\"view-change-cannot-recover\""],
        seconds: 60,
        profile: "[limits]\ncpus = 0.1\n",
        plan: "[[fault]]\nkind = \"kill\"\ntarget = \"leader\"\nevery = \"2s\"\nfor = \"800ms\"\n",
        expected: &["view-change-loop", "no-recovery|stall"],
        ..PLAIN
    },
    Case {
        id: "exit-on-nonfatal",
        defects: &["\"exit-on-nonfatal\""],
        profile: "[disk]\nsize = \"32 MiB\"\n",
        plan: "restart = { policy = \"after\", after = \"500ms\" }\n[[fault]]\nkind = \"disk-fill\"\ntarget = \"s0-n01\"\nat = \"3s\"\nfor = \"10s\"\n",
        expected: &["crash", "crash-loop"],
        ..PLAIN
    },
    Case {
        id: "stuck-syncing",
        defects: &["\"stuck-syncing\""],
        seconds: 30,
        plan: "[[fault]]\nkind = \"kill\"\ntarget = \"s0-n01\"\nat = \"3s\"\nfor = \"3s\"\n",
        expected: &["stuck-syncing", "node-lagging"],
        ..PLAIN
    },
    Case {
        id: "no-message-retry",
        defects: &["\"no-message-retry\""],
        seconds: 30,
        plan: "[[fault]]\nkind = \"packet-loss\"\ntarget = \"shard:0\"\nat = \"3s\"\nfor = \"20s\"\n",
        helper: true,
        // A storm while packets are lost is excused as long as that lasts; what was sent once and lost stays lost.
        expected: &["view-change-storm|no-recovery"],
        ..PLAIN
    },
    Case {
        id: "no-log-rotation",
        defects: &["\"no-log-rotation\""],
        seconds: 90,
        // Blocks and rotated logs fit in for ever.
        profile: "[disk]\nsize = \"2560 KiB\"\nretention = \"100 blocks\"\nbytes_at_rest = \"2 MiB\"\n",
        plan: SHORT_TRENDS,
        expected: &["disk-growth|disk-exhaustion-forecast|disk-full"],
        ..PLAIN
    },
    Case {
        id: "memory-leak",
        defects: &["\"memory-leak\""],
        seconds: 60,
        // Growth is no leak while the chain fills what it keeps.
        profile: "[disk]\nretention = \"100 blocks\"\n",
        plan: SHORT_TRENDS,
        expected: &["memory-growth"],
        ..PLAIN
    },
    Case {
        id: "fd-leak",
        defects: &["\"fd-leak\""],
        seconds: 60,
        plan: SHORT_TRENDS,
        expected: &["fd-growth"],
        ..PLAIN
    },
    Case {
        id: "block-time-creep",
        defects: &["\"block-time-creep\""],
        seconds: 90,
        plan: SHORT_TRENDS,
        expected: &["block-time-creep|slow-blocks"],
        ..PLAIN
    },
    Case {
        id: "height-overflow",
        defects: &["\"height-overflow\""],
        seconds: 15,
        profile: "arguments = { \"--initial-height\" = \"65470\" }\n",
        expected: &["stall|height-regression"],
        always: true,
        ..PLAIN
    },
    Case {
        id: "equivocate",
        defects: &["\"equivocate\""],
        seconds: 15,
        expected: &["double-proposal"],
        always: true,
        ..PLAIN
    },
    Case {
        id: "fork-on-heal",
        defects: &["\"fork-on-heal\""],
        plan: "[[fault]]\nkind = \"pause\"\ntarget = [\"s0-n01\", \"s0-n02\", \"s0-n03\"]\nat = \"3s\"\nfor = \"6s\"\n",
        expected: &["fork"],
        ..PLAIN
    },
    Case {
        id: "cross-shard-leak",
        defects: &["\"cross-shard-leak\""],
        seconds: 40,
        profile: "shards = 2\n",
        plan: "[[fault]]\nkind = \"restart\"\ntarget = \"shard:0\"\nat = \"5s\"\nfor = \"3s\"\n",
        expected: &["cross-shard-stall"],
        ..PLAIN
    },
    Case {
        id: "idle-signer",
        defects: &["{ id = \"idle-signer\", nodes = [\"s0-n03\"] }"],
        seconds: 30,
        expected: &["idle-validator|low-signers"],
        ..PLAIN
    },
    Case {
        // Not every end falls between two syncs.
        id: "torn-write",
        defects: &["\"torn-write\""],
        seconds: 25,
        plan: "[[fault]]\nkind = \"kill\"\ntarget = \"shard:0\"\nevery = \"5s\"\nfor = \"1s\"\n",
        expected: &["db-corruption|height-regression"],
        ..PLAIN
    },
];

/// Pairs that made one another worse in July 2019.
pub const PAIRS: &[Case] = &[
    Case {
        id: "head-before-disk+view-change-cannot-recover",
        defects: &["\"head-before-disk\"", "\"view-change-cannot-recover\""],
        seconds: 25,
        profile: "[disk]\nsize = \"32 MiB\"\n",
        plan: "[[fault]]\nkind = \"disk-fill\"\ntarget = \"leader\"\nat = \"3s\"\nfor = \"8s\"\n",
        expected: &["height-mismatch|invalid-announce|view-change-loop|no-recovery|stall"],
        ..PLAIN
    },
    Case {
        id: "exit-on-nonfatal+view-change-cannot-recover",
        defects: &["\"exit-on-nonfatal\"", "\"view-change-cannot-recover\""],
        seconds: 30,
        profile: "[disk]\nsize = \"32 MiB\"\n",
        plan: "restart = { policy = \"after\", after = \"500ms\" }\n[[fault]]\nkind = \"disk-fill\"\ntarget = \"leader\"\nat = \"3s\"\nfor = \"10s\"\n",
        expected: &["crash|crash-loop|view-change-loop|no-recovery|stall"],
        ..PLAIN
    },
    Case {
        id: "lose-commit-signatures+stuck-syncing",
        defects: &["\"lose-commit-signatures\"", "\"stuck-syncing\""],
        seconds: 25,
        plan: "[[fault]]\nkind = \"kill\"\ntarget = \"shard:0\"\nevery = \"5s\"\nfor = \"1s\"\n",
        expected: &["commit-signatures-lost|no-recovery|stall"],
        ..PLAIN
    },
];

impl Case {
    /// Its profile. `nodes` are four validators on the smallest profile.
    #[must_use]
    pub fn profile_text(&self) -> String {
        profile_text(self.id, self.defects, self.profile)
    }

    /// Its plan on `./profile.toml`; without a seed it has that of an untold one.
    #[must_use]
    pub fn plan_text(&self, seed: Option<&str>) -> String {
        plan_text(seed, self.seconds, self.helper, self.plan)
    }
}

/// A profile of one shard of four, with these defects and these further lines.
pub(super) fn profile_text(name: &str, defects: &[&str], rest: &str) -> String {
    format!(
        "extends = \"reference-small\"\nname = \"{name}\"\ndefects = [{}]\n{rest}",
        defects.join(", ")
    )
}

/// A plan at 100 ms a block on the profile beside it.
pub(super) fn plan_text(seed: Option<&str>, seconds: u64, helper: bool, rest: &str) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!("seed = \"{seed}\"\n"));
    let helper = if helper { "allow_helper = true\n" } else { "" };
    format!(
        "profile = \"./profile.toml\"\n{seed}block_interval = \"100ms\"\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\n\
         load = {{ rate = \"20 tx/s per shard\", cross_shard = \"20 %\" }}\nuntil = \"{seconds}s\"\n{helper}{rest}"
    )
}
