//! What runs hold of the machine: one that does not fit ends and says who is before it, or waits for its turn, and leaves
//! nothing either way.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::harness::{Machine, docker, text};

/// A reservation of a run that is not seen from here, of more processors than any machine has.
struct Holder {
    run: String,
}

impl Holder {
    fn make() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock");
        let run = format!("holder-1-{:05x}", std::process::id() & 0xf_ffff);
        let (seconds, millis) = (now.as_secs().to_string(), now.as_millis().to_string());
        let labels = [
            ("run", run.as_str()),
            ("role", "reservation"),
            ("owner-pid", "1"),
            ("boot-id", "elsewhere"),
            ("created", &seconds),
            ("ttl", "600"),
            ("state", "/nowhere/holder/1"),
            ("reserved-at", &millis),
            ("reserve-millicores", "1000000"),
            ("reserve-memory", "1048576"),
            ("reserve-disk", "0"),
            ("reserve-disk-later", "0"),
        ];
        let labels = labels.map(|(key, value)| format!("--label=canarynet.{key}={value}"));
        let name = format!("{run}-reservation");
        let mut words = vec!["volume", "create"];
        words.extend(labels.iter().map(String::as_str));
        words.push(&name);
        docker(&words);
        Self { run }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        docker(&[
            "volume",
            "rm",
            "--force",
            &format!("{}-reservation", self.run),
        ]);
    }
}

/// A soak of the plan that looks at what others hold, unlike those of other tests.
fn soak(machine: &Machine, words: &[&str]) -> Command {
    let mut command = machine.canarynet(&[&["soak"], words].concat());
    command
        .env_remove("CANARYNET_NO_RESERVE")
        .stdin(Stdio::null());
    command
}

fn in_background(machine: &Machine, words: &[&str]) -> Child {
    let output = File::create(machine.state().join("soak.txt")).expect("output file");
    let errors = output.try_clone().expect("output file");
    let mut command = soak(machine, words);
    command.stdout(output).stderr(errors);
    command.spawn().expect("canarynet soak")
}

fn wait_for_words(machine: &Machine, child: &mut Child, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let said = fs::read_to_string(machine.state().join("soak.txt")).unwrap_or_default();
        if said.contains(words) {
            return;
        }
        let ended = child.try_wait().expect("child");
        assert!(
            ended.is_none(),
            "it ended ({ended:?}) without {words:?}: {said}"
        );
        assert!(
            Instant::now() < deadline,
            "{words:?} was never said: {said}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the engine has of runs of this plan.
fn objects() -> Vec<String> {
    let names = ["ps -a --format {{.Names}}", "volume ls --format {{.Name}}"];
    let all = names.map(|words| docker(&words.split(' ').collect::<Vec<_>>()));
    let lines = all.iter().flat_map(|text| text.lines());
    let own = lines.filter(|name| name.starts_with("reserving-"));
    own.map(str::to_owned).collect()
}

#[test]
fn a_run_that_does_not_fit_says_who_is_before_it_or_waits_for_its_turn() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let rest = "warm_up = \"3 blocks\"\nuntil = \"5m\"\nsettle = \"2 blocks\"\n\
        reserve = { cores = \"0.01\", memory = \"1 MiB\", disk = \"1 MiB\" }\n";
    let plan = machine.plan("reserving", rest);
    let slow = ["--set", "speedup=16"];
    let holder = Holder::make();

    let refused = soak(&machine, &[&plan]).output().expect("canarynet soak");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    for words in [
        &*format!("{} reserves 1000 cores", holder.run),
        "--wait",
        "--no-reserve",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!machine.state().join("reserving").exists());

    let mut waiting = in_background(&machine, &[&plan, "--wait"]);
    // Runs of others may hold something, too.
    wait_for_words(&machine, &mut waiting, "waits for");
    wait_for_words(&machine, &mut waiting, &holder.run);
    assert_eq!(objects().len(), 1, "{:?}", objects());
    let status = Command::new("kill")
        .args(["-s", "INT", &waiting.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
    assert_eq!(waiting.wait().expect("child").code(), Some(130));
    assert_eq!(objects(), Vec::<String>::new());
    assert!(!machine.state().join("reserving").exists());

    let mut waiting = in_background(&machine, &[&[&*plan, "--wait=5m"], &slow[..]].concat());
    wait_for_words(&machine, &mut waiting, "waits for");
    drop(holder);
    machine.wait_for_stage("soak");
    let listed = machine.run(&["runs"]);
    let listed = text(&listed.stdout);
    assert!(
        listed.contains("reserving/1 reserves 0.01 cores, 1 MiB of memory, 1 MiB of disk"),
        "{listed}"
    );
    let much = soak(&machine, &[&plan, "--set", "reserve.cores=99999"]).output();
    let much = much.expect("canarynet soak");
    let said = text(&much.stderr);
    assert_eq!(much.status.code(), Some(3), "{said}");
    // Of several holders the largest is the one to end.
    for words in ["reserving/1 reserves 0.01 cores", "canarynet stop "] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let stopped = machine.run(&["stop", "reserving/1"]);
    assert_eq!(stopped.status.code(), Some(0));
    waiting.wait().expect("child");
    machine.assert_nothing_left();
    assert_eq!(objects(), Vec::<String>::new());
}
