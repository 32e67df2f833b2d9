//! The little SVG that plots need: shapes with classes, texts that stay texts, a scale of time.
//!
//! Colours are those of the page's style sheet, so that a plot follows the reader's light or dark theme.

use std::{fmt::Write as _, time::Duration};

use crate::{
    report::text::plain,
    time::{Elapsed, WallTime},
};

/// A picture under construction.
pub(super) struct Svg(String);

impl Svg {
    /// A picture of this size in its own units; it grows and shrinks with the page. Title and description are what is
    /// read aloud instead of it; `id` is unique in the page and made by this program.
    pub(super) fn new(id: &str, size: (f64, f64), title: &str, description: &str) -> Self {
        let mut svg = Self(String::new());
        let _ = write!(
            svg.0,
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" xmlns=\"http://www.w3.org/2000/svg\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            size.0,
            size.1,
            escape(title, 200),
            escape(description, 1_000)
        );
        svg
    }

    /// A rectangle; `tip` is shown when it is pointed at.
    pub(super) fn rectangle(&mut self, class: &str, at: (f64, f64), size: (f64, f64), tip: &str) {
        let (width, height) = (size.0.max(0.5), size.1.max(0.5));
        let _ = write!(
            self.0,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"",
            at.0, at.1
        );
        self.close("rect", tip);
    }

    /// A path of these commands.
    pub(super) fn path(&mut self, class: &str, commands: &str, tip: &str) {
        let _ = write!(self.0, "<path class=\"{class}\" d=\"{commands}\"");
        self.close("path", tip);
    }

    fn close(&mut self, element: &str, tip: &str) {
        if tip.is_empty() {
            self.0.push_str("/>");
        } else {
            let _ = write!(self.0, "><title>{}</title></{element}>", escape(tip, 200));
        }
    }

    /// A line of text; `anchor` is `start`, `middle` or `end`.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: &str, text: &str) {
        let _ = write!(
            self.0,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escape(text, 60)
        );
    }

    /// The whole picture.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A text that starts no markup, in an element or in an attribute.
pub(super) fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    for character in plain(text, limit).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// Where moments of the run are, from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeScale {
    /// The last moment shown.
    pub(super) to: Elapsed,
    /// Where the run's start is.
    pub(super) left: f64,
    /// Length of all of it.
    pub(super) width: f64,
    /// Wall time of the run's start.
    pub(super) started: WallTime,
}

/// Steps between marks of the axis, in seconds.
const STEPS: &[u64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 2_592_000, 7_862_400, 31_536_000,
];
/// Marks that have room, each with its text.
const MOST_MARKS: u64 = 7;

impl TimeScale {
    /// Where a moment is.
    pub(super) fn x(&self, at: Elapsed) -> f64 {
        let share = at.0 as f64 / self.to.0.max(1) as f64;
        self.left + self.width * share.min(1.0)
    }

    /// Marks of the axis at round wall times, each with its text.
    fn marks(&self) -> Vec<(f64, String)> {
        let seconds = self.to.0 / 1_000_000;
        let fits = |step: &&u64| seconds / **step <= MOST_MARKS;
        let step = STEPS.iter().find(fits).copied().unwrap_or(u64::MAX / 2_000);
        let (step, begin) = (step * 1_000, self.started.0);
        let mut marks = Vec::new();
        let mut wall = begin.div_ceil(step).saturating_mul(step);
        while wall.saturating_sub(begin) <= self.to.0 / 1_000 && marks.len() <= MOST_MARKS as usize
        {
            let at = Elapsed::from_millis(wall.saturating_sub(begin));
            marks.push((self.x(at), self.label(WallTime(wall), step)));
            wall = wall.saturating_add(step);
        }
        marks
    }

    fn label(&self, wall: WallTime, step: u64) -> String {
        let text = wall.to_string();
        let part = |from, to| text.get(from..to).unwrap_or_default();
        if step >= 86_400_000 {
            part(5, 10).to_owned()
        } else if self.to.as_duration() > Duration::from_secs(86_400) {
            format!("{} {}", part(5, 10), part(11, 16))
        } else if step >= 60_000 {
            part(11, 16).to_owned()
        } else {
            part(11, 19).to_owned()
        }
    }

    /// Draws the axis at this height, with lines up to `top`.
    pub(super) fn axis(&self, svg: &mut Svg, top: f64, bottom: f64) {
        let mut free = f64::MIN;
        for (x, label) in self.marks() {
            svg.path("grid", &format!("M{x:.1} {top:.1}V{bottom:.1}"), "");
            // The first and last would stand out of the picture.
            let end = self.left + self.width;
            let anchor = match x {
                x if x > end - 24.0 => "end",
                x if x < self.left + 24.0 => "start",
                _ => "middle",
            };
            // About six units a character, and a little air.
            let length = 6.2 * label.len() as f64;
            let from = match anchor {
                "end" => x - length,
                "start" => x,
                _ => x - length / 2.0,
            };
            if from >= free {
                svg.text((x, bottom + 14.0), anchor, &label);
                free = from + length + 6.0;
            }
        }
        let (left, right) = (self.left, self.left + self.width);
        svg.path("axis", &format!("M{left:.1} {bottom:.1}H{right:.1}"), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_leave_neither_element_nor_attribute() {
        let mut svg = Svg::new(
            "a",
            (10.0, 10.0),
            "</title><script>",
            "\"'\u{1b}[2J\u{202e}",
        );
        svg.text((1.0, 1.0), "start", "<b>");
        svg.rectangle("c0", (0.0, 0.0), (1.0, 1.0), "</title>&");
        let text = svg.finish();
        assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains('\u{1b}'));
        assert!(
            text.contains("&lt;/title&gt;&amp;</title></rect>"),
            "{text}"
        );
    }

    #[test]
    fn marks_are_round_and_few() {
        for seconds in [
            1,
            90,
            3_000,
            86_400,
            604_800,
            40_000_000,
            u64::MAX / 1_000_000,
        ] {
            let scale = TimeScale {
                to: Elapsed(seconds.saturating_mul(1_000_000)),
                left: 0.0,
                width: 600.0,
                started: WallTime(1_795_291_201_500),
            };
            let marks = scale.marks();
            assert!(marks.len() <= 8, "{seconds}: {marks:?}");
            assert!(
                !(90..=40_000_000).contains(&seconds) || marks.len() >= 2,
                "{seconds}: {marks:?}"
            );
        }
        let scale = TimeScale {
            to: Elapsed::from_secs(120),
            left: 0.0,
            width: 600.0,
            started: WallTime(1_795_291_201_500),
        };
        assert_eq!(scale.marks()[0], (142.5, "20:00:30".to_owned()));
    }
}
