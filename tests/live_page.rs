//! The page of `soak --serve` in a real headless Chromium (`CHROMIUM` names another): it loads, follows, shows a stall
//! above the fold, runs nothing of what nodes say, comes back after a loss, asks as the verbs do, and grows nowhere.
//!
//! Pictures are kept in the build folder's `tmp/live-page/`. The long feed is shortened;
//! `CANARYNET_LONG=7 cargo test --test live_page -- --nocapture` feeds a state for each minute of a week.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks, and a skipped one says so loudly"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    iter::Peekable,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use canarynet::{
    detect::{FindingChange, Judge, Judgement, Severity, judgement::StageStart, plan_of},
    ids::{NodeName, ShardId},
    journal::{
        Reader,
        event::Stage,
        generate::{Generator, Incident, Shape, What},
    },
    report::{
        Curves, ReportInput, html,
        html::live::{self, Moment},
    },
    serve::{Hands, Page, Wish},
    time::Elapsed,
    verdict,
};

#[path = "support/browser.rs"]
mod browser;
#[path = "report_golden/input.rs"]
mod input;

use browser::{Browser, SIZES, Tab, resident};

/// Memory is measured of this process: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run that goes on, at any speed.
struct Run {
    shape: Shape,
    entries: Peekable<Generator>,
    judge: Judge,
    curves: Curves,
    now: Elapsed,
}

impl Run {
    fn new(shape: Shape, incidents: Vec<Incident>) -> Self {
        Self {
            entries: Generator::new(&shape, 7, incidents).peekable(),
            judge: Judge::new(&shape.plan()),
            curves: Curves::default(),
            now: Elapsed::default(),
            shape,
        }
    }

    /// Two shards, of which one loses two of its four nodes after half a minute of soak.
    fn stalling() -> Self {
        let shape = Shape {
            shards: 2,
            soak: Duration::from_secs(600),
            ..Shape::default()
        };
        let begin = Generator::soak_start(&shape);
        let kill = |index, after| Incident {
            at: begin + Duration::from_secs(after),
            what: What::Exit(NodeName::of(ShardId(1), index), 1),
        };
        let incidents = vec![kill(0, 30), kill(1, 31)];
        Self::new(shape, incidents)
    }

    fn soak(&self, after: u64) -> Elapsed {
        Generator::soak_start(&self.shape) + Duration::from_secs(after)
    }

    fn advance(&mut self, to: Elapsed) {
        while self.entries.peek().is_some_and(|entry| entry.elapsed <= to) {
            let entry = self.entries.next().unwrap();
            let changes = self.judge.step(&entry);
            self.curves.step(&entry, self.judge.world(), &changes);
        }
        self.now = to;
    }

    fn input(&self) -> ReportInput {
        let mut input = input::pass();
        input.plan = self.shape.plan();
        input.judgement = self.judge.judgement();
        input.verdict = verdict::decide(&input.plan, &input.judgement);
        input.curves.clone_from(&self.curves);
        input
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            stage: Some(StageStart {
                stage: Stage::Soak,
                at: Generator::soak_start(&self.shape),
            }),
            ended: false,
        }
    }

    fn show(&self, page: &Page) {
        show(page, &self.input(), self.moment());
    }
}

fn show(page: &Page, input: &ReportInput, moment: Moment) {
    let rendered = live::render(input, moment).unwrap();
    page.show(
        rendered.document,
        rendered.policy,
        rendered.parts,
        moment.ended,
    );
}

