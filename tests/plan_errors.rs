//! What is wrong with a plan or profile is said with file, line, key and what is allowed.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its own preparation fails"
)]

use std::fs;

use canarynet::{
    plan::{PlanRequest, Program, load, schema},
    profile::shipped::{PLANS, PROFILES},
};

fn request(plan: &str) -> PlanRequest {
    PlanRequest {
        plan: plan.to_owned(),
        date: "2026-11-22".to_owned(),
        ..PlanRequest::default()
    }
}

/// The whole chain of an error, as `main` prints it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// The error of a plan with this text, with the directory's path left out.
fn plan_error(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my plan.toml");
    fs::write(&path, text).unwrap();
    let error = load(&request(path.to_str().unwrap())).expect_err(text);
    chain(&error).replace(&format!("{}/", directory.path().display()), "")
}

fn profile_error(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("net.toml"), text).unwrap();
    fs::write(
        directory.path().join("plan.toml"),
        "profile = \"./net.toml\"",
    )
    .unwrap();
    let error = load(&request(
        directory.path().join("plan.toml").to_str().unwrap(),
    ))
    .expect_err(text);
    chain(&error).replace(&format!("{}/./", directory.path().display()), "")
}

fn set_error(set: &str) -> String {
    let request = PlanRequest {
        set: vec![set.to_owned()],
        ..request("smoke")
    };
    chain(&load(&request).expect_err(set))
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn unknown_keys_have_a_place_and_a_suggestion() {
    let error = plan_error("profile = \"reference\"\nspeedpu = 40\n");
    says(
        &error,
        &[
            "my plan.toml:2:1: unknown key `speedpu`",
            "did you mean `speedup`?",
            "warm_up",
        ],
    );
    let error = plan_error("profile = \"reference\"\n[gate.coverage]\n  block = 3\n");
    says(
        &error,
        &[
            ":3:3: unknown key `gate.coverage.block`",
            "did you mean `blocks`?",
            "lines_lost",
        ],
    );
    let error = plan_error("profile = \"reference\"\nload = { rat = \"5 tx/s\" }\n");
    says(
        &error,
        &[":2:10: unknown key `load.rat`; did you mean `rate`?"],
    );
    says(
        &plan_error("detectors.stal.after = \"3s\""),
        &["unknown key `detectors.stal`; did you mean `stall`?"],
    );
    let error = profile_error(
        "extends = \"reference\"\n[[log]]\nname = \"x\"\nclass = \"note\"\nmesage = \"y\"\n",
    );
    says(
        &error,
        &["net.toml:5:1: unknown key `log[0].mesage`; did you mean `message`?"],
    );
    says(
        &set_error("profile.limits.memry=3 MiB"),
        &["--set profile.limits.memry", "did you mean `memory`?"],
    );
    says(
        &set_error("profle=x"),
        &["unknown key `profle`; did you mean `profile`?"],
    );
    says(
        &plan_error("zzz = 1"),
        &["unknown key `zzz`; allowed here: requires, profile"],
    );
}

#[test]
fn wrong_values_say_what_is_allowed() {
    says(
        &plan_error("speedup = \"fast\""),
        &[":1:11: `speedup`", "expected f64"],
    );
    says(
        &plan_error("warm_up = 200"),
        &["`warm_up`", "a number like `200 blocks`"],
    );
    says(
        &plan_error("until = \"tomorrow\""),
        &["`until`", "height 300000"],
    );
    says(
        &plan_error("until = { any = [] }"),
        &["`until`", "at least one condition"],
    );
    says(&plan_error("keep = \"maybe\""), &["`keep`", "on-fail"]);
    says(
        &plan_error("budget.memory = \"80\""),
        &["`budget.memory`", "`64 MiB`"],
    );
    says(
        &plan_error("settle = \"2 hour mainet\""),
        &["`settle`", "`20 blocks`", "`1m mainnet`"],
    );
    let plan = |text: &str| plan_error(&format!("profile = \"reference\"\n{text}"));
    says(&plan("speedup = 0.5"), &[":2:1: `speedup`", "between 1"]);
    says(&plan("speedup = nan"), &["`speedup`", "between 1"]);
    says(
        &plan("speedup = 2\nblock_interval = \"1s\""),
        &["exclude each other"],
    );
    says(
        &plan("block_interval = \"9s\""),
        &["mainnet's block interval"],
    );
    says(&plan("until = \"height 7\""), &["`until`", "warm-up"]);
    says(
        &plan("detectors.hung.after = \"99999999999 blocks\""),
        &["hundred years"],
    );
    says(&plan("detectors.slow-blocks.factor = 0.5"), &["above 1"]);
    says(
        &set_error("load.rate=50"),
        &["`load.rate`", "50 tx/s per shard"],
    );
    says(&set_error("load"), &["key=value"]);
}

#[test]
fn flags_are_checked_like_values() {
    let seed = PlanRequest {
        seed: Some("two words".to_owned()),
        ..request("smoke")
    };
    says(
        &chain(&load(&seed).unwrap_err()),
        &["--seed: `seed`", "without spaces"],
    );
    let nothing = PlanRequest {
        soak_for: Some(std::time::Duration::ZERO),
        ..request("smoke")
    };
    says(
        &chain(&load(&nothing).unwrap_err()),
        &["--for: `until`", "no length"],
    );
    let image = PlanRequest {
        program: Some(Program::Image("a b".to_owned())),
        ..request("smoke")
    };
    says(
        &chain(&load(&image).unwrap_err()),
        &["--image: `profile.image`", "name:tag"],
    );
}

#[test]
fn images_versions_and_secrets_say_what_is_wrong_with_them() {
    let profile = |text: &str| profile_error(&format!("extends = \"reference\"\n{text}"));
    says(
        &profile("image = { ref = \"x\", pul = \"always\" }"),
        &["net.toml:2:", "pul", "pull"],
    );
    says(
        &profile("image = { pull = \"always\" }"),
        &["`profile.image.ref`", "missing"],
    );
    says(
        &profile("image = { ref = \"a b\" }"),
        &["`profile.image`", "name:tag"],
    );
    says(
        &profile("image = { ref = \"a\", platform = \"amd64\" }"),
        &["`profile.image.platform`", "linux/amd64"],
    );
    says(
        &profile("secrets = { TOKEN = { env = \"the value\" } }"),
        &["`profile.secrets.TOKEN`", "never the value"],
    );
    says(
        &profile("secrets = { TOKEN = {} }"),
        &["`profile.secrets.TOKEN`", "either"],
    );
    says(
        &profile("probe.log.deadline = \"1s\""),
        &["`profile.probe.log.deadline`", "10s"],
    );
    let plan = |text: &str| plan_error(&format!("profile = \"reference\"\n{text}"));
    says(
        &plan("[[versions]]\nname = \"next\"\nimage = \"x:2\"\nshare = \"200 %\""),
        &["versions[0].share"],
    );
    says(
        &plan("[[versions]]\nname = \"next\"\nimage = \"x:2\"\nshard = 9"),
        &[":5:1: `versions[0].shard`", "no shard 9"],
    );
    says(
        &plan(
            "[[versions]]\nname = \"next\"\nimage = \"x:2\"\n[[fault]]\nkind = \"upgrade\"\nversion = \"nxt\"\nat = \"1s\"\nfor = \"1s\"",
        ),
        &["did you mean `next`", "base"],
    );
}

#[test]
fn syntax_errors_have_a_place() {
    says(&plan_error("a = [1,\nb = \n"), &["my plan.toml:2:"]);
    says(
        &plan_error("seed = \"a\"\nseed = \"b\""),
        &["my plan.toml:2:1", "duplicate key"],
    );
    says(&plan_error("speedup = \u{1b}[31m1"), &["my plan.toml:1:"]);
    assert!(!plan_error("speedup = \u{1b}[31m1").contains('\u{1b}'));
    assert!(!plan_error("keep = \"\\u001b[31m\"").contains('\u{1b}'));
}

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    says(
        &plan_error("on_failure = { confirm = 3 }"),
        &["`on_failure.confirm` is not in this version of canarynet"],
    );
    says(
        &profile_error("[probe.rpc]\nbase = \"http://x\""),
        &["`probe.rpc.base` is not in this version"],
    );
    says(
        &profile_error("[[log]]\nmatch = { level = \"error\" }"),
        &["`log[0].match` is not in this version"],
    );
    says(
        &set_error("on_failure.confirm=1"),
        &["`on_failure.confirm` is not in this version"],
    );
}

