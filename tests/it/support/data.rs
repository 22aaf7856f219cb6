//! Real data and reference values, from the folder that `TRUEUP_TEST_DATA` names.

use std::path::PathBuf;
use std::process::Command;

use super::database::TestDatabase;

/// The folder with `data/` and `oracle/`, or None after saying so.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TRUEUP_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("TRUEUP_TEST_DATA is not set: made-up data and a recompute in this test stand in for the real ones");
    }
    folder
}

/// The text of a gzipped file.
pub fn gunzip(path: &std::path::Path) -> String {
    let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
    assert!(output.status.success(), "could not read {}", path.display());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Loads quarter-hourly forecasts and actuals as a warehouse would hold them, with arrival times made up by rule.
///
/// The same rules as in the published loader: a forecast arrives 14 hours ahead, an actual 1 to 31 hours late, and an
/// actual that was never published is a label that never arrives.
pub async fn load_forecasts(db: &TestDatabase, csv: &str) {
    db.execute(
        "create table public.load_forecast (
             prediction_id bigint primary key, interval_start timestamptz not null, forecast_mw double precision not null,
             model_version text not null, environment text not null, daypart text not null, price_eur double precision not null,
             inserted_at timestamptz not null);
         create table public.load_actual (
             prediction_id bigint primary key, actual_mw double precision, labeled_at timestamptz not null);
         create table public.ro_load (interval_start timestamptz, forecast_mw double precision, actual_mw double precision);",
    )
    .await;
    let mut connection = db.connection().await;
    let mut copy =
        connection.copy_in_raw("copy public.ro_load from stdin with (format csv, header true)").await.expect("copy");
    copy.send(csv.as_bytes()).await.expect("rows");
    copy.finish().await.expect("the end of the rows");
    db.execute(
        "create table public.numbered as select row_number() over (order by interval_start) as prediction_id, * from public.ro_load;
         insert into public.load_forecast
         select prediction_id, interval_start, forecast_mw, 'tso-day-ahead', 'prod',
                (array['night', 'morning', 'afternoon', 'evening'])[1 + extract(hour from interval_start at time zone 'UTC')::int / 6],
                40.0, interval_start - interval '14 hours'
         from public.numbered;
         insert into public.load_actual
         select prediction_id, actual_mw, interval_start + interval '1 hour' + (prediction_id % 7) * interval '5 hours'
         from public.numbered where actual_mw is not null;
         create index on public.load_forecast (interval_start);
         create index on public.load_forecast (inserted_at);
         create index on public.load_actual (labeled_at);
         analyze public.load_forecast; analyze public.load_actual;",
    )
    .await;
}
