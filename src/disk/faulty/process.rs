//! The process that serves a FUSE disk: `canarynet faulty-disk ORDER`, hidden from people, in a container of its own.
//!
//! It has no privilege over the machine: the helper mounts, and hands it the connection to the kernel.

use std::{
    io::{self, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use fuser::{Config, Session, SessionACL};
use rustix::{
    cmsg_space,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use serde::{Deserialize, Serialize};

use super::{backing::Backing, control, disk::Disk, forget::Forget, server::Server};
use crate::exit::Exit;

/// Operations at a time. What is held by a rule holds one of them.
const THREADS: usize = 8;
/// How often time alone does something, and how often it is told what is not synced, if that has changed.
const TICK: Duration = Duration::from_secs(1);

/// How a disk is to be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// The top of the file system behind it.
    pub disk: PathBuf,
    /// Where the connection to the kernel is waited for.
    pub socket: PathBuf,
    /// Where orders are taken.
    pub control: PathBuf,
    /// Owner of the disk's top folder.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

/// The process; ends when the disk is unmounted.
#[must_use]
pub fn faulty_disk_main(arguments: &[String]) -> ExitCode {
    let served = match arguments {
        [order] => serde_json::from_str::<Service>(order)
            .map_err(io::Error::from)
            .and_then(|service| serve(&service)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    match served {
        Ok(()) => Exit::Pass.into(),
        Err(error) => {
            // Its log is read when it is missed.
            let _closed = writeln!(io::stderr(), "{error}");
            Exit::Infra.into()
        }
    }
}

/// Serves a disk until it is unmounted.
///
/// # Errors
/// What could not be had, or what the kernel said.
pub fn serve(service: &Service) -> io::Result<()> {
    // Rights are what the kernel says.
    rustix::process::umask(rustix::fs::Mode::empty());
    let listener = control::listen(&service.socket)?;
    let orders = control::listen(&service.control)?;
    let backing = Backing::open(&service.disk, service.user, service.group)?;
    let (stream, _) = listener.accept()?;
    let kernel = receive(&stream)?;
    let disk = Arc::new(Disk::new(backing));
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    let server = Server::new(Arc::clone(&disk));
    let session = Session::from_fd(server, kernel, SessionACL::All, config)?;
    let forget = Forget::new(session.notifier());
    {
        let (disk, forget) = (Arc::clone(&disk), forget.clone());
        thread::Builder::new()
            .name("orders".to_owned())
            .spawn(move || control::serve(&orders, &disk, &forget))?;
    }
    thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || tick(&disk, &forget))?;
    session.run()
}

/// Does for ever what time does, and tells what is not synced.
fn tick(disk: &Disk, forget: &Forget) {
    let mut told = None;
    loop {
        thread::sleep(TICK);
        disk.tick(|cut, backing| forget.all(cut, backing));
        let unsynced = disk.backing.unsynced();
        if told.as_ref() == Some(&unsynced) {
            continue;
        }
        if let Ok(line) = serde_json::to_string(&unsynced) {
            // Nobody may be there to read it.
            let _unheard = writeln!(io::stdout(), "{line}");
        }
        told = Some(unsynced);
    }
}

/// Takes a descriptor that another process passes.
fn receive(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut passed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut passed,
        flags,
    )?;
    for message in passed.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::Error::other("no descriptor was passed"))
}