#[test]
fn snapshots_need_names_an_interval_and_bounds() {
    for (text, words) in [
        (
            "start = { lineage = \"a/b\" }",
            &["start.lineage", "is no name"][..],
        ),
        (
            "start = { lineage = \"a\", snapshot = \"b\" }",
            &["exclude each other"],
        ),
        (
            "snapshot = { keep = 4 }",
            &["snapshot.every", "10000 blocks"],
        ),
        (
            "snapshot = { every = \"9 blocks\", keep = 1 }",
            &["snapshot.keep", "from 2 to 1000"],
        ),
        (
            "snapshot = { evry = \"9 blocks\" }",
            &["did you mean `every`"],
        ),
    ] {
        let plan = format!("profile = \"reference\"\n{text}");
        says(&plan_error(&plan), words);
    }
}

#[test]
fn gates_name_only_what_exists() {
    let gate = |text: &str| plan_error(&format!("profile = \"reference\"\n{text}"));
    says(
        &gate("gate.severity.stal = \"major\""),
        &["is no finding; did you mean `stall`?"],
    );
    says(
        &gate("gate.severity.fork = \"minor\""),
        &["critical by default"],
    );
    says(
        &gate("gate.limits.\"block-interval.p98\" = \"< 1s\""),
        &["is no metric", "block-interval.p99"],
    );
    says(
        &gate("gate.limits.\"recovery.p99\" = \"15 blocks\""),
        &["`< BOUND`"],
    );
    says(
        &gate("gate.limits.\"recovery.p99\" = \"< 15 %\""),
        &["a duration, blocks or mainnet time"],
    );
    let waive = |rest: &str| gate(&format!("[[waive]]\nfinding = \"hung\"\n{rest}"));
    says(
        &waive("until = 2026-13-31\nbecause = \"x\""),
        &["my plan.toml:4"],
    );
    says(
        &waive("until = \"soon\"\nbecause = \"x\""),
        &["is no day", "2026-12-31"],
    );
    says(&waive("until = 2026-12-31\nbecause = \" \""), &["says why"]);
    says(
        &waive("until = 2026-12-31\nbecause = \"x\"\nwhere = { node = \"s9-n00\" }"),
        &["no node \"s9-n00\""],
    );
    says(&waive("until = 2026-12-31"), &["missing field `because`"]);
}