fn served() -> Page {
    Page::serve("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live-page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

const HEIGHT: &str = "document.querySelector('#part-top table tbody td').textContent";

#[test]
fn it_follows_a_run_and_a_stall_stands_above_the_fold() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let page = served();
    let mut run = Run::stalling();
    run.advance(run.soak(20));
    run.show(&page);
    let tab = browser.open(&page.link(), (1280, 800));
    browser.wait(
        &tab,
        "document.getElementById('link').textContent === 'live'",
    );
    assert!(page.is_wanted() && page.clients() == 1);
    assert!(
        browser
            .text(&tab, "document.querySelector('h1').textContent")
            .contains("RUNNING")
    );
    let before = browser.text(&tab, HEIGHT);
    run.advance(run.soak(28));
    run.show(&page);
    browser.wait(&tab, &format!("{HEIGHT} !== {before:?}"));

    // What the reader has opened stays open when it is replaced.
    browser.value(
        &tab,
        "document.querySelector('#part-time details').open = true",
    );
    run.advance(run.soak(50));
    run.show(&page);
    browser.wait(&tab, "document.title.includes('FAILS SO FAR')");
    browser.wait(&tab, "document.querySelector('#part-time details').open");
    let state = browser.text(&tab, "document.querySelector('#part-top table').innerText");
    assert!(state.contains("no block for"), "{state}");
    for (name, width, height) in SIZES {
        browser.resize(&tab, (width, height));
        browser.value(&tab, "scrollTo(0, 0)");
        browser.picture(&tab, &pictures().join(format!("stall-{name}.png")));
        let trouble = browser.text(&tab, "document.querySelector('.trouble').innerText");
        for word in ["shard 1", "since", "leader", "first", "UTC"] {
            assert!(trouble.contains(word), "{word}: {trouble}");
        }
        let last =
            "document.querySelector('.trouble dl').getBoundingClientRect().bottom <= innerHeight";
        assert_eq!(browser.value(&tab, last), true, "{name}");
        let wide = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.value(&tab, wide), true, "{name} scrolls sideways");
    }
    // The end is told, and nothing is asked for any more.
    let mut moment = run.moment();
    moment.ended = true;
    show(&page, &run.input(), moment);
    browser.wait(
        &tab,
        "document.getElementById('link').textContent.startsWith('the run has ended')",
    );
    assert_eq!(
        browser.value(&tab, "document.querySelector('#stop button').disabled"),
        true
    );
    eprintln!("pictures are in {}", pictures().display());
}

/// A recorded minute of July 2019's replay: the page when the shard has just stopped, and the report at the end.
#[test]
fn the_incident_stands_above_the_fold_on_the_page_and_in_the_report() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let journal = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/incident-2019-07");
    let entries = Reader::open(&journal).unwrap().map(Result::unwrap);
    let mut input = input::pass();
    let (mut judge, mut curves) = (None, Curves::default());
    let page = served();
    let mut tab = None;
    for entry in entries {
        if let Some(plan) = plan_of(&entry).unwrap() {
            judge = Some(Judge::new(&plan));
            input.plan = plan;
        }
        let judge = judge.as_mut().unwrap();
        let changes = judge.step(&entry);
        curves.step(&entry, judge.world(), &changes);
        let critical = |change: &FindingChange| {
            change.finding.kind == "stall" && change.finding.severity == Severity::Critical
        };
        if tab.is_none() && changes.iter().any(critical) {
            concluded(&mut input, judge.judgement(), &curves);
            let moment = Moment {
                now: entry.elapsed,
                stage: input.judgement.stages.last().copied(),
                ended: false,
            };
            show(&page, &input, moment);
            tab = Some(browser.open(&page.link(), (1280, 800)));
        }
    }
    concluded(&mut input, judge.unwrap().finish(), &curves);
    let report = pictures().join("incident-report.html");
    fs::write(&report, html::render(&input).unwrap()).unwrap();
    let report = browser.open(&format!("file://{}", report.display()), (1280, 800));
    for (which, tab) in [("live", tab.unwrap()), ("report", report)] {
        for (name, width, height) in SIZES {
            browser.resize(&tab, (width, height));
            browser.value(&tab, "scrollTo(0, 0)");
            browser.picture(
                &tab,
                &pictures().join(format!("incident-{which}-{name}.png")),
            );
            let trouble = browser.text(&tab, "document.querySelector('.trouble').innerText");
            for word in ["shard 0", "critical", "s0-n00", "log-scraper", "UTC"] {
                assert!(trouble.contains(word), "{which} {word}: {trouble}");
            }
            let last = "document.querySelector('.trouble dl').getBoundingClientRect().bottom <= innerHeight";
            assert_eq!(browser.value(&tab, last), true, "{which} {name}");
        }
    }
}

fn concluded(input: &mut ReportInput, judgement: Judgement, curves: &Curves) {
    input.judgement = judgement;
    input.verdict = verdict::decide(&input.plan, &input.judgement);
    input.exit_code = input.verdict.exit() as u8;
    input.curves.clone_from(curves);
}

