//! Grains of roll-up: coarser buckets merged from finer ones, so that a year of buckets is a few hundred rows.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::window::{Slice, floor};
use crate::plan::windows::Windows;

/// Grains above the bucket itself, in seconds: an hour and a day. Each divides the next.
const COARSER: [i64; 2] = [3_600, 86_400];
/// One more for long windows: 32 days. Every run merges it again, which only pays off where it saves reading many days.
const COARSEST: i64 = 32 * 86_400;
/// The shortest window for which the coarsest grain pays off.
const LONG: TimeDelta = TimeDelta::days(128);

/// A run of whole buckets of one grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Length of a bucket, in seconds.
    pub grain: i32,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

/// The grains of a job in seconds, finest first: its bucket, and the coarser ones that it divides.
pub fn grains(windows: &Windows) -> Vec<i32> {
    grains_for(windows.bucket, windows.longest())
}

fn grains_for(bucket: TimeDelta, longest: TimeDelta) -> Vec<i32> {
    let base = bucket.num_seconds();
    let coarsest = (longest >= LONG).then_some(COARSEST);
    let coarser = COARSER.into_iter().chain(coarsest).filter(|grain| *grain > base && grain % base == 0);
    std::iter::once(base).chain(coarser).filter_map(|grain| i32::try_from(grain).ok()).collect()
}

/// The grains of a job in pairs: from a finer one to the next coarser.
pub fn steps(windows: &Windows) -> Vec<(i32, i32)> {
    grains(windows).windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// The fewest whole buckets that make up a slice: coarse ones inside, finer ones at its edges.
pub fn cover(slice: Slice, grains: &[i32]) -> Vec<Part> {
    let Some((grain, finer)) = grains.split_last() else { return Vec::new() };
    if slice.start >= slice.end {
        return Vec::new();
    }
    let size = TimeDelta::seconds(i64::from(*grain));
    let first = floor(slice.start, size);
    let start = if first == slice.start { first } else { first + size };
    let end = floor(slice.end, size);
    if start >= end {
        return cover(slice, finer);
    }
    let mut parts = cover(Slice { start: slice.start, end: start }, finer);
    parts.push(Part { grain: *grain, start, end });
    parts.extend(cover(Slice { start: end, end: slice.end }, finer));
    parts
}

/// Starts of the buckets of a grain that contain these instants, each once.
pub fn parents(starts: &[DateTime<Utc>], grain: i32) -> Vec<DateTime<Utc>> {
    let mut parents: Vec<DateTime<Utc>> = starts.iter().map(|start| parent(*start, grain)).collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

/// Start of the bucket of a grain that contains an instant.
pub fn parent(start: DateTime<Utc>, grain: i32) -> DateTime<Utc> {
    floor(start, TimeDelta::seconds(i64::from(grain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start: &str, end: &str) -> Slice {
        Slice { start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    #[test]
    fn grains_are_those_that_the_bucket_divides() {
        let year = TimeDelta::days(365);
        assert_eq!(grains_for(TimeDelta::minutes(15), year), [900, 3_600, 86_400, 2_764_800]);
        assert_eq!(grains_for(TimeDelta::minutes(15), TimeDelta::days(30)), [900, 3_600, 86_400]);
        assert_eq!(grains_for(TimeDelta::hours(1), year), [3_600, 86_400, 2_764_800]);
        assert_eq!(grains_for(TimeDelta::minutes(40), year), [2_400, 86_400, 2_764_800]);
        assert_eq!(grains_for(TimeDelta::days(1), TimeDelta::days(7)), [86_400]);
    }

    #[test]
    fn a_cover_tiles_the_slice_with_whole_buckets() {
        let grains = grains_for(TimeDelta::minutes(15), TimeDelta::days(365));
        for (start, end) in [
            ("2024-01-01T00:15:00Z", "2024-01-01T00:30:00Z"),
            ("2024-01-01T00:15:00Z", "2024-01-31T00:15:00Z"),
            ("2023-02-28T22:00:00Z", "2024-02-28T22:00:00Z"),
            ("2024-01-01T23:45:00Z", "2024-01-02T00:15:00Z"),
        ] {
            let slice = slice(start, end);
            let parts = cover(slice, &grains);
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (slice.start, slice.end));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            for part in &parts {
                let size = i64::from(part.grain);
                assert!(part.start.timestamp() % size == 0 && part.end.timestamp() % size == 0, "{part:?}");
            }
            let buckets: i64 = parts.iter().map(|p| (p.end - p.start).num_seconds() / i64::from(p.grain)).sum();
            assert!(buckets < 130, "{buckets} buckets for {start} to {end}");
        }
    }
}