#[test]
fn versions_and_variables() {
    let error = plan_error("requires = \">=99\"\nunheard_of = 1");
    says(
        &error,
        &["requires canarynet >=99", env!("CARGO_PKG_VERSION")],
    );
    says(
        &plan_error("requires = \"new\""),
        &["`requires`", "range of versions"],
    );
    let error = plan_error("profile = \"reference\"\nseed = \"x-${NOBODY_SET_THIS}\"");
    says(
        &error,
        &[
            "my plan.toml:2:8: `seed`",
            "${NOBODY_SET_THIS} is not defined",
        ],
    );
}

#[test]
fn profiles_are_complete_and_consistent() {
    says(
        &profile_error("shards = 1"),
        &["`profile.mainnet.block_interval` is missing"],
    );
    let with = |text: &str| profile_error(&format!("extends = \"reference\"\n{text}"));
    says(
        &with("shards = 0"),
        &["net.toml:2:1: `profile.shards`", "between 1 and 64"],
    );
    says(&with("nodes = { validator = 0 }"), &["`profile.nodes`"]);
    says(&with("nodes = { validator = 100 }"), &["at most 239 nodes"]);
    says(
        &with("binary = \"a\"\nimage = \"b\""),
        &["exclude each other"],
    );
    says(&with("image = \"-x y\""), &["no image reference"]);
    says(
        &with("limits.memory = \"1 MiB\""),
        &["`profile.limits.memory`", "at least 6 MiB"],
    );
    says(&with("limits.cpus = -1.0"), &["`profile.limits.cpus`"]);
    says(
        &with("disk.path = \"/a/../b\""),
        &["`profile.disk.path`", "absolute path"],
    );
    says(&with("disk.write_iops = 10"), &["ext4"]);
    says(
        &with("disk.kind = \"xfs\""),
        &["`profile.disk.size`", "224 MiB"],
    );
    says(
        &with("disk.kind = \"tmpfs\"\ndisk.thin = true"),
        &["`profile.disk.thin`", "ext4"],
    );
    says(&with("user = \"root\""), &["`uid:gid`"]);
    says(&with("capabilities = [\"net admin\"]"), &["no capability"]);
    says(
        &with("accelerate.extra.mainnet = \"1s\""),
        &["`profile.accelerate.extra.set` is missing"],
    );
    says(
        &with("accelerate.view_change_max = { mainnet = \"1s\" }"),
        &["shorter than view_change"],
    );
    says(
        &with("accelerate.view_change = { floor = \"1h\" }"),
        &["longer than mainnet's"],
    );
    says(
        &with("command = [\"{{ node.nme }}\"]"),
        &[
            "`profile.command[0]`",
            "there is no `node.nme`; did you mean `name`?",
        ],
    );
    says(
        &with("command = [\"{% for %}\"]"),
        &["`profile.command[0]`", "syntax error"],
    );
}

