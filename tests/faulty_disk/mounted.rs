//! A disk served by the program's own process, mounted by the test as the helper does it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use canarynet::{
    disk::faulty::{
        control::{self, Order},
        mount,
        process::Service,
    },
    fault::operation::{FaultyOp, Outcome, faulty::Torn},
};
use rustix::mount::{UnmountFlags, unmount};

/// A mounted disk.
pub struct Disk {
    pub target: PathBuf,
    folder: PathBuf,
    process: Child,
}

/// Whether disks can be mounted here; says so loudly where they cannot.
pub fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("SKIPPED: needs root and /dev/fuse, so nothing was tested here");
    }
    can
}

impl Disk {
    /// On a folder: what is behind the disk goes to `behind`, which is made if it is not there.
    pub fn mount(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name);
        for name in ["behind", "target"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let service = Service {
            disk: path("behind"),
            socket: path("socket"),
            control: path("control"),
            user: 0,
            group: 0,
        };
        let process = Command::new(env!("CARGO_BIN_EXE_canarynet"))
            .arg("faulty-disk")
            .arg(serde_json::to_string(&service).unwrap())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let stream = mount::connect(&service.socket).unwrap();
        let kernel = mount::open_kernel(Path::new("/dev/fuse")).unwrap();
        mount::mount_at(&kernel, &path("target")).unwrap();
        let disk = Self {
            target: path("target"),
            folder: folder.to_owned(),
            process,
        };
        mount::hand_over(&stream, &kernel).unwrap();
        // Answered by the process, once it serves.
        rustix::fs::statfs(&disk.target).unwrap();
        disk
    }

    pub fn ask(&self, order: &Order) -> Result<serde_json::Value, String> {
        let order = serde_json::to_string(order).unwrap();
        control::ask(&self.folder.join("control"), &order).map_err(|error| error.to_string())
    }

    pub fn order(&self, what: FaultyOp) -> Outcome {
        serde_json::from_value(self.ask(&Order::Do(what)).unwrap()).unwrap()
    }

    /// Cuts the power now, waiting for no sync, and gives it again.
    pub fn cut_power(&self, torn: Torn) -> Outcome {
        let fault = "cut".to_owned();
        let cut = FaultyOp::PowerCut {
            fault: fault.clone(),
            lasts: Duration::from_millis(1),
            torn,
            path: None,
            seed: 7,
        };
        let outcome = self.order(cut);
        self.order(FaultyOp::Behave { fault });
        outcome
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = unmount(&self.target, UnmountFlags::DETACH);
        let killed = self.process.kill();
        self.process.wait().unwrap();
        if !std::thread::panicking() {
            unmounted.unwrap();
            killed.unwrap();
        }
    }
}
