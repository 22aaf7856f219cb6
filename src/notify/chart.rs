//! Chart of the mail: the metric of a rule's worst alert with its interval, the limit and the time in breach.

use crate::chart::{self, Point, Series, Span};
use crate::notify::message::Section;

/// Draws the series of a rule's worst alert as PNG. `None` if fewer than two points have a value.
pub fn draw(section: &Section) -> Option<Vec<u8>> {
    chart::png::series(&series(section)?)
}

/// The series of a rule's worst alert. `None` without an alert or a point.
fn series(section: &Section) -> Option<Series> {
    let worst = section.alerts.first()?;
    let (first, last) = (section.series.first()?, section.series.last()?);
    let points = section.series.iter().map(|point| Point {
        start: point.window_end,
        end: point.window_end,
        value: point.value,
        interval: point.ci_low.zip(point.ci_high),
        labeled: point.labeled,
        limit: worst.limit,
        ..Point::default()
    });
    // The breach lasts: its ground reaches the edge.
    let until = last.window_end + (last.window_end - first.window_end);
    let firing = worst.since.filter(|_| worst.is_firing()).map(|from| Span { from, until });
    Some(Series {
        points: points.collect(),
        range: first.window_end..last.window_end,
        firings: firing.into_iter().collect(),
        ..Series::default()
    })
}

#[cfg(test)]
mod tests {
    use tiny_skia::Pixmap;

    use super::*;
    use crate::chart::palette::LIGHT;
    use crate::notify::message::samples;

    fn colors(section: &Section) -> Vec<[u8; 3]> {
        let png = draw(section).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        picture.pixels().iter().map(|p| [p.red(), p.green(), p.blue()]).collect()
    }

    #[test]
    fn a_chart_shows_the_metric_the_limit_and_the_breach() {
        let section = samples::notice("firing", "region=north").rules.remove(0);
        let seen = colors(&section);
        let count = |color| seen.iter().filter(|seen| **seen == color).count();
        assert!(count(LIGHT.value) > 1_000, "the metric");
        assert!(count(LIGHT.limit) > 500, "the limit");
        assert!(count(LIGHT.firing) > 5_000, "the breach");
        let mut calm = section;
        calm.alerts[0].state = "resolved".into();
        assert!(!colors(&calm).contains(&LIGHT.firing));
    }

    #[test]
    fn a_breach_that_began_with_the_newest_window_is_seen() {
        let mut section = samples::notice("firing", "all").rules.remove(0);
        section.alerts[0].since = section.series.last().map(|point| point.window_end);
        let seen = colors(&section);
        assert!(seen.iter().filter(|color| **color == LIGHT.firing).count() > 1_000);
    }

    #[test]
    fn any_numbers_make_a_picture_or_none() {
        let mut section = samples::notice("firing", "all").rules.remove(0);
        for values in [
            vec![Some(1.0), Some(1.0)],
            vec![None, Some(1.0), None, Some(2.0)],
            vec![Some(f64::NAN), Some(1.0), Some(f64::INFINITY), Some(1e300), Some(3.0)],
            vec![Some(0.0), Some(0.0), Some(0.0)],
            vec![Some(-1e29), Some(1e29)],
        ] {
            for (n, value) in values.iter().enumerate() {
                section.series[n].value = *value;
            }
            section.series.truncate(values.len());
            assert!(draw(&section).is_some(), "{values:?}");
            section = samples::notice("firing", "all").rules.remove(0);
        }
        section.series.iter_mut().for_each(|point| point.value = None);
        assert!(draw(&section).is_none());
    }
}
