//! Profiles and plans that are part of the program, so that an installed binary works in any directory.

/// A shipped text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// What it is called.
    pub name: &'static str,
    /// Its path in the repository.
    pub path: &'static str,
    /// The TOML.
    pub text: &'static str,
}

impl Shipped {
    /// Its first comment line: what it is for.
    #[must_use]
    pub fn about(&self) -> &'static str {
        let comment = self.text.lines().find_map(|line| line.strip_prefix("# "));
        comment.unwrap_or_default()
    }
}

macro_rules! shipped {
    ($directory:literal, $name:literal) => {
        Shipped {
            name: $name,
            path: concat!($directory, "/", $name, ".toml"),
            text: include_str!(concat!("../../", $directory, "/", $name, ".toml")),
        }
    };
}

/// The shipped profiles.
pub const PROFILES: &[Shipped] = &[
    shipped!("profiles", "reference"),
    shipped!("profiles", "reference-pair"),
    shipped!("profiles", "reference-small"),
    shipped!("profiles", "incident-2019-07"),
    shipped!("profiles", "incident-2019-07-fixed"),
    shipped!("profiles", "etcd"),
    shipped!("profiles", "alto"),
    shipped!("profiles", "harmony"),
    shipped!("profiles", "cometbft"),
    shipped!("profiles", "ethereum-json-rpc"),
];

/// The shipped soak plans; the first is the one that `soak` runs without an argument.
pub const PLANS: &[Shipped] = &[
    shipped!("soak", "default"),
    shipped!("soak", "smoke"),
    shipped!("soak", "nightly"),
    shipped!("soak", "faults"),
    shipped!("soak", "incident-2019-07"),
    shipped!("soak", "incident-2019-07-fixed"),
    shipped!("soak", "incident-2019-07-cure"),
    shipped!("soak", "etcd"),
    shipped!("soak", "alto"),
    shipped!("soak", "alto-block-sizes"),
];

/// The shipped text with this name, or with this path where no such file exists.
#[must_use]
pub fn find(list: &[Shipped], name: &str) -> Option<Shipped> {
    let path = name.strip_prefix("./").unwrap_or(name);
    list.iter()
        .copied()
        .find(|shipped| shipped.name == name || shipped.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_text_says_what_it_is_for() {
        for shipped in PROFILES.iter().chain(PLANS) {
            assert!(shipped.about().len() > 20, "{}", shipped.path);
            // A plan may be called as its profile is; paths tell them apart.
            let found = find(PROFILES, shipped.path).or(find(PLANS, shipped.path));
            assert_eq!(found, Some(*shipped));
        }
        assert_eq!(PLANS[0].name, "default");
    }
}