#[test]
fn hostile_texts_stay_texts() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let page = served();
    let mut run = Run::stalling();
    run.advance(run.soak(20));
    run.show(&page);
    let tab = browser.open(&page.link(), (1280, 800));
    browser.wait(&tab, "document.body.dataset.version === '1'");
    run.advance(run.soak(50));
    let evil = "</div></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><!--/part-->\u{1b}[31m\u{202e}'\"&";
    let mut input = run.input();
    assert!(!input.judgement.findings.is_empty());
    for text in [
        &mut input.program,
        &mut input.plan.name,
        &mut input.plan.seed,
        &mut input.run_directory,
    ] {
        *text = evil.to_owned();
    }
    for finding in &mut input.judgement.findings {
        finding.summary = evil.to_owned();
        finding.causes = vec![evil.to_owned()];
        for cause in &mut finding.chain {
            cause.what = evil.to_owned();
        }
    }
    for shard in &mut input.judgement.shards {
        shard.leader = Some(evil.to_owned());
    }
    for shard in &mut input.curves.shards {
        shard
            .leaders
            .iter_mut()
            .for_each(|leader| *leader = evil.to_owned());
    }
    let leaders = input.curves.leaders.values_mut();
    leaders.for_each(|leader| *leader = evil.to_owned());
    show(&page, &input, run.moment());
    // As it is put in place, and as it is loaded.
    browser.wait(&tab, "document.body.dataset.version === '2'");
    let again = browser.open(&page.link(), (1280, 800));
    for tab in [&tab, &again] {
        let text = browser.text(tab, "document.body.innerText");
        assert!(text.contains("<script>document.title='owned'"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
        harmless(&mut browser, tab);
        assert_eq!(
            browser.value(tab, "document.querySelectorAll('[id^=part-]').length"),
            10
        );
    }

    // Even markup that was not made harmless would run nothing: the page's policy allows one script.
    let rendered = live::render(&input, run.moment()).unwrap();
    let top = "<p>bare</p><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>".to_owned();
    page.show(
        rendered.document,
        rendered.policy,
        vec![("top", top)],
        false,
    );
    browser.wait(
        &tab,
        "document.getElementById('part-top').innerText.includes('bare')",
    );
    std::thread::sleep(Duration::from_millis(300));
    assert!(!browser.text(&tab, "document.title").contains("owned"));
    assert_eq!(browser.value(&tab, "(() => { const s = document.createElement('script'); s.textContent = \"document.title='owned'\"; document.body.append(s); return document.title.includes('owned'); })()"), false);
}

fn harmless(browser: &mut Browser, tab: &Tab) {
    assert_eq!(browser.value(tab, "document.scripts.length"), 1);
    assert_eq!(browser.value(tab, "document.images.length"), 0);
    assert!(!browser.text(tab, "document.title").starts_with("owned"));
}

/// What was asked of a run.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Hands for Asked {
    fn stop(&self) -> Result<String, String> {
        self.0.lock().unwrap().push("stop".to_owned());
        Ok("the run ends".to_owned())
    }

    fn fault(&self, wish: &Wish) -> Result<String, String> {
        let wish = format!("{} on {} for {:?}", wish.kind, wish.target, wish.lasts);
        self.0.lock().unwrap().push(wish);
        Err("<b>there is</b> no such node".to_owned())
    }
}

#[test]
fn its_buttons_ask_as_the_verbs_do() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let page = served();
    let asked = Arc::new(Asked::default());
    page.give_hands(asked.clone());
    let mut run = Run::stalling();
    run.advance(run.soak(20));
    run.show(&page);
    let tab = browser.open(&page.link(), (390, 844));
    browser.value(&tab, "document.querySelector('.bar details').open = true");
    let offered = browser.text(
        &tab,
        "document.querySelector('select[name=kind]').innerText",
    );
    assert!(
        offered.contains("pause") && offered.contains("kill"),
        "{offered}"
    );
    browser.value(
        &tab,
        "document.querySelector('select[name=kind]').value = 'pause'",
    );
    browser.value(&tab, "document.querySelector('#fault button').click()");
    browser.wait(
        &tab,
        "document.getElementById('answer').textContent.includes('no such node')",
    );
    assert_eq!(
        browser.value(&tab, "document.querySelectorAll('#answer b').length"),
        0
    );
    browser.picture(&tab, &pictures().join("buttons-phone.png"));
    let wide = "document.documentElement.scrollWidth <= innerWidth && document.querySelector('#fault button').getBoundingClientRect().right <= innerWidth";
    assert_eq!(
        browser.value(&tab, wide),
        true,
        "the buttons scroll sideways"
    );
    // Whoever says no ends nothing.
    browser.value(
        &tab,
        "window.confirm = () => false; document.querySelector('#stop button').click()",
    );
    browser.value(
        &tab,
        "window.confirm = () => true; document.querySelector('#stop button').click()",
    );
    browser.wait(
        &tab,
        "document.getElementById('answer').textContent === 'the run ends'",
    );
    let asked = asked.0.lock().unwrap().clone();
    assert_eq!(asked, ["pause on leader for \"\"", "stop"]);
}

