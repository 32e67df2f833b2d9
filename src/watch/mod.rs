//! `canarynet watch`: a run on the whole screen, from outside its process.
//!
//! ```text
//!  journal --Reader, Judge--> View, a few times a second      (a thread of its own)
//!  logs of the selected node --last bytes--> lines
//!  View, lines, keys --draw--> terminal
//! ```
//! It only reads: the run does not know of it. What it holds is bounded as the judge is, whatever the run's length.

mod draw;
mod keys;
mod reading;
mod tail;
mod view;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ratatui::crossterm::event::{self, Event};

pub use draw::draw;
pub use keys::{Next, press};
pub use reading::Reading;
pub use tail::tail;
pub use view::{FindingRow, NodeRow, Pane, Screen, View};

/// How often the screen is drawn anew without a key: what blinks faster nobody reads, and SSH lines are slow.
const DRAW_EVERY: Duration = Duration::from_millis(400);

/// What is watched.
pub struct Source {
    /// The run's directory.
    pub directory: PathBuf,
    /// What people call it.
    pub name: String,
    /// How it stands, in words: asked a few times a second.
    pub state: Box<dyn Fn() -> String + Send>,
}

/// Watches until somebody quits.
///
/// # Errors
/// When the terminal cannot be used.
pub fn watch(source: Source, colours: bool) -> io::Result<()> {
    let logs = source.directory.join("logs");
    let reading = Reading::start(source)?;
    let mut terminal = ratatui::try_init()?;
    let outcome = (|| -> io::Result<()> {
        let mut screen = Screen::new(colours);
        let mut drawn: Option<Instant> = None;
        loop {
            if drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
                let view: Arc<View> = reading.newest();
                // What is read does not move away; another node is shown from its end.
                if screen.back == 0 {
                    screen.lines = match screen.node(&view) {
                        Some(node) => tail(&logs, node),
                        None => Vec::new(),
                    };
                }
                terminal.draw(|frame| draw(frame, &view, &mut screen))?;
                drawn = Some(Instant::now());
            }
            if event::poll(DRAW_EVERY)? {
                match event::read()? {
                    Event::Key(key) => {
                        if press(key, &mut screen, &reading.newest()) == Next::Quit {
                            return Ok(());
                        }
                        drawn = None;
                    }
                    Event::Resize(..) => drawn = None,
                    _ => {}
                }
            }
        }
    })();
    ratatui::try_restore()?;
    outcome
}
