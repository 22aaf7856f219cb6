//! Which columns are version, arrival and cohorts: by their names, and by how many values of what length a sample of the rows has.

use super::words::{self, tokens};
use super::{ColumnInfo, ColumnKind, Proposal, TableInfo};

/// Names of a model's version, the plainest first. The last ones name other things too.
const VERSIONS: &[&str] = &[
    "model_version",
    "modelversion",
    "version_of_model",
    "prediction_version",
    "forecast_version",
    "version_modelo",
    "versione_modello",
    "version_modele",
    "modellversion",
    "modell_version",
    "model_id",
    "model_name",
    "modelname",
    "mlflow_run_id",
    "model_run",
    "model_tag",
    "model_hash",
    "version",
    "versione",
    "wersja",
    "versiune",
    "model_run_id",
    "run_id",
    "run",
    "modell",
    "modelo",
    "modele",
    "modello",
    "algorithm",
    "algo",
    "model",
];
/// Versions that are kept apart.
const MOST_VERSIONS: i64 = 50;
/// The same where the name says less.
const MOST_MODELS: i64 = 12;
/// Columns of a table of products, whose `model` is one of them.
const MAKERS: &[&str] = &["make", "brand", "manufacturer", "maker", "marke", "marca", "marque", "marka", "vendor"];
/// Values of a column that make cohorts.
const FEW: std::ops::RangeInclusive<i64> = 2..=50;
/// Rows for each value, at least: fewer is a list of things.
const ROWS_EACH: i64 = 5;
/// Characters of a value, at most: more is a text.
const LONGEST: i64 = 40;
/// Cohort columns that are proposed.
const MOST_COHORTS: usize = 2;

/// What a sample of rows says about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub column: String,
    pub rows: i64,
    /// Of those, with a value.
    pub filled: i64,
    pub distinct: i64,
    /// Characters of the longest value.
    pub longest: i64,
}

/// Columns that are worth a look at their values.
pub fn in_question(table: &TableInfo) -> Vec<String> {
    let few = |c: &&ColumnInfo| match c.kind {
        ColumnKind::Text | ColumnKind::Boolean | ColumnKind::Uuid | ColumnKind::Instant => true,
        ColumnKind::Integer => version_rank(&c.name).is_some(),
        ColumnKind::Number | ColumnKind::Other => false,
    };
    table.columns.iter().filter(few).map(|c| c.name.clone()).collect()
}

/// Fills in version, arrival and cohorts. Returns what a reader should know about it.
pub fn refine(proposal: &mut Proposal, predictions: &[Profile], labels: &[Profile]) -> Vec<String> {
    let mut notes = Vec::new();
    proposal.version = version(proposal, predictions);
    proposal.arrived_at = arrival(&proposal.predictions, &[&proposal.at, &proposal.id.0], predictions, &mut notes);
    proposal.label_arrived_at = arrival(&proposal.labels, &[&proposal.id.1], labels, &mut notes);
    proposal.cohorts = cohorts(proposal, predictions);
    notes
}

/// Whether a name is one of a model's version, and of nothing else.
pub fn is_version(name: &str) -> bool {
    version_rank(name).is_some() && tokens(name).iter().any(|word| word.contains("version"))
}

fn version_rank(name: &str) -> Option<usize> {
    let name = tokens(name).join("_");
    VERSIONS.iter().position(|known| *known == name)
}

/// The version by its name alone, for a first look.
pub(super) fn version_by_name(table: &TableInfo) -> Option<String> {
    let ranked = table.columns.iter().filter(|c| can_be_version(c)).filter_map(|c| Some((version_rank(&c.name)?, c)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, column)| column.name.clone())
}

fn can_be_version(column: &ColumnInfo) -> bool {
    matches!(column.kind, ColumnKind::Text | ColumnKind::Integer | ColumnKind::Uuid) && !column.is_unique
}

/// The plainest name with few values.
fn version(proposal: &Proposal, profiles: &[Profile]) -> Option<String> {
    let table = &proposal.predictions;
    let of_products = table.columns.iter().any(|c| MAKERS.contains(&tokens(&c.name).join("_").as_str()));
    let is_taken = |name: &str| [&proposal.id.0, &proposal.at, &proposal.value].iter().any(|taken| *taken == name);
    let few = |column: &ColumnInfo| {
        let name = tokens(&column.name).join("_");
        let says_little =
            !name.contains("version") && !["model_id", "model_name", "model_run"].contains(&name.as_str());
        let most = if says_little { MOST_MODELS } else { MOST_VERSIONS };
        let profile = profiles.iter().find(|profile| profile.column == column.name);
        let is_few = profile.is_some_and(|p| p.distinct <= most && p.distinct >= 1 && p.filled * 2 > p.rows);
        is_few && !(says_little && of_products)
    };
    let ranked = table.columns.iter().filter(|c| can_be_version(c) && !is_taken(&c.name) && few(c));
    let ranked = ranked.filter_map(|c| Some((version_rank(&c.name)?, c)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, column)| column.name.clone())
}

/// The time that says best when a row became visible; one with gaps would hide rows.
fn arrival(table: &TableInfo, taken: &[&String], profiles: &[Profile], notes: &mut Vec<String>) -> Option<String> {
    let named = arrivals(table, taken);
    let gaps = |name: &String| profiles.iter().any(|p| p.column == *name && p.filled < p.rows);
    for name in named.iter().filter(|name| gaps(name)) {
        notes.push(format!(
            "`{name}` of `{}` is NULL in some rows, so it is not taken for their arrival: such rows would not be read",
            table.written()
        ));
    }
    named.into_iter().find(|name| !gaps(name))
}

/// Times that are called after an arrival, the plainest first.
pub(super) fn arrivals(table: &TableInfo, taken: &[&String]) -> Vec<String> {
    let times = table.columns.iter().filter(|c| c.kind == ColumnKind::Instant && !taken.contains(&&c.name));
    let mut ranked: Vec<(usize, &String)> = times.filter_map(|c| Some((words::arrival(&c.name)?, &c.name))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Columns with few short values that are no key, the fewest values first.
fn cohorts(proposal: &Proposal, profiles: &[Profile]) -> Vec<String> {
    let taken = [&proposal.id.0, &proposal.at, &proposal.value];
    let is_taken = |name: &String| taken.contains(&name) || proposal.version.as_ref() == Some(name);
    let mut found: Vec<(i64, &String)> = Vec::new();
    for column in &proposal.predictions.columns {
        let can = match column.kind {
            ColumnKind::Boolean => true,
            ColumnKind::Text => {
                !column.is_unique && !words::is_key(&column.name) && version_rank(&column.name).is_none()
            }
            _ => false,
        };
        let Some(profile) = profiles.iter().find(|p| p.column == column.name).filter(|_| can) else { continue };
        // The planner has seen more rows than the sample.
        #[expect(clippy::cast_possible_truncation, reason = "an estimate of a count")]
        let distinct = column.distinct.map_or(profile.distinct, |all| profile.distinct.max(all as i64));
        let is_few = FEW.contains(&distinct) && profile.longest <= LONGEST;
        let repeats = profile.filled >= distinct * ROWS_EACH || column.kind == ColumnKind::Boolean;
        if is_few && repeats && !is_taken(&column.name) && profile.filled * 2 > profile.rows {
            found.push((distinct, &column.name));
        }
    }
    found.sort_by_key(|(distinct, _)| *distinct);
    found.into_iter().take(MOST_COHORTS).map(|(_, name)| name.clone()).collect()
}