/// Asks by hand; answers the head and what of the body came within a moment.
fn ask(page: &Page, method: &str, path: &str, headers: &str) -> String {
    let link = page.link();
    let (host, _) = link
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let host_line = if headers.contains("Host:") {
        String::new()
    } else {
        format!("Host: {host}\r\n")
    };
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let headers = headers.replace("HOST", host);
    let body = if method == "POST" {
        "Content-Length: 2\r\n\r\n{}"
    } else {
        "\r\n"
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\n{host_line}Connection: close\r\n{headers}{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 || answer.len() > 1 << 20 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn without_the_secret_and_from_elsewhere_nothing_is_told_or_done() {
    let _turn = turn();
    let page = served();
    let asked = Arc::new(Asked::default());
    page.give_hands(asked.clone());
    let mut run = Run::stalling();
    run.advance(run.soak(20));
    run.show(&page);
    let link = page.link();
    let path = &link[link.rfind(":").unwrap()..];
    let path = &path[path.find('/').unwrap()..];
    let refused = Page::serve("0.0.0.0:0".parse().unwrap());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("not a loopback address")
    );
    let whole = ask(&page, "GET", path, "");
    assert!(
        whole.starts_with("HTTP/1.1 200") && whole.contains("<h1>"),
        "{whole}"
    );
    for header in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "frame-ancestors 'none'",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
    ] {
        assert!(whole.contains(header), "{header}: {}", &whole[..1_000]);
    }
    assert!(!whole.contains("unsafe-inline"));
    let wrong = format!("/{}/", "0".repeat(32));
    for path in ["/", "/events", "/metrics", &wrong, &path[..path.len() - 2]] {
        let answer = ask(&page, "GET", path, "");
        assert!(
            answer.starts_with("HTTP/1.1 404") && !answer.contains("stall"),
            "{path}: {answer}"
        );
    }
    assert!(ask(&page, "GET", path, "Host: evil.example\r\n").starts_with("HTTP/1.1 403"));
    let json = "Content-Type: application/json\r\n";
    for headers in [
        json.to_owned(),
        format!("{json}Origin: http://evil.example\r\n"),
        format!("{json}Origin: http://HOST\r\nSec-Fetch-Site: cross-site\r\n"),
        "Origin: http://HOST\r\nContent-Type: text/plain\r\n".to_owned(),
    ] {
        let answer = ask(&page, "POST", &format!("{path}stop"), &headers);
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
    }
    let right = format!("{json}Origin: http://HOST\r\n");
    assert!(ask(&page, "POST", &format!("{wrong}stop"), &right).starts_with("HTTP/1.1 404"));
    assert!(asked.0.lock().unwrap().is_empty());
    assert!(ask(&page, "POST", &format!("{path}stop"), &right).starts_with("HTTP/1.1 200"));
    assert_eq!(asked.0.lock().unwrap().len(), 1);
}

#[test]
fn clients_that_read_nothing_cost_one_message_each_and_are_counted() {
    let _turn = turn();
    let page = served();
    let link = page.link();
    let (host, path) = link
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let big = |number: u64| vec![("top", format!("{number} {}", "x".repeat(200_000)))];
    page.show("document".to_owned(), String::new(), big(0), false);
    let connect = || {
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "GET /{path}events HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        stream
    };
    let idle: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while page.clients() < 8 {
        assert!(Instant::now() < deadline, "{} clients", page.clients());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut refused = connect();
    let mut answer = [0; 12];
    refused.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let mut longest = Duration::ZERO;
    let mut before = 0;
    for number in 0..2_000 {
        let begin = Instant::now();
        page.show("document".to_owned(), String::new(), big(number), false);
        longest = longest.max(begin.elapsed());
        if number == 200 {
            before = resident(u64::from(std::process::id())).unwrap();
        }
    }
    let after = resident(u64::from(std::process::id())).unwrap();
    let grown = after.saturating_sub(before);
    eprintln!(
        "8 clients that read nothing, 2000 states of 200 kB: memory grew by {} KiB, the longest show took {longest:?}",
        grown / 1024
    );
    assert!(grown < 16 << 20, "{grown} bytes");
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(20);
    while page.clients() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} clients are still counted",
            page.clients()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Between a browser and a page: connections that can be cut, and refused for a while.
struct Line {
    port: u16,
    down: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            down: Arc::default(),
            streams: Arc::default(),
        };
        let (down, streams) = (Arc::clone(&line.down), Arc::clone(&line.streams));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(&host) else {
                    continue;
                };
                let mut all = streams.lock().unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    all.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        line
    }

    fn cut(&self) {
        self.down.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[test]
fn it_comes_back_after_a_loss_with_the_newest_state() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let page = served();
    let mut run = Run::stalling();
    run.advance(run.soak(20));
    run.show(&page);
    let link = page.link();
    let (host, path) = link
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let line = Line::to(host.to_owned());
    let tab = browser.open(
        &format!("http://127.0.0.1:{}/{path}", line.port),
        (1280, 800),
    );
    browser.wait(
        &tab,
        "document.getElementById('link').textContent === 'live'",
    );
    line.cut();
    browser.wait(
        &tab,
        "document.getElementById('link').textContent.startsWith('no news for')",
    );
    run.advance(run.soak(50));
    run.show(&page);
    std::thread::sleep(Duration::from_secs(2));
    assert!(browser.text(&tab, "document.title").contains("RUNNING"));
    line.down.store(false, Ordering::SeqCst);
    browser.wait(&tab, "document.title.includes('FAILS SO FAR')");
    browser.wait(
        &tab,
        "document.getElementById('link').textContent === 'live'",
    );
}

#[test]
fn a_long_feed_grows_in_neither_browser_nor_server() {
    let _turn = turn();
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let days: f64 = match std::env::var("CANARYNET_LONG") {
        Ok(days) => days.parse().unwrap_or(7.0),
        Err(_) => {
            eprintln!(
                "SHORTENED: 400 states instead of those of a week; CANARYNET_LONG=7 feeds all of them"
            );
            400.0 / 1_440.0
        }
    };
    let states = (days * 1_440.0) as u64;
    let page = served();
    let shape = Shape {
        shards: 1,
        validators: 4,
        interval: Duration::from_secs(2),
        soak: Duration::from_secs(states * 60 + 60),
    };
    let mut run = Run::new(shape, Vec::new());
    run.advance(run.soak(1));
    run.show(&page);
    let tab = browser.open(&page.link(), (1280, 800));
    let own = u64::from(std::process::id());
    let mut measured = Vec::new();
    for number in 1..=states {
        run.advance(run.soak(number * 60));
        run.show(&page);
        if number % 5 == 0 {
            browser.wait(&tab, &format!("+document.body.dataset.version >= {number}"));
        }
        // The courses are full and the caches warm after a quarter; from there on nothing may grow.
        if number % (states / 4) == 0 {
            let held = browser.held(&tab);
            let server = resident(own).unwrap();
            eprintln!(
                "{number:>6} states ({:.1} days of run): browser heap {} KiB, {} nodes, process {} MiB; server {} MiB",
                number as f64 / 1_440.0,
                held.heap >> 10,
                held.nodes,
                held.resident >> 20,
                server >> 20
            );
            measured.push((held, server));
        }
    }
    let ((first, server), (last, server_last)) = (measured[0], measured[measured.len() - 1]);
    assert!(last.heap < first.heap + (1 << 20), "{first:?} {last:?}");
    assert!(last.nodes < 3 * first.nodes, "{first:?} {last:?}");
    assert!(
        last.resident < first.resident + (48 << 20),
        "{first:?} {last:?}"
    );
    assert!(server_last < server + (16 << 20), "{server} {server_last}");
}
