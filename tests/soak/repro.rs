//! From a finding to a proven fix: found in one run, packed, repeated from the bundle alone, and gone without the defect.

use std::fs;

use super::harness::{Machine, text};

/// The chain starts shortly before the height at which 16 bits are full.
const PROFILE: &str = "extends = \"reference-small\"\nname = \"overflow\"\ndefects = [\"height-overflow\"]\narguments = { \"--initial-height\" = \"65470\" }\n";
const PLAN: &str = "profile = \"./profile.toml\"\nblock_interval = \"100ms\"\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\nuntil = \"15s\"\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\n";

#[test]
fn a_finding_is_repeated_from_its_bundle_alone_and_a_fix_is_proven() {
    let why = "a dozen soaks take some minutes";
    let Some(machine) = Machine::take_if_asked(why) else {
        return;
    };
    let folder = machine.state().to_owned();
    fs::write(folder.join("profile.toml"), PROFILE).expect("profile");
    let plan = folder.join("overflow.toml");
    fs::write(&plan, PLAN).expect("plan");
    let found = machine.run(&["soak", &plan.display().to_string()]);
    assert_eq!(found.status.code(), Some(1));
    let bundle = folder.join("overflow-1.cnb").display().to_string();
    let packed = machine.run(&["bundle", "latest", "--output", &bundle]);
    assert!(packed.status.success());
    let listed = machine.run(&["bundle", "--list", &bundle]);
    assert!(text(&listed.stdout).contains("all checksums match"));
    // Nothing but the bundle is left.
    fs::remove_file(plan).expect("plan");
    fs::remove_file(folder.join("profile.toml")).expect("profile");
    fs::remove_dir_all(folder.join("overflow")).expect("runs");
    let again = machine.run(&["repro", &bundle, "stall"]);
    assert_eq!(again.status.code(), Some(0), "it came again");
    let kept = folder.join("kept").display().to_string();
    let options = ["--with-set", "profile.defects=[]", "--times", "4"];
    let arguments = [
        &["repro", &bundle, "stall", "--keep-in", &kept],
        &options[..],
    ]
    .concat();
    let fixed = machine.run(&arguments);
    let said = text(&fixed.stdout);
    assert!(said.contains("FIXED (p = 0.029)"), "{said}");
    assert!(said.contains("4 of 4 stall shard 0"), "{said}");
    assert!(said.contains("0 of 4"), "{said}");
    assert_eq!(fixed.status.code(), Some(0));
    let case = fs::read_dir(&kept).expect("kept").flatten();
    let case = case
        .map(|entry| entry.path())
        .find(|path| !path.to_string_lossy().contains("profile"))
        .expect("the kept case");
    let checked = machine.run(&["plan", "check", &case.display().to_string()]);
    assert!(checked.status.success(), "it is a plan");
}
