//! `[windows]`: lengths, zone, bucket, label wait, horizon.

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::findings::Findings;
use crate::domain::duration::{self, greatest_common_divisor};
use crate::domain::schedule::Schedule;
use crate::domain::window::{Window, WindowKind};
use crate::plan::shrink::DEFAULT_SHARE;
use crate::plan::windows::Windows;
use crate::spec::job::WindowsSection;

/// The listed windows, which rules and objectives refer to.
pub(super) fn listed(spec: &WindowsSection, findings: &mut Findings<'_>) -> Vec<Window> {
    let mut all = read("windows.rolling", &spec.rolling, Window::rolling, "write `1h`, `24h`, `30d`", findings);
    all.extend(read(
        "windows.tumbling",
        &spec.tumbling,
        Window::tumbling,
        "write `1h`, `6h`, `1d`, `1w` or `1mo`",
        findings,
    ));
    if spec.rolling.is_empty() && spec.tumbling.is_empty() {
        findings
            .error("windows", "no-windows", "the job has no window")
            .hint("add `rolling = [\"24h\"]` or `tumbling = [\"1d\"]` under [windows]");
    }
    all
}

pub(super) fn build(
    spec: &WindowsSection,
    label_due: Option<TimeDelta>,
    all: &[Window],
    schedule: Option<&Schedule>,
    findings: &mut Findings<'_>,
) -> Option<Windows> {
    let zone = findings.zone("windows.timezone", spec.timezone.as_deref());
    if let Some(gap) = schedule.map(|schedule| schedule.cadence.usual_gap()) {
        let is_short = |window: &&Window| matches!(window.kind, WindowKind::Rolling(length) if length < gap);
        for window in all.iter().filter(is_short) {
            let message =
                format!("the window `{}` is shorter than the {} between two runs", window.name, duration::format(gap));
            findings
                .warning("windows.rolling", "short-window", message)
                .hint("run more often, or use a longer window: events in between are never judged");
        }
    }
    let label_wait = findings.duration("windows.label_wait", spec.label_wait.as_deref()).unwrap_or(TimeDelta::days(1));
    let horizon = match findings.duration("windows.horizon", spec.horizon.as_deref()) {
        Some(horizon) if horizon < label_wait => {
            let message = format!("`horizon` is shorter than `label_wait` ({})", duration::format(label_wait));
            findings
                .error("windows.horizon", "short-horizon", message)
                .hint("make `horizon` at least as long as `label_wait`");
            horizon
        }
        Some(horizon) => horizon,
        None => label_wait.max(TimeDelta::days(7)),
    };
    let bucket = bucket(spec, all, zone, schedule?, findings)?;
    let lookback = all.iter().map(Window::longest).max().unwrap_or(bucket);
    Some(Windows {
        all: all.to_vec(),
        zone,
        bucket,
        label_wait,
        label_due: label_due.unwrap_or(label_wait),
        horizon,
        lookback,
        shrink: findings.share("windows.shrink", spec.shrink).unwrap_or(DEFAULT_SHARE),
    })
}

fn read(
    path: &str,
    texts: &[String],
    parse: fn(&str) -> Result<Window, String>,
    hint: &str,
    findings: &mut Findings<'_>,
) -> Vec<Window> {
    let mut found: Vec<Window> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match parse(text) {
            Ok(window) if found.iter().any(|other| other.kind == window.kind) => {
                findings.error(&path, "repeated-entry", format!("`{text}` is listed twice")).hint("remove one of them");
            }
            Ok(window) => found.push(window),
            Err(message) => findings.error(&path, "bad-window", message).hint(hint),
        }
    }
    found
}

/// Returns the bucket, which must divide every window, and the zone's offsets if days follow the zone. A default bucket
/// also divides the gaps of the schedule, so that every tick ends a rolling window; a configured one may be coarser.
fn bucket(
    spec: &WindowsSection,
    all: &[Window],
    zone: Tz,
    schedule: &Schedule,
    findings: &mut Findings<'_>,
) -> Option<TimeDelta> {
    let mut divisor = all.iter().map(Window::divisor_seconds).fold(0, greatest_common_divisor);
    if all.iter().any(Window::is_calendar) {
        divisor = greatest_common_divisor(divisor, offset_divisor(zone));
    }
    if divisor == 0 {
        return None;
    }
    match findings.duration("windows.bucket", spec.bucket.as_deref()) {
        Some(bucket) if divisor % bucket.num_seconds() == 0 => Some(bucket),
        Some(bucket) => {
            let message =
                format!("a bucket of {} does not divide all windows and zone offsets", duration::format(bucket));
            findings
                .error("windows.bucket", "bad-bucket", message)
                .hint(format!("use {}, the largest that does", duration::format(TimeDelta::seconds(divisor))));
            None
        }
        None => {
            let divisor = greatest_common_divisor(divisor, schedule.cadence.divisor_seconds());
            let parts = (1..).find(|parts| divisor % parts == 0 && divisor / parts <= 3_600)?;
            Some(TimeDelta::seconds(divisor / parts))
        }
    }
}

/// Greatest common divisor, in seconds, of the zone's offsets from 2000 to 2040.
fn offset_divisor(zone: Tz) -> i64 {
    let start = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(10_957);
    let instants = (0..40 * 12).map(|month| start + TimeDelta::days(month * 30 + month / 2));
    let offset = |at: DateTime<Utc>| i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc());
    instants.map(offset).fold(86_400, greatest_common_divisor)
}
