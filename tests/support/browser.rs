//! A real headless Chromium, spoken to by its debugging pipe: no port, no driver, no other program.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "shared by several test programs; a test may end at what it did not expect, and a skipped one says so loudly"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Longest wait for an answer of the browser; machines of CI are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is shown first on a laptop and on a phone.
pub const SIZES: [(&str, u32, u32); 2] = [("laptop", 1280, 800), ("phone", 390, 844)];

/// A browser, or `None` with a loud reason.
pub fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    let found = named
        .into_iter()
        .chain(known.map(PathBuf::from))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!(
            "SKIPPED, NOTHING WAS TESTED: no chromium is installed (apt-get install chromium)"
        );
    }
    found
}

/// A running browser; it ends with the test.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    asked: u64,
    _profile: tempfile::TempDir,
}

/// One page in it.
#[derive(Clone)]
pub struct Tab {
    session: String,
}

/// What a page holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Bytes of the script's objects after a collection.
    pub heap: u64,
    /// Elements and texts of all documents.
    pub nodes: u64,
    /// Resident memory of the process that draws it, in bytes.
    pub resident: u64,
}

impl Browser {
    /// `None` with a loud reason where none is installed.
    pub fn start() -> Option<Self> {
        let chromium = chromium()?;
        let profile = tempfile::tempdir().unwrap();
        // The browser reads orders from its descriptor 3 and answers on 4.
        let pipes = "exec 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null; exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", pipes])
            .arg(chromium)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-timer-throttling",
                "--disable-renderer-backgrounding",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (told, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                if let Ok(value) = serde_json::from_slice(&message)
                    && told.send(value).is_err()
                {
                    return;
                }
                message.clear();
            }
        });
        Some(Self {
            to: child.stdin.take().unwrap(),
            child,
            from,
            asked: 0,
            _profile: profile,
        })
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut order = json!({ "id": self.asked, "method": method, "params": parameters });
        if let Some(tab) = tab {
            order["sessionId"] = tab.session.as_str().into();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        self.to.flush().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self
                .from
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("the browser does not answer to {method}"));
            if answer["id"] == self.asked {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Opens a page at a size; waits until it is loaded.
    pub fn open(&mut self, address: &str, (width, height): (u32, u32)) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach);
        let tab = Tab {
            session: session["sessionId"].as_str().unwrap().to_owned(),
        };
        self.resize(&tab, (width, height));
        self.call(Some(&tab), "Page.navigate", json!({ "url": address }));
        self.wait(
            &tab,
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
        tab
    }

    /// Gives a page another size, as a laptop or a phone has it.
    pub fn resize(&mut self, tab: &Tab, (width, height): (u32, u32)) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call(Some(tab), "Emulation.setDeviceMetricsOverride", size);
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, tab: &Tab, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call(Some(tab), "Runtime.evaluate", asked);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// The same as a text.
    pub fn text(&mut self, tab: &Tab, expression: &str) -> String {
        let value = self.value(tab, expression);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Waits until an expression holds.
    pub fn wait(&mut self, tab: &Tab, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(tab, expression) != Value::Bool(true) {
            assert!(
                Instant::now() < deadline,
                "{expression} never held: {}",
                self.text(tab, "document.body.innerText.slice(0, 1500)")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes a picture of what is seen without scrolling.
    pub fn picture(&mut self, tab: &Tab, path: &Path) {
        let picture = self.call(
            Some(tab),
            "Page.captureScreenshot",
            json!({ "format": "png" }),
        );
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        assert!(bytes.len() > 5_000, "only {} bytes", bytes.len());
        fs::write(path, bytes).unwrap();
    }

    /// What a page holds after a collection. Only one page may be open beside it.
    pub fn held(&mut self, tab: &Tab) -> Held {
        // What was just replaced may be held until the next drawing.
        for _ in 0..2 {
            self.call(Some(tab), "HeapProfiler.collectGarbage", json!({}));
            std::thread::sleep(Duration::from_millis(200));
        }
        let heap = self.call(Some(tab), "Runtime.getHeapUsage", json!({}));
        let counters = self.call(Some(tab), "Memory.getDOMCounters", json!({}));
        let processes = self.call(None, "SystemInfo.getProcessInfo", json!({}));
        let renderers = processes["processInfo"].as_array().unwrap().iter();
        let resident = renderers
            .filter(|process| process["type"] == "renderer")
            .filter_map(|process| resident(process["id"].as_u64()?))
            .max();
        Held {
            heap: heap["usedSize"].as_f64().unwrap() as u64,
            nodes: counters["nodes"].as_u64().unwrap(),
            resident: resident.unwrap_or(0),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string();
        let _ = self.to.write_all(format!("{close}\0").as_bytes());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(process: u64) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
