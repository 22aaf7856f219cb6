//! Two days of predictions and labels, and the program run over them with a job file that a test changes.

use super::database::TestDatabase;
use super::program::{Folder, Run};
use super::world::{TABLES, quarter_hours};

pub struct Bench {
    pub db: TestDatabase,
    pub folder: Folder,
    /// The address that the program is given.
    pub url: String,
}

impl Bench {
    /// `scene` is SQL over `public.p` and `public.l`, which hold 48 hours from 1 May 2024 on.
    pub async fn new(scene: &str) -> Self {
        let db = TestDatabase::new().await;
        db.execute(TABLES).await;
        db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
        db.execute(scene).await;
        let url = db.url();
        Self { db, folder: Folder::new("bench"), url }
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        self.folder.run_on(&self.url, arguments)
    }

    /// Checks a job.
    pub fn check(&self, job: &str) -> Run {
        self.folder.write("jobs/hourly.toml", job);
        self.run(&["check"])
    }
}

/// Puts the conversions of all hints into the queries of their sections, which list each column in double quotes.
pub fn with_hints_in_queries(job: &str, shown: &str) -> String {
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("help: in the query of ["), "no hint in {shown}");
    let mut job = job.to_owned();
    for hint in flat.split("help: in the query of [").skip(1) {
        let (section, rest) = hint.split_once("], select ").expect("a conversion");
        // A conversion ends with the name that it gives.
        let mut rest = rest;
        while let Some((sql, after)) = rest.split_once(" as \"") {
            let (column, after) = after.split_once('"').expect("a name");
            let header = job.find(&format!("[{section}]")).expect("the section");
            let quoted = format!("\"{column}\"");
            let at = header + job[header..].find(&quoted).expect("the column");
            job.replace_range(at..at + quoted.len(), &format!("{sql} as {quoted}"));
            match after.strip_prefix(", ") {
                Some(next) => rest = next,
                None => break,
            }
        }
    }
    job
}

/// Puts the queries of all hints in place of the tables of their sections.
pub fn with_hints(job: &str, shown: &str) -> String {
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("help: in ["), "no hint in {shown}");
    let mut job = job.to_owned();
    for hint in flat.split("help: in [").skip(1) {
        let section = hint.split(']').next().expect("a section");
        let query = hint.split("'''").nth(1).expect("a query");
        let table = if section == "predictions" { "table = \"public.p\"" } else { "table = \"public.l\"" };
        job = job.replacen(table, &format!("query = '''{query}'''"), 1);
    }
    job
}
