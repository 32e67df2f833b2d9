//! Commands and files as they would be, against `tests/profiles_golden/`. `UPDATE_GOLDEN=1` writes them anew.

use canarynet::{plan::check::check, profile::rehearsal::rehearse};

fn text(profile: &str, set: &[&str]) -> String {
    let plan = crate::plan(profile, set);
    let report = check(&plan);
    assert_eq!(report.refusals, Vec::<String>::new(), "{profile}");
    rehearse(&plan, None).unwrap().to_string()
}

#[test]
fn commands_and_files_are_the_golden_ones() {
    let mut wrong = Vec::new();
    for (name, profile, set) in [
        ("harmony", "harmony", &[][..]),
        (
            "harmony-2026",
            "harmony",
            &[
                "profile.values.release=2026",
                "profile.values.blocks_per_epoch=16",
                "profile.nodes={ validator = 8, explorer = 1 }",
            ][..],
        ),
        ("cometbft", "cometbft", &["speedup=20"][..]),
        ("ethereum-json-rpc", "ethereum-json-rpc", &[][..]),
    ] {
        let rendered = text(profile, set);
        let path = format!("profiles_golden/{name}.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests")
                .join(path);
            std::fs::write(path, rendered).unwrap();
        } else if crate::file(&path) != rendered {
            wrong.push(format!("{path} is another one:\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the specification demands of every Harmony node's command, whatever the golden file says.
#[test]
fn harmony_nodes_can_be_asked_and_share_the_keys() {
    let network = |set: &[&str]| {
        let plan = crate::plan("harmony", set);
        rehearse(&plan, None).unwrap().nodes
    };
    for node in network(&[]) {
        let has = |word: &str| node.command.iter().any(|argument| argument == word);
        for word in [
            "--http.ip=0.0.0.0",
            "--ws.ip=0.0.0.0",
            "--dns.client=false",
            "--sync.stagedsync=true",
        ] {
            assert!(has(word), "{word}: {:?}", node.command);
        }
        let old = ["--port", "--is_leader", "--block_period", "--log.console"];
        let old = |argument: &&String| {
            old.iter()
                .any(|flag| argument.split('=').next() == Some(*flag))
        };
        assert_eq!(node.command.iter().find(old), None);
    }
    for (validators, each) in [(1, 8), (2, 4), (4, 2), (8, 1)] {
        let plan = crate::plan(
            "harmony",
            &[format!("profile.nodes.validator={validators}").as_str()],
        );
        let mut keys = Vec::new();
        for node in &plan.network.nodes {
            let rehearsal = rehearse(&plan, Some(&node.name)).unwrap();
            let own = rehearsal.nodes[0].command.iter();
            let own = own.filter_map(|argument| argument.strip_prefix("--bls.keys="));
            let own: Vec<String> = own
                .flat_map(|list| list.split(','))
                .map(str::to_owned)
                .collect();
            assert_eq!(own.len(), each, "{own:?}");
            keys.extend(own);
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(
            (all, keys.len()),
            (16, 16),
            "every key is somewhere, and once"
        );
        let is_key =
            |key: &String| key.starts_with("/keys/") && key.len() == "/keys/.key".len() + 96;
        assert!(keys.iter().all(is_key), "{keys:?}");
    }
    let new = network(&["profile.values.release=2026"]);
    let has = |word: &str| new[0].command.iter().any(|argument| argument == word);
    assert!(
        has("--sync.client=true")
            && !has("--sync.downloader=true")
            && !has("--sync.stagedsync=true")
    );
    let explorers = network(&["profile.nodes.explorer=1"]);
    let explorer = explorers
        .iter()
        .find(|node| node.role == "explorer")
        .unwrap();
    let has = |word: &str| explorer.command.iter().any(|argument| argument == word);
    assert!(has("--run=explorer") && has("--run.shard=0") && has("--bls.keys="));
}