#[test]
fn templates_names_and_extends_are_checked() {
    let with = |text: &str| profile_error(&format!("extends = \"reference\"\n{text}"));
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    says(&with(&format!("command = [\"{endless}\"]")), &["fuel"]);
    let long = "{% for a in range(9999) %}0123456789abcdef{% endfor %}";
    says(
        &with(&format!("command = [\"{long}\"]")),
        &["more than 131072 bytes"],
    );
    let unset = "[probe.rpc]\ndialect = \"harmony\"\nport = 1\n";
    let base = "shards = 1\nnodes.validator = 1\nitself = true\ndisk.size = \"8 MiB\"\nmainnet.block_interval = \"8s\"\n\
                accelerate.block_interval.lever = \"none\"\naccelerate.view_change = { mainnet = \"27s\", lever = \"none\" }\n";
    let text = format!("{base}command = [\"{{{{ ports.metrics }}}}\"]\n{unset}");
    says(
        &profile_error(&text),
        &[
            "`profile.command[0]`",
            "there is no `ports.metrics`; there are: rpc",
        ],
    );
    says(
        &with("environment.A = \"{{ nothing }}\""),
        &["`profile.environment.A`"],
    );
    says(
        &with("environment.\"A B\" = \"x\""),
        &["no variable's name"],
    );
    says(
        &with("[[log]]\nname = \"x\"\nclass = \"note\""),
        &["matches every line"],
    );
    says(&with("extends = \"reference\""), &["duplicate key"]);
    says(&profile_error("extends = \"./net.toml\""), &["in a circle"]);
    says(
        &profile_error("extends = \"refrence\""),
        &["did you mean `reference`?", "reference-small"],
    );
    says(
        &profile_error("extends = \"./gone.toml\""),
        &["cannot read the profile", "gone.toml", "No such file"],
    );
}

/// File, line, what is wrong and what to do about it.
#[test]
fn what_is_wrong_in_a_profile_has_its_line_and_a_remedy() {
    let with = |text: &str| profile_error(&format!("extends = \"reference\"\n{text}"));
    says(
        &with("name = \"x\"\ncommand = [\n  \"run\",\n  \"{{ shard.indx }}\",\n]"),
        &[
            "net.toml:5:3: `profile.command[1]`",
            "there is no `shard.indx`; did you mean `index`?",
            "first_ip",
        ],
    );
    says(
        &with("[arguments]\n\"--new\" = \"{{ sed }}\""),
        &[
            "net.toml:3:1: `profile.arguments.--new`",
            "did you mean `seed`?",
        ],
    );
    says(
        &with("image = \"app:${APPD_TAG_OF_NOBODY}\""),
        &[
            "net.toml:2:9: `image`: variable ${APPD_TAG_OF_NOBODY} is not defined",
            "APPD_TAG_OF_NOBODY=... canarynet",
        ],
    );
    let rule = |text: &str| with(&format!("[[log]]\nname = \"a\"\nclass = \"note\"\n{text}"));
    for (text, parts) in [
        (
            "message = \"x\"\npattern = '(x'",
            ["net.toml:6:1: `profile.log[0].pattern`", "unclosed group"],
        ),
        (
            "message = \"x\"\npattern = '(?<levl>x)'",
            ["`profile.log[0].pattern`", "did you mean `level`?"],
        ),
        ("pattern = 'x'", ["`profile.log[0]`", "beside `pattern`"]),
        (
            "message = []",
            [
                "net.toml:5:1: `profile.log[0].message`",
                "at least one text",
            ],
        ),
        (
            "message = 7",
            [
                "net.toml:5:11: `log[0].message`",
                "a text or a list of texts",
            ],
        ),
        (
            "level = \"loud\"",
            ["net.toml:5:1: `profile.log[0].level`", "debug, info, warn"],
        ),
        (
            "level = \"warn\"\nfields = { msg = \"x\" }",
            ["`profile.log[0].fields`", "write `message`"],
        ),
    ] {
        says(&rule(text), &parts);
    }
    says(
        &with("[[log]]\nname = \"a\"\nmessage = \"x\"\nclass = \"disk-ful\""),
        &["net.toml:5:9: `log[0].class`", "did you mean `disk-full`?"],
    );
}

