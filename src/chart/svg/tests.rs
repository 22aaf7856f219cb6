use super::*;
use crate::chart::samples::{hour, noise, series as sample};
use crate::chart::series::{Line, Mark, Point};
use crate::domain::verdict::Verdict;

fn size() -> Size {
    Size { unit: "MW".into(), label: "RMSE of ro-load".into(), ..Size::default() }
}

/// Data of the paths that have exactly this class.
fn paths(svg: &Svg, class: &str) -> Vec<String> {
    let begin = format!("<path class=\"{class}\" d=\"");
    let parts = svg.as_str().split(&begin).skip(1);
    parts.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The ranges across of every segment of a path.
fn segments(path: &str) -> Vec<(f64, f64)> {
    let (mut found, mut x, mut begin, mut rest) = (Vec::new(), 0.0, 0.0, path);
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
        let text = rest[1..end].replace('-', " -");
        let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let to = match command {
            'M' => numbers[0],
            'm' | 'l' | 'h' => x + numbers[0],
            'v' => x,
            'z' => begin,
            other => panic!("{other} in {path}"),
        };
        if command.eq_ignore_ascii_case(&'m') {
            begin = to;
        } else {
            found.push((to.min(x), to.max(x)));
        }
        (x, rest) = (to, &rest[end..]);
    }
    found
}

#[test]
fn no_segment_spans_a_missing_window() {
    for seed in 0..60 {
        let count = [5, 40, 96, 600, 601, 2_000][usize::try_from(seed).unwrap() % 6];
        let mut series = sample(count);
        let share = noise(seed);
        for (n, point) in series.points.iter_mut().enumerate() {
            let n = i64::try_from(n).unwrap();
            point.value =
                Some(200.0 + 100.0 * noise(seed * 7_919 + n)).filter(|_| noise(seed * 104_729 + n) > share * 0.6);
            point.limit = Some(250.0 + (n / 5) as f64).filter(|_| noise(seed + n * 3) > 0.1);
            point.is_provisional = noise(seed + n * 5) > 0.5;
            point.verdict = point.verdict.filter(|_| noise(n * 11) > 0.5);
        }
        let view = View::of(&series, 20.0, 260.0);
        let missing: Vec<f64> =
            series.points.iter().filter(|point| point.value.is_none()).map(|point| view.x(point.end)).collect();
        let svg = super::series(&series, &size());
        for class in ["c-line", "c-line c-open", "c-band", "c-limit", "c-baseline"] {
            for (from, until) in paths(&svg, class).iter().flat_map(|path| segments(path)) {
                let spanned = missing.iter().find(|x| from < **x - 0.07 && **x + 0.07 < until);
                assert_eq!(spanned, None, "{class} of {count} windows (seed {seed}) from {from} to {until}");
            }
        }
        assert!(!paths(&svg, "c-line").is_empty() || count < 10, "seed {seed}");
    }
}

#[test]
fn every_window_with_a_value_is_drawn_where_there_are_few() {
    let series = sample(96);
    let svg = super::series(&series, &size());
    let dots = |class: &str| paths(&svg, class).iter().map(|path| path.matches("h.01").count()).collect::<Vec<_>>();
    let count = |is: &dyn Fn(&Point) -> bool| series.points.iter().filter(|p| p.value.is_some() && is(p)).count();
    let settled = count(&|point| !point.is_provisional && !point.is_breach());
    let open = count(&|point| point.is_provisional && !point.is_breach());
    let breach = count(&|point| point.is_provisional && point.is_breach());
    assert_eq!(dots("c-dot"), [settled, open]);
    assert_eq!((dots("c-dot c-hole"), dots("c-dot c-bad c-hole")), (vec![open], vec![breach]), "hollow");
    assert!(breach > 0 && open > 0 && !paths(&svg, "c-line c-open").is_empty(), "dashed");
    assert_eq!(svg.as_str().matches("<a href=").count(), 96);
    for class in ["c-stem", "c-cross", "c-whisker", "c-ends", "c-predicted", "c-labeled", "c-mark", "c-fires"] {
        assert_eq!(paths(&svg, class).len(), 1, "{class}");
    }
    assert!(svg.as_str().contains("class=\"c-firing\"") && svg.as_str().contains(">no labels<"));
}

#[test]
fn charts_are_at_most_45_kilobytes() {
    for count in [96, 120, 600, 960, 3_000, 20_000] {
        let mut series = sample(count);
        // A limit that moves with every window, as one of a baseline does.
        for (n, point) in (0..).zip(&mut series.points) {
            point.baseline = Some(200.0 + 30.0 * noise(n));
            point.limit = Some(430.0 + 30.0 * noise(n + 9));
        }
        let svg = super::series(&series, &size());
        assert!(svg.as_str().len() <= 45 * 1_024, "{count} windows: {}", svg.as_str().len());
        assert!(!svg.as_str().contains("style="), "the policy of pages refuses it");
    }
}

