//! `soak --supervise` and `runs adopt`: a small process that sees to it that a run has an owner until it has a verdict.
//!
//! The owner is a child of its own process group that prints to a file of the run's directory, so that it outlives a
//! supervisor that is killed; the next supervisor finds the run owned and waits for it.

use std::{
    ffi::OsString,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::{
    Failure,
    arguments::{AdoptArguments, Common},
    network, print_line, runtime, state_folder,
};
use crate::{
    engine,
    exit::Exit,
    plan::Plan,
    run::{
        directory::{RunDirectory, RunRecord},
        signal::{Interrupt, Signals},
        supervision::{
            End, Next, Owners, SupervisorLock, begun, has_begun, is_begun_by, is_unfinished, keep,
        },
    },
};

/// How often run and signals are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for an engine that answers, before an owner is started: one that is being restarted, or boots.
const ENGINE: Duration = Duration::from_secs(5 * 60);
const ENGINE_LOOK: Duration = Duration::from_secs(1);
/// What owners print, in the run's directory.
const OUTPUT: &str = "output.txt";
/// Bytes of it that are passed on at once.
const CHUNK: usize = 64 << 10;

/// Signals so far: the number of them, and the last.
type Asked = (u64, Option<Interrupt>);

/// `soak --supervise`: goes on with the run that an earlier supervisor of the same command line has left, or begins one.
pub(super) fn soak(
    common: &Common,
    plan: &Plan,
    owners: u32,
    begin: Vec<OsString>,
    attach: Vec<OsString>,
) -> Result<ExitCode, Failure> {
    let (directory, lock, fresh) = match left_by_another(common, &begin)? {
        Some((directory, lock)) => (directory, lock, false),
        None => {
            let (directory, lock) = made(common, plan, &begin)?;
            (directory, lock, true)
        }
    };
    let record = read(&directory)?;
    say(
        common,
        &format!(
            "{} is supervised{}; `canarynet stop {}` ends it",
            record.name,
            if fresh { "" } else { ", as before" },
            record.name
        ),
    );
    let supervised = Supervised {
        common: common.clone(),
        directory,
        _lock: lock,
        begin: Some(begin),
        attach,
        owners: Owners::new(owners),
        show: true,
    };
    runtime()?.block_on(async {
        let (asking, asked) = watch::channel((0, None));
        let mut signals = Signals::install()?;
        tokio::select! {
            ended = supervised.run(asked, fresh) => ended,
            never = listen(&mut signals, asking) => never,
        }
    })
}

/// `runs adopt`: all runs without a verdict that nobody sees to.
pub(super) fn adopt(common: &Common, verb: &AdoptArguments) -> Result<ExitCode, Failure> {
    let mut adopted = Vec::new();
    for (directory, record) in state_folder(common)?.all() {
        let began = begun(&directory);
        // Owned and never supervised: its owner is in somebody's terminal.
        if !is_unfinished(&record) || (directory.owner().is_some() && began.is_none()) {
            continue;
        }
        let Some(lock) = SupervisorLock::take(&directory)? else {
            continue;
        };
        if began.is_none() && !has_begun(directory.path()) {
            let line = format!(
                "{} never began; `canarynet clean {}` removes what is left of it",
                record.name, record.name
            );
            say(common, &line);
            continue;
        }
        say(common, &format!("{} is taken over", record.name));
        adopted.push(Supervised {
            common: common.clone(),
            directory,
            _lock: lock,
            attach: began
                .as_ref()
                .map_or_else(Vec::new, |(words, _)| watched(words)),
            begin: began.map(|(words, _)| words),
            owners: Owners::new(verb.owners),
            show: false,
        });
    }
    if adopted.is_empty() {
        say(common, "no run lacks both an owner and a verdict");
        return Ok(ExitCode::SUCCESS);
    }
    runtime()?.block_on(async {
        let (asking, asked) = watch::channel((0, None));
        let mut signals = Signals::install()?;
        let all = join_all(adopted.into_iter().map(|run| run.run(asked.clone(), false)));
        let ended = tokio::select! {
            ended = all => ended,
            never = listen(&mut signals, asking) => return never,
        };
        // The first that could not be seen to is told; each run's own code is in its record.
        ended.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Of the words that began a run those that are for every owner of it.
fn watched(words: &[OsString]) -> Vec<OsString> {
    let options = ["--metrics=", "--serve=", "--artifacts="];
    let of_all = |word: &&OsString| {
        let bytes = word.as_encoded_bytes();
        options
            .iter()
            .any(|option| bytes.starts_with(option.as_bytes()))
    };
    words.iter().filter(of_all).cloned().collect()
}

/// Counts signals, for ever.
async fn listen(signals: &mut Signals, asking: watch::Sender<Asked>) -> Result<ExitCode, Failure> {
    loop {
        let interrupt = signals.next().await;
        asking.send_modify(|(count, last)| {
            *count += 1;
            *last = Some(interrupt);
        });
    }
}

/// One line beside what the owners print.
fn say(common: &Common, line: &str) {
    if common.json {
        // Standard output is the owners' alone then.
        let _ = writeln!(std::io::stderr(), "{line}");
    } else {
        let _ = print_line(line);
    }
}

fn read(directory: &RunDirectory) -> Result<RunRecord, Failure> {
    directory
        .record()
        .map_err(|error| Failure::infra("cannot read the run").because(&error))
}

/// A run of this very command line that has no verdict, and whose supervisor is gone.
fn left_by_another(
    common: &Common,
    begin: &[OsString],
) -> Result<Option<(RunDirectory, SupervisorLock)>, Failure> {
    for (directory, record) in state_folder(common)?.all() {
        if is_unfinished(&record)
            && is_begun_by(&directory, begin)
            && let Some(lock) = SupervisorLock::take(&directory)?
        {
            return Ok(Some((directory, lock)));
        }
    }
    Ok(None)
}

fn made(
    common: &Common,
    plan: &Plan,
    begin: &[OsString],
) -> Result<(RunDirectory, SupervisorLock), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::infra("cannot make the run's directory").because(error)
    };
    let (directory, owner, name, run) = state_folder(common)?
        .create(&plan.name)
        .map_err(|error| failed(&error))?;
    let lock = SupervisorLock::take(&directory)?
        .ok_or_else(|| Failure::infra("a new run has a supervisor already"))?;
    keep(&directory, begin)?;
    directory
        .write_record(&RunRecord::starting(run, name, plan, common.engine.clone()))
        .map_err(|error| failed(&error))?;
    drop(owner);
    Ok((directory, lock))
}

/// A run that is seen to.
struct Supervised {
    common: Common,
    directory: RunDirectory,
    /// Held as long as this process sees to it.
    _lock: SupervisorLock,
    /// Words that begin it; `None` where they are not known.
    begin: Option<Vec<OsString>>,
    /// Words to `runs attach` beside the run.
    attach: Vec<OsString>,
    owners: Owners,
    /// What the owners print is passed on.
    show: bool,
}

impl Supervised {
    /// Sees to it that the run has an owner until it has a verdict; answers its exit code.
    async fn run(
        mut self,
        mut asked: watch::Receiver<Asked>,
        fresh: bool,
    ) -> Result<ExitCode, Failure> {
        let mut output = Output::new(self.directory.path(), self.show, fresh);
        let mut child = match fresh {
            true => Some(self.start(true)?),
            false => None,
        };
        loop {
            let since = Instant::now();
            let end = self
                .until_it_ends(child.take(), &mut asked, &mut output)
                .await?;
            let record = read(&self.directory)?;
            let begun = has_begun(self.directory.path());
            let lived = since.elapsed();
            match self.owners.ended(end, lived, &record, begun) {
                Next::Over(code) => return Ok(ExitCode::from(code)),
                Next::Removed => {
                    return Err(Failure::infra(format!(
                        "{} was removed before it had a verdict",
                        record.name
                    )));
                }
                Next::GivenUp { owners } => {
                    return Err(given_up(&record.name, owners, self.directory.path()));
                }
                Next::Owner { begin: true, .. } if asked.borrow().1.is_some() => {
                    // Nothing was begun, and nothing is wanted any more.
                    let exit = asked.borrow().1.map_or(Exit::Interrupted, Interrupt::exit);
                    return Ok(exit.into());
                }
                Next::Owner { after, begin } => {
                    let how = if begin {
                        "it is begun anew"
                    } else {
                        "another takes it over"
                    };
                    let line = format!(
                        "the owner of {} ended without a verdict; {how}",
                        record.name
                    );
                    say(&self.common, &line);
                    tokio::time::sleep(after).await;
                    self.engine_answers(&record).await?;
                    if begin {
                        self.clear(&record).await?;
                    }
                    child = Some(self.start(begin)?);
                }
            }
        }
    }

    /// Waits until the run has no owner any more. Signals are handed on to the owner, each once, and the ones that came
    /// before it was there, too.
    async fn until_it_ends(
        &self,
        mut child: Option<Child>,
        asked: &mut watch::Receiver<Asked>,
        output: &mut Output,
    ) -> Result<End, Failure> {
        let mut handed = 0;
        let mut end = End::Torn;
        loop {
            if let Some(running) = &mut child
                && let Some(status) = running.try_wait()?
            {
                end = ended(status);
                child = None;
            }
            output.pass_on()?;
            let owner = self.directory.owner();
            if child.is_none() && owner.is_none() {
                output.pass_on()?;
                return Ok(end);
            }
            let (count, last) = *asked.borrow_and_update();
            let known = owner.filter(|process| *process != 0);
            let process = child.as_ref().map(Child::id).or(known);
            if let (Some(interrupt), Some(process)) = (last, process)
                && handed < count
            {
                // One that takes the run over listens from when it owns it; one that begins it may end at once.
                let listens = owner == Some(process) || !has_begun(self.directory.path());
                if listens {
                    hand_on(process, interrupt);
                    handed = count;
                }
            }
            let _ = tokio::time::timeout(LOOK, asked.changed()).await;
        }
    }

    /// Starts an owner.
    fn start(&self, begin: bool) -> Result<Child, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let path = self.directory.path();
        match (&self.begin, begin) {
            (Some(words), true) => {
                command.args(words).arg("--detached-as").arg(path);
            }
            _ => {
                command.args(["runs", "attach", "--background"]).arg(path);
                command.args(&self.attach).args(options(&self.common));
            }
        }
        // Paths of the command line begin where it was typed.
        if let Some((_, folder)) = begun(&self.directory) {
            command.current_dir(folder);
        }
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path.join(OUTPUT))?;
        Ok(command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // The terminal's Ctrl-C is for this process, which hands it on once.
            .process_group(0)
            .spawn()?)
    }

    /// Waits until the engine answers: without it no owner gets anywhere.
    async fn engine_answers(&self, record: &RunRecord) -> Result<(), Failure> {
        let until = Instant::now() + ENGINE;
        loop {
            match network::connect(&self.common, Some(record)).await {
                Ok(_) => return Ok(()),
                Err(failure) if Instant::now() >= until => return Err(failure),
                Err(_) => tokio::time::sleep(ENGINE_LOOK).await,
            }
        }
    }

    /// Removes what an owner has left that was killed before its journal began.
    async fn clear(&self, record: &RunRecord) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::infra("cannot remove what the last owner has left").because(error)
        };
        let _lock = self.directory.lock().map_err(|error| failed(&error))?;
        let docker = network::connect(&self.common, Some(record)).await?;
        let done = engine::teardown(&docker, &record.run)
            .await
            .map_err(|error| failed(&error))?;
        if let Some(left) = done.left.first() {
            return Err(Failure::infra(format!(
                "cannot remove what the last owner has left: {left}"
            )));
        }
        match std::fs::remove_dir_all(self.directory.path().join(crate::journal::JOURNAL_FOLDER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn given_up(name: &str, owners: u32, directory: &Path) -> Failure {
    Failure::infra(format!(
        "{name} is given up: {owners} owners in a row ended within a minute and without a verdict\n\
         what they said is in {}\n\
         `canarynet runs attach {name}` tries once more, `canarynet clean {name}` removes what is left of it",
        directory.join(OUTPUT).display()
    ))
}

fn ended(status: ExitStatus) -> End {
    match (status.signal(), status.code().map(u8::try_from)) {
        (None, Some(Ok(code))) => End::Code(code),
        _ => End::Torn,
    }
}

fn hand_on(process: u32, interrupt: Interrupt) {
    let signal = match interrupt {
        Interrupt::Int => Signal::INT,
        Interrupt::Term => Signal::TERM,
    };
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(process, signal);
    }
}

/// Options of every verb that owners get too.
pub(super) fn options(common: &Common) -> Vec<OsString> {
    let mut words = Vec::new();
    if common.json {
        words.push("--json".into());
    }
    let mut add = |flag: &str, value: OsString| {
        let mut word = OsString::from(format!("{flag}="));
        word.push(value);
        words.push(word);
    };
    if let Some(engine) = &common.engine {
        add("--engine", engine.into());
    }
    if let Some(state) = &common.state {
        add("--state", state.into());
    }
    words
}

/// What owners print, passed on as it comes.
struct Output {
    path: PathBuf,
    at: u64,
    show: bool,
}

impl Output {
    /// From now on; what another supervisor has passed on is not told again.
    fn new(directory: &Path, show: bool, fresh: bool) -> Self {
        let path = directory.join(OUTPUT);
        let at = match fresh {
            true => 0,
            false => std::fs::metadata(&path).map_or(0, |facts| facts.len()),
        };
        Self { path, at, show }
    }

    fn pass_on(&mut self) -> Result<(), Failure> {
        if !self.show {
            return Ok(());
        }
        let Ok(mut file) = std::fs::File::open(&self.path) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = (&mut file).take(CHUNK as u64).read_to_end(&mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            self.at += read as u64;
            let mut out = std::io::stdout().lock();
            if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                // Nobody reads any more; the run goes on, and the file has all.
                self.show = false;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_owner_is_watched_as_the_first_was() {
        let words = [
            "soak",
            "smoke",
            "--set=speedup=20",
            "--serve=127.0.0.1:0",
            "--artifacts=out",
        ];
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert_eq!(watched(&words), ["--serve=127.0.0.1:0", "--artifacts=out"]);
    }
}
