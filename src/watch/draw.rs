//! Draws a view: pure, from what is known to cells of a terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, List, ListItem, ListState, Paragraph, Row, Table, Wrap},
};

use super::{
    keys::FOOTER,
    view::{FindingRow, Pane, Screen, View},
};
use crate::{
    detect::Severity,
    report::{
        look::{self, Tone},
        status,
        text::plain,
    },
};

/// Shards that are shown beside everything else.
const SHARDS: usize = 6;
/// Columns of the list of nodes.
const NODES: u16 = 36;
/// Columns of the table of shards, as [`status::HEADING`] names them.
const WIDTHS: [Constraint; 8] = [
    Constraint::Length(7),
    Constraint::Length(9),
    Constraint::Length(16),
    Constraint::Length(5),
    Constraint::Length(8),
    Constraint::Length(7),
    Constraint::Length(5),
    Constraint::Fill(1),
];
/// On a terminal narrower than this some are left out ...
const WIDE: u16 = 76;
/// ... these: view, leader, signers.
const SPARED: [usize; 3] = [3, 4, 5];

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, view: &View, screen: &mut Screen) {
    let [head, status, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let title = Line::from(vec![
        Span::styled(plain(&view.title, 200), strong),
        Span::raw("  "),
        Span::raw(plain(&view.state, 60)),
    ]);
    frame.render_widget(Paragraph::new(title), head);
    frame.render_widget(Paragraph::new(view.status.as_str()), status);
    let faint = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(FOOTER).style(faint), foot);
    if screen.zoomed {
        match screen.pane {
            Pane::Shards => shards(frame, body, view, screen),
            Pane::Nodes => nodes(frame, body, view, screen),
            Pane::Findings => one_finding(frame, body, view, screen),
            Pane::Log => log(frame, body, view, screen),
        }
        return;
    }
    let rows = u16::try_from(view.shards.len().clamp(1, SHARDS)).unwrap_or(1);
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(rows + 2),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(body);
    let [left, right] =
        Layout::horizontal([Constraint::Length(NODES), Constraint::Fill(1)]).areas(middle);
    shards(frame, top, view, screen);
    nodes(frame, left, view, screen);
    findings(frame, right, view, screen);
    log(frame, bottom, view, screen);
}

/// The line above a part: its name, and whether keys move in it.
fn block(pane: Pane, name: String, screen: &Screen) -> Block<'static> {
    let style = if screen.pane == pane {
        Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    } else {
        Style::new().add_modifier(Modifier::BOLD)
    };
    let title = Span::styled(format!(" {name} "), style);
    Block::new().borders(Borders::TOP).title(title)
}

fn style(tone: Option<Tone>, screen: &Screen) -> Style {
    let Some(tone) = tone else {
        return Style::new();
    };
    let colour = match tone {
        Tone::Good => Color::Green,
        Tone::Warning => Color::Yellow,
        Tone::Bad => Color::Red,
        Tone::Strong | Tone::Faint => Color::Reset,
    };
    let style = match tone {
        Tone::Bad | Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Good | Tone::Warning => Style::new(),
    };
    if screen.colours {
        style.fg(colour)
    } else {
        style
    }
}

fn shards(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let room = usize::from(area.height.saturating_sub(2));
    let first = screen.shard.min(view.shards.len().saturating_sub(room));
    // On a narrow terminal the state, which comes last, is worth more than who leads and how many sign.
    let shown = |column: &usize| area.width >= WIDE || !SPARED.contains(column);
    let columns: Vec<usize> = (0..WIDTHS.len()).filter(shown).collect();
    let rows = view.shards.iter().skip(first).take(room).map(|shard| {
        let cells = status::cells(shard, view.now);
        let shown = columns.iter().filter_map(|column| cells.get(*column));
        Row::new(
            shown
                .map(|cell| Cell::from(cell.text().to_owned()).style(style(cell.tone(), screen)))
                .collect::<Vec<_>>(),
        )
    });
    let widths = columns.iter().map(|column| WIDTHS[*column]);
    let heading = columns.iter().map(|column| status::HEADING[*column]);
    let heading = Row::new(heading).style(Style::new().add_modifier(Modifier::DIM));
    let name = format!("shards {}", part_of(first, room, view.shards.len()));
    let table = Table::new(rows, widths)
        .header(heading)
        .block(block(Pane::Shards, name, screen));
    frame.render_widget(table, area);
}

