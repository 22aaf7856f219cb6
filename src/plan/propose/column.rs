//! Finds the version, arrival and cohort columns: by name, and by the number and length of values in a sample of the rows.

use super::words::{self, tokens};
use super::{ColumnInfo, ColumnKind, Proposal, TableInfo};

/// Names of a model version, the clearest first. The last ones have other meanings too.
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
/// Maximum number of versions that are kept apart.
const MOST_VERSIONS: i64 = 50;
/// The same for less specific names.
const MOST_MODELS: i64 = 12;
/// Columns of a table of products, in which `model` is a product.
const MAKERS: &[&str] = &["make", "brand", "manufacturer", "maker", "marke", "marca", "marque", "marka", "vendor"];
/// Number of distinct values in a cohort column.
const FEW: std::ops::RangeInclusive<i64> = 2..=50;
/// Minimum number of rows per value: with fewer, the values are a list of things, not cohorts.
const ROWS_EACH: i64 = 5;
/// Maximum length of a value in characters: longer ones are free text.
const LONGEST: i64 = 40;
/// Maximum number of cohort columns that are proposed.
const MOST_COHORTS: usize = 2;

/// Statistics of a column over a sample of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub column: String,
    pub rows: i64,
    /// Rows with a value.
    pub filled: i64,
    pub distinct: i64,
    /// Length of the longest value in characters.
    pub longest: i64,
}

/// Columns whose values are worth sampling.
pub fn in_question(table: &TableInfo) -> Vec<String> {
    let few = |c: &&ColumnInfo| match c.kind {
        ColumnKind::Text | ColumnKind::Boolean | ColumnKind::Uuid | ColumnKind::Instant => true,
        ColumnKind::Integer => version_rank(&c.name).is_some(),
        ColumnKind::Number | ColumnKind::Other => false,
    };
    table.columns.iter().filter(few).map(|c| c.name.clone()).collect()
}

/// Fills in version, arrival and cohorts. Returns notes for the user.
pub fn refine(proposal: &mut Proposal, predictions: &[Profile], labels: &[Profile]) -> Vec<String> {
    let mut notes = Vec::new();
    proposal.version = version(proposal, predictions);
    proposal.arrived_at = arrival(&proposal.predictions, &[&proposal.at, &proposal.id.0], predictions, &mut notes);
    proposal.label_arrived_at = arrival(&proposal.labels, &[&proposal.id.1], labels, &mut notes);
    proposal.cohorts = cohorts(proposal, predictions);
    notes
}

/// True if a name unambiguously means a model version.
pub fn is_version(name: &str) -> bool {
    version_rank(name).is_some() && tokens(name).iter().any(|word| word.contains("version"))
}

fn version_rank(name: &str) -> Option<usize> {
    let name = tokens(name).join("_");
    VERSIONS.iter().position(|known| *known == name)
}

/// The version by name alone, for the first proposal.
pub(super) fn version_by_name(table: &TableInfo) -> Option<String> {
    let ranked = table.columns.iter().filter(|c| can_be_version(c)).filter_map(|c| Some((version_rank(&c.name)?, c)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, column)| column.name.clone())
}

fn can_be_version(column: &ColumnInfo) -> bool {
    matches!(column.kind, ColumnKind::Text | ColumnKind::Integer | ColumnKind::Uuid) && !column.is_unique
}

/// The column with the clearest version name and few values.
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

/// The best column for the time when a row became visible. One with NULLs is rejected because it would hide rows.
fn arrival(table: &TableInfo, taken: &[&String], profiles: &[Profile], notes: &mut Vec<String>) -> Option<String> {
    let named = arrivals(table, taken);
    let gaps = |name: &String| profiles.iter().any(|p| p.column == *name && p.filled < p.rows);
    for name in named.iter().filter(|name| gaps(name)) {
        notes.push(format!(
            "`{name}` of `{}` is NULL in some rows, so it is not used as `arrived_at`: those rows would never be read",
            table.written()
        ));
    }
    named.into_iter().find(|name| !gaps(name))
}

/// Times with the name of an arrival, the clearest first.
pub(super) fn arrivals(table: &TableInfo, taken: &[&String]) -> Vec<String> {
    let times = table.columns.iter().filter(|c| c.kind == ColumnKind::Instant && !taken.contains(&&c.name));
    let mut ranked: Vec<(usize, &String)> = times.filter_map(|c| Some((words::arrival(&c.name)?, &c.name))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Columns with few short values that are not keys, the fewest values first.
fn cohorts(proposal: &Proposal, profiles: &[Profile]) -> Vec<String> {
    // A copy of the label is no cohort.
    let taken = [&proposal.id.0, &proposal.at, &proposal.value, &proposal.actual];
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
