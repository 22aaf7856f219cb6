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