#[test]
fn marks_that_are_near_each_other_become_a_number() {
    let mut series = sample(96);
    let mark = |hours, letter| Mark { at: hour(hours), letter, words: "<b>".into() };
    series.marks = vec![mark(50, 'D'), mark(10, 'A'), mark(11, 'B'), mark(12, 'C')];
    let svg = super::series(&series, &size()).to_string();
    assert!(svg.contains(">3</text>") && svg.contains(">D</text>") && !svg.contains(">A</text>"), "{svg}");
}

#[test]
fn retroactive_verdicts_are_a_second_row() {
    let mut series = sample(40);
    for point in &mut series.points {
        (point.verdict, point.later_verdict) = (Some(Verdict::Ok), Some(Verdict::Breach));
    }
    let both = super::series(&series, &size());
    let top =
        |class: &str| paths(&both, class)[0].split([' ', 'h']).nth(1).and_then(|y| y.parse::<f64>().ok()).unwrap();
    assert!(top("c-breach") - top("c-ok") > strip::ROW, "{} {}", top("c-breach"), top("c-ok"));
    series.points.iter_mut().for_each(|point| point.later_verdict = None);
    assert!(paths(&super::series(&series, &size()), "c-breach").is_empty());
}

#[test]
fn any_series_makes_a_drawing() {
    let absurd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e29, 1e29, 0.0, 5e-324, 1.0];
    for (n, value) in absurd.into_iter().enumerate() {
        let mut series = sample(12);
        let other = absurd[(n + 3) % absurd.len()];
        series.points[3].value = Some(value);
        series.points[4].interval = Some((value, other));
        series.points[5].usual = Some((other, value));
        series.points[11].first_reported = Some(value);
        series.points[7].limit = Some(other);
        (series.points[8].labeled, series.points[9].predictions) = (i64::MIN, i64::MAX);
        let svg = super::series(&series, &size()).to_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{value}: {svg}");
    }
    for mut series in [Series::default(), sample(1), sample(2)] {
        assert!(super::series(&series, &size()).as_str().ends_with("</svg>"));
        series.points.iter_mut().for_each(|point| point.value = None);
        assert!(super::series(&series, &size()).as_str().ends_with("</svg>"));
    }
}

#[test]
fn text_of_data_is_escaped() {
    let mut series = sample(12);
    series.points[0].title = "</title><script>alert(1)</script>\u{0}".into();
    series.points[0].link = Some("\"><script>".into());
    series.marks[0].letter = '<';
    let hostile = Size { unit: "<i>".into(), label: "\"><script>".into(), ..Size::default() };
    let line = Line { name: "<script>".into(), points: sample(12).points };
    let range = series.range.clone();
    for svg in [
        super::series(&series, &hostile),
        standalone(&series, &hostile),
        several(&[line], &series.marks, &range, &hostile),
    ] {
        assert!(!svg.as_str().contains("<script") && !svg.as_str().contains("<i>") && !svg.as_str().contains('\u{0}'));
    }
}

#[test]
fn up_to_five_lines_have_a_dash_and_a_name_each() {
    let line = |n: i64| Line { name: format!("v{n}"), points: sample(40 + n).points };
    let mark = |at: i64, letter| Mark { at: hour(at), letter, words: String::new() };
    // Two near each other are one line with their number, and one outside the range is none.
    let marks = [mark(10, 'a'), mark(30, 'b'), mark(30, 'c'), mark(90, 'd')];
    let svg = several(&(0..7).map(line).collect::<Vec<_>>(), &marks, &(hour(0)..hour(39)), &size());
    for n in 1..=5 {
        assert_eq!(paths(&svg, &format!("c-version c-version-{n}")).len(), 1);
        assert!(svg.as_str().contains(&format!("c-name c-name-{n}\">v")), "{svg}");
    }
    assert!(!svg.as_str().contains(">v5<"), "the sixth");
    let lines = paths(&svg, "c-mark");
    assert_eq!((lines.len(), lines[0].matches('v').count()), (1, 2), "{lines:?}");
    let text = svg.as_str();
    assert!(text.contains("c-letter\">a<") && text.contains("c-letter\">2<") && !text.contains(">d<"), "{text}");
}

#[test]
fn a_file_stands_alone() {
    let svg = standalone(&sample(96), &size()).to_string();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.contains("<style>"), "{svg}");
    assert!(!svg.contains("href") && !svg.contains("var("), "no address of a page, no property of its style sheet");
}

#[test]
fn a_small_chart_as_a_whole() {
    let svg = super::series(&sample(12), &size()).to_string();
    insta::assert_snapshot!(svg.replace("><", ">\n<"));
}
