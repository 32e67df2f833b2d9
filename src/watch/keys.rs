//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    tail::LINE,
    view::{Pane, Screen, View},
};

/// Rows of a page.
const PAGE: isize = 10;
/// Columns of a step sideways.
const ASIDE: u16 = 20;

/// What follows a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing else.
    Go,
    /// The end.
    Quit,
}

/// The keys in a line, for the foot of the screen.
pub(super) const FOOTER: &str =
    "q quit  tab next part  up/down select  left/right log  enter one part alone";

/// A key was pressed.
pub fn press(key: KeyEvent, screen: &mut Screen, view: &View) -> Next {
    if key.kind == KeyEventKind::Release {
        return Next::Go;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let place = Pane::ALL.iter().position(|pane| *pane == screen.pane);
    let turn = |by: usize| Pane::ALL[(place.unwrap_or(0) + by) % Pane::ALL.len()];
    match key.code {
        KeyCode::Char('c' | 'd') if control => return Next::Quit,
        KeyCode::Char('q') => return Next::Quit,
        KeyCode::Esc => screen.zoomed = false,
        KeyCode::Left => screen.column = screen.column.saturating_sub(ASIDE),
        KeyCode::Right => screen.column = (screen.column + ASIDE).min(LINE),
        KeyCode::Tab => screen.pane = turn(1),
        KeyCode::BackTab => screen.pane = turn(Pane::ALL.len() - 1),
        KeyCode::Char('s') => screen.pane = Pane::Shards,
        KeyCode::Char('n') => screen.pane = Pane::Nodes,
        KeyCode::Char('f') => screen.pane = Pane::Findings,
        KeyCode::Char('l') => screen.pane = Pane::Log,
        KeyCode::Enter | KeyCode::Char('z') => screen.zoomed = !screen.zoomed,
        KeyCode::Up | KeyCode::Char('k') => screen.step(-1, view),
        KeyCode::Down | KeyCode::Char('j') => screen.step(1, view),
        KeyCode::PageUp => screen.step(-PAGE, view),
        KeyCode::PageDown => screen.step(PAGE, view),
        KeyCode::Home | KeyCode::Char('g') => screen.step(isize::MIN + 1, view),
        KeyCode::End | KeyCode::Char('G') => screen.step(isize::MAX, view),
        _ => {}
    }
    Next::Go
}