/// Rules of a profile stand before those that it extends, and their places move with them.
#[test]
fn a_rule_of_the_extended_profile_has_its_own_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("base.toml"), "extends = \"reference\"\n\n[[log]]\nname = \"b\"\nmessage = \"b\"\npattern = '('\nclass = \"note\"\n").unwrap();
    fs::write(
        path("net.toml"),
        "extends = \"./base.toml\"\n[[log]]\nname = \"a\"\nmessage = \"a\"\nclass = \"note\"\n",
    )
    .unwrap();
    fs::write(path("plan.toml"), "profile = \"./net.toml\"").unwrap();
    let error = load(&request(path("plan.toml").to_str().unwrap())).unwrap_err();
    says(&chain(&error), &["base.toml:6:1: `profile.log[1].pattern`"]);
}

#[test]
fn plans_that_are_not_there() {
    says(
        &chain(&load(&request("smok")).unwrap_err()),
        &["did you mean `smoke`?", "default, smoke, nightly"],
    );
    says(
        &chain(&load(&request("/nonexistent/x.toml")).unwrap_err()),
        &["cannot read the plan", "No such file"],
    );
    says(
        &chain(&load(&request("/")).unwrap_err()),
        &["cannot read the plan"],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    fs::write(&path, vec![b'#'; 300 * 1024]).unwrap();
    says(
        &chain(&load(&request(path.to_str().unwrap())).unwrap_err()),
        &["is longer than 262144 bytes"],
    );
    fs::write(&path, [0xff, 0xfe]).unwrap();
    says(
        &chain(&load(&request(path.to_str().unwrap())).unwrap_err()),
        &["cannot read the plan", "utf-8"],
    );
    says(&plan_error("seed = 7"), &["`profile` is missing"]);
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    let rule =
        |name: &str| format!("[[log]]\nname = \"{name}\"\nmessage = \"a\"\nclass = \"note\"\n");
    fs::create_dir_all(at("nets")).unwrap();
    fs::create_dir_all(at("plans")).unwrap();
    let base = format!(
        "extends = \"reference-small\"\nname = \"base\"\n{}",
        rule("old")
    );
    fs::write(at("nets/base.toml"), base).unwrap();
    let app = format!(
        "extends = \"./base.toml\"\nbinary = \"target/app\"\n{}",
        rule("new")
    );
    fs::write(at("nets/My_App.toml"), app).unwrap();
    fs::write(
        at("plans/Gate 1.toml"),
        "profile = \"../nets/My_App.toml\"\nseed = 7",
    )
    .unwrap();
    let file = at("plans/Gate 1.toml");
    let plan = load(&request(file.to_str().unwrap())).unwrap();
    assert_eq!(
        (
            plan.name.as_str(),
            plan.profile.as_str(),
            plan.seed.as_str()
        ),
        ("gate-1", "my-app", "7")
    );
    assert_eq!(
        plan.network.program,
        Program::Binary(at("plans/../nets/target/app"))
    );
    let names: Vec<&str> = plan
        .network
        .log_rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(names[..2], ["new", "old"]);
    assert!(names.contains(&"store-recovered"));
    let flag = PlanRequest {
        program: Some(Program::Image("x:1".to_owned())),
        ..request(file.to_str().unwrap())
    };
    assert_eq!(
        load(&flag).unwrap().network.program,
        Program::Image("x:1".to_owned())
    );
}

#[test]
fn the_schemas_know_every_key_of_the_shipped_files() {
    let plan: serde_json::Value = serde_json::from_str(&schema::plan_schema()).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&schema::profile_schema()).unwrap();
    for (schema, list) in [(&plan, PLANS), (&profile, PROFILES)] {
        assert_eq!(
            schema["additionalProperties"],
            serde_json::Value::Bool(false)
        );
        for shipped in list {
            for key in shipped.text.parse::<toml::Table>().unwrap().keys() {
                let described = schema["properties"][key]["description"].is_string();
                assert!(described, "{key} of {} has no description", shipped.path);
            }
        }
    }
}

/// What a plan names is read by the verbs too, not only by the library.
#[test]
fn a_log_baseline_that_is_not_there_is_told_by_the_verb() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("case.toml");
    std::fs::write(
        &plan,
        "profile = \"reference-small\"\nspeedup = 40\nuntil = \"1m\"\nlog_baseline = \"./none.json\"\n",
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_canarynet"))
        .args(["plan", "check"])
        .arg(&plan)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("none.json"), "{said}");
}
