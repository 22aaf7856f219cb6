//! Step lines: a value by the age of its labels, and the budget that is left.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::chart::frame::{Frame, TEXT, WIDTH, value_ticks};
use crate::chart::markup::{Path, Svg};
use crate::chart::scale::{Scale, Tick, TimeScale, bounds};
use crate::chart::series::drawable;

/// Steps in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps {
    pub steps: Vec<Step>,
    pub limit: Option<f64>,
    /// Moments at which nothing changed, as [`Across`] says.
    pub ticks: Vec<f64>,
    pub across: Across,
    pub up: Up,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// Meaning of the horizontal axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Across {
    /// Age of labels in seconds.
    #[default]
    Age,
    /// Seconds since 1970, shown in a zone.
    Time(Tz),
}

/// Meaning of the vertical axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// Values in a unit, which may be empty.
    Value(String),
    /// Shares, in percent; 0 and 1 are always shown.
    Share,
}

impl Default for Up {
    fn default() -> Self {
        Self::Value(String::new())
    }
}

/// A value that holds until the next step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Seconds, as [`Across`] says.
    pub at: f64,
    /// `None` ends the line until the next step.
    pub value: Option<f64>,
    /// Lower and upper bound of the 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// A point with a letter, such as an adjustment of the budget by late labels.
    pub letter: Option<char>,
    /// Tooltip.
    pub title: String,
}

/// Height of the plot, in pixels.
const HEIGHT: f64 = 180.0;

/// Most steps that have a tooltip each.
const TITLED: usize = 120;

/// Draws the steps.
pub fn svg(steps: &Steps) -> Svg {
    let (top, bottom) = (TEXT, TEXT + HEIGHT);
    let mut frame = Frame::new(&steps.label, bottom + TEXT + 2.0);
    let shown: Vec<&Step> = steps.steps.iter().filter(|step| step.at.is_finite()).collect();
    let ticks = || steps.ticks.iter().copied().filter(|at| at.is_finite());
    let (from, until) = bounds(shown.iter().map(|step| step.at).chain(ticks()));
    // The last step holds for a while as well.
    let until = until + ((until - from) * 0.04).max(1.0);
    let x = |at: f64| ((at - from) / (until - from) * WIDTH).clamp(0.0, WIDTH);
    if let Some(scale) = steps.scale(&shown) {
        let y = |value: f64| bottom - scale.share(value) * (bottom - top);
        frame.values(&steps.values(&scale), top, bottom, steps.unit());
        layers(&mut frame, steps, &shown, &|n| shown.get(n).map_or(WIDTH, |step| x(step.at)), &y);
    }
    let mut small = Path::default();
    for at in ticks().filter(|_| !shown.is_empty()) {
        small.start(x(at), bottom - 7.0);
        small.line(x(at), bottom);
    }
    frame.plot.path("c-stem", &small);
    match steps.across {
        _ if shown.is_empty() => {}
        Across::Age => frame.across(&ages(from, until), bottom),
        Across::Time(zone) => {
            if let Some((from, until)) = instant(from).zip(instant(until)) {
                let time = TimeScale::new(from..until);
                frame.across_or_more(&time.ticks(zone, 4), &time.ticks(zone, 8), bottom);
            }
        }
    }
    if shown.len() <= TITLED {
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let wide = WIDTH / shown.len().max(1) as f64;
        let targets = shown.iter().map(|step| (x(step.at), None, step.title.as_str()));
        frame.targets([top, bottom], wide.min(40.0), targets);
    }
    frame.page()
}

