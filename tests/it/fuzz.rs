//! Whatever is written into a file, nothing panics: mistakes are findings. A second of it in each test run;
//! `TRUEUP_FUZZ_SECONDS=600 cargo test --release fuzz` for more. The seed is printed.

use std::time::{Duration, Instant};

use trueup::domain::duration;
use trueup::domain::name::TableName;
use trueup::domain::schedule::Cadence;
use trueup::notify::message::samples;
use trueup::notify::template::Templates;
use trueup::notify::transport::http::Endpoint;
use trueup::notify::transport::network::AllowedNetworks;
use trueup::plan;
use trueup::plan::expression::Expression;
use trueup::plan::query::SelectQuery;
use trueup::plan::syntax::Grants;
use trueup::spec::fixture::FixtureSpec;
use trueup::spec::receivers::SettingsSpec;
use trueup::spec::{Document, JobSpec};

use crate::support::dice::Dice;

const JOBS: [&str; 6] = [
    include_str!("../../jobs/ro-load.toml"),
    include_str!("../../jobs/pricing.toml"),
    include_str!("../../jobs/demand-sku.toml"),
    include_str!("../../jobs/maintenance.toml"),
    include_str!("../../jobs/spend.toml"),
    include_str!("../../jobs/canary.toml"),
];
const OTHERS: [&str; 3] = [
    include_str!("../../trueup.toml"),
    include_str!("../../jobs/ro-load.test.toml"),
    include_str!("../../jobs/spend.test.toml"),
];
/// Pieces that mean something somewhere.
const PIECES: [&str; 44] = [
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ",",
    "#",
    "\n",
    "\\",
    "0",
    "-1",
    "1e308",
    "-0.0",
    "nan",
    "inf",
    "99999999999999999999",
    "true",
    "\"\"",
    "\"1d\"",
    "\"0s\"",
    "\"99999999w\"",
    "\"* * * * *\"",
    "\"0 0 31 2 *\"",
    "\"Europe/Bucharest\"",
    "\"each\"",
    "\"rolling 24h\"",
    "\"tumbling 1mo\"",
    "\"20%\"",
    "\"3 mad\"",
    "\u{0}",
    "\u{202e}",
    "🙂",
    "é",
    "\"rmse\"",
    "for = 0",
    "of = [0, 0]",
    "[windows]\n",
    "above = ",
    "notify = []",
    "select 1",
    "a.b.c",
];

fn mutated(dice: &mut Dice, text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..=dice.roll(6) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        if places.is_empty() {
            text = PIECES[dice.index(PIECES.len())].to_owned();
            continue;
        }
        let at = places[dice.index(places.len())];
        let piece = PIECES[dice.index(PIECES.len())];
        match dice.roll(6) {
            0 => text.insert_str(at, piece),
            1 => drop(text.remove(at)),
            2 => text.truncate(at),
            3 => {
                // A line twice, or gone.
                let lines: Vec<&str> = text.lines().collect();
                let line = dice.index(lines.len().max(1));
                let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
                if dice.roll(2) == 0 && line < lines.len() {
                    lines.remove(line);
                } else if line < lines.len() {
                    lines.insert(line, lines[line].clone());
                }
                text = lines.join("\n");
            }
            4 => {
                // A value for another.
                if let Some(equals) = text[at..].find('=').map(|found| at + found + 1) {
                    let end = text[equals..].find('\n').map_or(text.len(), |found| equals + found);
                    text.replace_range(equals..end, &format!(" {piece}"));
                }
            }
            _ => {
                let end = places[dice.index(places.len())];
                let (from, to) = (at.min(end), at.max(end));
                text.replace_range(from..to, piece);
            }
        }
    }
    text
}

fn read(text: &str) {
    let Ok(document) = Document::parse("fuzz.toml", text) else { return };
    if let Ok(spec) = document.read::<JobSpec>() {
        let surroundings = plan::build::Surroundings::of_receivers(["oncall-email", "oncall-hook"]);
        match plan::build::plan(&document, &spec, &surroundings) {
            Ok((job, warnings)) => {
                warnings.iter().for_each(|finding| drop(finding.render("fuzz.toml", text, false)));
                drop((
                    job.fingerprint(),
                    job.rules.iter().map(|rule| (rule.condition(), rule.fingerprint())).collect::<Vec<_>>(),
                ));
                drop(job.schedule.cadence.slots(chrono::DateTime::UNIX_EPOCH, chrono::Utc::now(), 50));
            }
            Err(findings) => findings.iter().for_each(|finding| drop(finding.render("fuzz.toml", text, false))),
        }
    }
    if let Err(findings) = document.read::<SettingsSpec>() {
        findings.iter().for_each(|finding| drop(finding.render("fuzz.toml", text, true)));
    }
    drop(document.read::<FixtureSpec>());
}

#[test]
fn no_file_brings_about_a_panic() {
    let seconds = std::env::var("TRUEUP_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let seed = chrono::Utc::now().timestamp_micros().unsigned_abs();
    println!("seed {seed}, {seconds} s");
    let folder = crate::support::program::Folder::new("fuzz");
    let settings = folder.0.join("trueup.toml");
    let mut dice = Dice::new(seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tried = 0_u64;
    while Instant::now() < until {
        let base = if dice.roll(3) == 0 { OTHERS[dice.index(OTHERS.len())] } else { JOBS[dice.index(JOBS.len())] };
        let text = mutated(&mut dice, base);
        read(&text);
        let bases = [
            "abs(error) <= 250",
            "*/15 * * * *",
            "https://example.org/a?b=c",
            "select a from b.c where d = 1",
            "15m",
            "public.t",
        ];
        let base = bases[dice.index(bases.len())];
        let short = mutated(&mut dice, base);
        drop((
            Expression::parse(&short),
            SelectQuery::parse(&short, &Grants::default()),
            TableName::parse(&short),
            duration::parse(&short),
        ));
        if let Ok(cadence) = Cadence::cron(&short, chrono_tz::Europe::Bucharest) {
            drop(cadence.slots(chrono::Utc::now(), chrono::Utc::now() + chrono::TimeDelta::days(30), 20));
        }
        drop(Endpoint::new(&short, true, &AllowedNetworks::default()));
        let mut notice = samples::notice("firing", &short);
        let templates = Templates { title: Some(short.clone()), ..Templates::default() };
        templates.fill(&mut notice);
        drop((notice.html(true), notice.plain_text()));
        if tried.is_multiple_of(50) {
            std::fs::write(&settings, mutated(&mut dice, OTHERS[0])).expect("a file");
            drop(trueup::settings::load(&settings, true));
        }
        tried += 1;
    }
    println!("{tried} files, none brought about a panic");
    assert!(tried > 20);
}