/// Which of many are shown.
fn part_of(first: usize, room: usize, all: usize) -> String {
    if all <= room {
        return String::new();
    }
    format!("{} to {} of {all}", first + 1, (first + room).min(all))
}

fn nodes(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let rows = view.nodes.iter().map(|node| {
        let tone = (!node.runs).then_some(Tone::Bad);
        let text = format!("{:<8} {}", plain(node.node.as_str(), 24), node.words);
        ListItem::new(text).style(style(tone, screen))
    });
    let place = screen.node.min(view.nodes.len().saturating_sub(1));
    let name = format!("nodes  {}", count_of(place, view.nodes.len()));
    list(frame, area, rows, place, block(Pane::Nodes, name, screen));
}

fn count_of(place: usize, all: usize) -> String {
    match all {
        0 => "none".to_owned(),
        all => format!("{} of {all}", place + 1),
    }
}

fn list<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    rows: impl Iterator<Item = ListItem<'a>>,
    selected: usize,
    block: Block<'a>,
) {
    let list = List::new(rows)
        .block(block)
        .highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = ListState::default().with_selected(Some(selected));
    frame.render_stateful_widget(list, area, &mut state);
}

fn finding_item<'a>(row: &FindingRow, screen: &Screen) -> ListItem<'a> {
    let tone = if row.open {
        look::tone(row.severity)
    } else {
        Tone::Faint
    };
    let word = match row.severity {
        Severity::Critical => "CRIT ",
        Severity::Major => "major",
        Severity::Minor => "minor",
        Severity::Info => "info ",
    };
    ListItem::new(format!("{word} {}", row.words)).style(style(Some(tone), screen))
}

fn findings(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let place = screen.finding(view).unwrap_or(0);
    let rows = view.findings.iter().map(|row| finding_item(row, screen));
    let all = view.findings.len() + view.more_findings;
    let name = format!("findings  {}", count_of(place, all));
    list(
        frame,
        area,
        rows,
        place,
        block(Pane::Findings, name, screen),
    );
}

/// The list above, the selected one at length below.
fn one_finding(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let [above, below] =
        Layout::vertical([Constraint::Percentage(40), Constraint::Fill(1)]).areas(area);
    findings(frame, above, view, screen);
    let row = screen
        .finding(view)
        .and_then(|place| view.findings.get(place));
    let lines = row.into_iter().flat_map(|row| &row.details);
    let text: Vec<Line<'_>> = lines.map(|line| Line::from(line.as_str())).collect();
    let id = row.map_or("nothing was found", |row| row.id.as_str());
    let block = Block::new().borders(Borders::TOP).title(format!(" {id} "));
    let told = Paragraph::new(text).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(told, below);
}

fn log(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &mut Screen) {
    let room = usize::from(area.height.saturating_sub(1));
    screen.back = screen.back.min(screen.lines.len().saturating_sub(room));
    let end = screen.lines.len() - screen.back.min(screen.lines.len());
    let from = end.saturating_sub(room);
    let lines = screen.lines[from..end].iter();
    let text: Vec<Line<'_>> = lines.map(|line| Line::from(line.as_str())).collect();
    let node = screen.node(view).map_or("-", |node| node.as_str());
    let back = match screen.back {
        0 => String::new(),
        back => format!("  {back} lines back"),
    };
    let block = block(Pane::Log, format!("log of {node}{back}"), screen);
    let told = Paragraph::new(text).block(block);
    // One part alone has room for whole lines.
    let told = if screen.zoomed {
        told.wrap(Wrap { trim: false })
    } else {
        told.scroll((0, screen.column))
    };
    frame.render_widget(told, area);
}