/// Draws band, limit, steps and letters. `x` is the place of a step, and the right end for the one after the last.
fn layers(frame: &mut Frame, steps: &Steps, shown: &[&Step], x: &dyn Fn(usize) -> f64, y: &dyn Fn(f64) -> f64) {
    let (mut band, mut line, mut limit, mut dots) =
        (Path::default(), Path::default(), Path::default(), Path::default());
    let mut is_joined = false;
    for (n, step) in shown.iter().enumerate() {
        if let Some((low, high)) = step.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
            band.rectangle(x(n), y(low.max(high)), x(n + 1) - x(n), y(low.min(high)) - y(low.max(high)));
        }
        let Some(value) = drawable(step.value) else {
            is_joined = false;
            continue;
        };
        if is_joined {
            line.line(x(n), y(value))
        } else {
            line.start(x(n), y(value))
        }
        line.line(x(n + 1), y(value));
        is_joined = true;
        if let Some(letter) = step.letter {
            dots.dot(x(n), y(value));
            frame.words(x(n) / WIDTH, y(value) - 8.0, "c-letter", &letter.to_string());
        }
    }
    if let Some(value) = drawable(steps.limit) {
        limit.start(0.0, y(value));
        limit.line(WIDTH, y(value));
    }
    frame.plot.path("c-band", &band);
    frame.plot.path("c-limit", &limit);
    frame.plot.path("c-line", &line);
    frame.plot.path("c-dot", &dots);
}

impl Steps {
    fn scale(&self, shown: &[&Step]) -> Option<Scale> {
        let values = || shown.iter().filter_map(|step| drawable(step.value));
        let (low, high) = bounds(values());
        let room = (high - low).max(high.abs() * 0.05);
        let ends = shown.iter().filter_map(|step| step.interval).flat_map(|(low, high)| [low, high]);
        let ends = ends.filter(|end| end.is_finite()).map(|end| end.max(low - room).min(high + room));
        let limit = drawable(self.limit);
        match self.up {
            Up::Share if low <= high => Some(Scale { low: low.min(0.0), high: high.max(1.0) }),
            Up::Value(_) if low <= high => Scale::of(values().chain(ends).chain(limit)),
            Up::Share | Up::Value(_) => None,
        }
    }

    fn values(&self, scale: &Scale) -> Vec<Tick> {
        match self.up {
            Up::Value(_) => value_ticks(scale, HEIGHT),
            Up::Share => Scale { low: scale.low * 100.0, high: scale.high * 100.0 }.ticks(4),
        }
    }

    fn unit(&self) -> &str {
        match &self.up {
            Up::Value(unit) => unit,
            Up::Share => "%",
        }
    }
}

/// Round ages, about five.
fn ages(from: f64, until: f64) -> Vec<Tick> {
    const UNITS: [(f64, &str); 4] = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| until - from >= 3.0 * unit).unwrap_or((1.0, "s"));
    let mut ticks = Scale { low: from / unit, high: until / unit }.ticks(5);
    ticks.iter_mut().for_each(|tick| tick.text = format!("{} {name}", tick.text));
    ticks
}

#[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((seconds * 1_000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_step_and_a_missing_one_ends_the_line() {
        let step = |hours: i32, value| Step { at: f64::from(hours) * 3_600.0, value, ..Step::default() };
        let all =
            vec![step(0, Some(10.0)), step(25, Some(20.0)), step(50, None), step(75, Some(5.0)), step(100, Some(5.0))];
        let svg = svg(&Steps { steps: all, limit: Some(15.0), ..Steps::default() }).to_string();
        assert!(svg.contains("class=\"c-line\" d=\"M0 113.9h240.4v-86.1h240.4m240.4 129.1h240.3h38.5\""), "{svg}");
        assert!(svg.contains(">1 d<") && svg.contains(">4 d<"), "{svg}");
    }

    #[test]
    fn a_budget_is_shown_from_zero_to_all_of_it() {
        let step = |at, value| Step { at, value: Some(value), letter: Some('A'), ..Step::default() };
        let steps = vec![step(1_790_000_000.0, 0.5), step(1_790_500_000.0, 0.4)];
        let svg = svg(&Steps { steps, up: Up::Share, across: Across::Time(Tz::UTC), ..Steps::default() }).to_string();
        assert!(svg.contains(">0<") && svg.contains(">100 %<") && svg.matches(">A<").count() == 2, "{svg}");
        for odd in [vec![], vec![step(f64::NAN, 1.0)], vec![step(f64::MAX, -1e29), step(0.0, f64::INFINITY)]] {
            let svg = super::svg(&Steps { steps: odd, across: Across::Time(Tz::UTC), ..Steps::default() }).to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
