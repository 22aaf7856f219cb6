//! One broken job file per mistake: the code, the line and the words that a user gets.

use rstest::rstest;
use trueup::plan;
use trueup::spec::{Diagnostic, Document, JobSpec};

use crate::support::hints;
use crate::support::program::Folder;
use crate::support::world::hourly;

/// A job that is right in every line.
fn good() -> String {
    hourly(
        "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\n[[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 5.0\nnotify = [\"hook\"]\n",
    )
}

fn findings(toml: &str) -> Vec<Diagnostic> {
    let document = match Document::parse("job.toml", toml) {
        Ok(document) => document,
        Err(findings) => return findings,
    };
    let spec: JobSpec = match document.read() {
        Ok(spec) => spec,
        Err(findings) => return findings,
    };
    match plan::build::plan(&document, &spec, &plan::build::Surroundings::of_receivers(["mail", "hook"])) {
        Ok((_, warnings)) => warnings,
        Err(mistakes) => mistakes,
    }
}

#[test]
fn a_job_that_is_right_has_no_findings() {
    assert_eq!(findings(&good()), []);
}

/// The name of the running case, without its number: another case in front of it renames no snapshot.
fn case_name() -> String {
    let thread = std::thread::current();
    let test = thread.name().and_then(|name| name.split("::").last()).unwrap_or_default();
    let numbered = test.trim_start_matches("case_").trim_start_matches(|c: char| c.is_ascii_digit());
    numbered.trim_start_matches('_').to_owned()
}

#[rstest]
#[case::syntax("every = \"1h\"", "every = 1h", "toml-syntax", "")]
#[case::unknown_table("[windows]", "[window]", "unknown-key", "did you mean `windows`")]
#[case::unknown_key("above = 5.0", "abov = 5.0", "unknown-key", "did you mean `above`")]
#[case::far_key("above = 5.0", "threshold = 5.0", "unknown-key", "known keys are")]
#[case::wrong_type("above = 5.0", "above = \"5\"", "wrong-type", "must be a number, not a string")]
#[case::wrong_list(
    "notify = [\"hook\"]",
    "notify = \"hook\"",
    "wrong-type",
    "must be a list in [brackets], not a string"
)]
#[case::wrong_choice(
    "by = [\"region\"]",
    "by = [3]",
    "wrong-type",
    "must be a string in quotes or a table, not a whole number"
)]
#[case::missing_key("at = \"at\"\n", "", "missing-key", "`predictions.at` is missing")]
#[case::bad_name("name = \"hourly\"", "name = \"Hourly Job\"", "bad-name", "is not a job name")]
#[case::bad_runbook("https://runbooks.example.org/hourly", "javascript:alert(1)", "bad-link", "not an http(s) link")]
#[case::two_schedules("every = \"1h\"", "every = \"1h\"\ncron = \"* * * * *\"", "two-schedules", "both set")]
#[case::no_schedule("every = \"1h\"", "", "no-schedule", "has no schedule")]
#[case::bad_cron("every = \"1h\"", "cron = \"61 * * * *\"", "bad-cron", "not a cron expression")]
#[case::never_due("every = \"1h\"", "cron = \"0 0 31 2 *\"", "never-due", "never runs")]
#[case::bad_duration("every = \"1h\"", "every = \"1 hour\"", "bad-duration", "is not a duration")]
#[case::unknown_zone(
    "[windows]",
    "[windows]\ntimezone = \"Europe/Bukarest\"",
    "unknown-timezone",
    "did you mean `Europe/Bucharest`"
)]
#[case::unused_zone("every = \"1h\"", "every = \"1h\"\ntimezone = \"UTC\"", "unused-timezone", "no effect")]
#[case::unknown_word(
    "every = \"1h\"",
    "every = \"1h\"\ncatch_up = \"lates\"",
    "unknown-value",
    "did you mean `latest`"
)]
#[case::no_schema("table = \"public.p\"", "table = \"p\"", "bad-table", "has no schema")]
#[case::bad_table("table = \"public.p\"", "table = \"public.p; drop table x\"", "bad-table", "is not a table name")]
#[case::two_sources(
    "table = \"public.p\"",
    "table = \"public.p\"\nquery = \"select 1\"",
    "two-sources",
    "both `table` and `query`"
)]
#[case::no_source("table = \"public.p\"\n", "", "no-source", "has no table")]
#[case::bad_query(
    "table = \"public.p\"",
    "query = \"delete from public.p\"",
    "bad-query",
    "expected one select statement"
)]
#[case::bad_where(
    "version = \"version\"",
    "where = \"true; drop table x\"",
    "bad-expression",
    "expected one expression"
)]
#[case::subselect(
    "version = \"version\"",
    "where = \"id in (select 1)\"",
    "bad-expression",
    "a subquery is not allowed"
)]
#[case::bad_function(
    "version = \"version\"",
    "where = \"pg_sleep(9) is null\"",
    "bad-expression",
    "`pg_sleep` is not allowed"
)]
#[case::key_mismatch(
    "table = \"public.l\"\nid = \"id\"",
    "table = \"public.l\"\nid = [\"id\", \"seen\"]",
    "key-mismatch",
    "1 columns in predictions and 2 in labels"
)]
#[case::repeated_key(
    "table = \"public.p\"\nid = \"id\"",
    "table = \"public.p\"\nid = [\"id\", \"id\"]",
    "repeated-entry",
    "listed twice"
)]
#[case::empty_column("at = \"at\"", "at = \"\"", "bad-column", "a column name is empty")]
#[case::no_windows("rolling = [\"6h\"]\ntumbling = [\"1d\"]", "", "no-windows", "has no window")]
#[case::bad_window("\"1d\"", "\"1 day\"", "bad-window", "is not a duration")]
#[case::odd_window("\"1d\"", "\"7h\"", "bad-window", "does not divide a day")]
#[case::repeated_window("[\"6h\"]", "[\"6h\", \"360m\"]", "repeated-entry", "listed twice")]
#[case::bad_bucket("[windows]", "[windows]\nbucket = \"50m\"", "bad-bucket", "use 6h, the largest that does")]
#[case::short_horizon(
    "[windows]",
    "[windows]\nlabel_wait = \"2d\"\nhorizon = \"1d\"",
    "short-horizon",
    "shorter than `label_wait`"
)]
#[case::bad_top("by = [\"region\"]", "by = [\"region\"]\ntop = 0", "bad-top", "`top` is 0")]
#[case::no_dimensions("by = [\"region\"]", "by = []", "bad-dimensions", "0 dimensions")]
#[case::repeated_dimension("by = [\"region\"]", "by = [\"region\", \"region\"]", "repeated-entry", "listed twice")]
#[case::bad_dimension(
    "by = [\"region\"]",
    "by = [{ name = \"x\", expr = \"count(*)\" }]",
    "bad-expression",
    "`count` is not allowed"
)]
#[case::odd_dimension(
    "by = [\"region\"]",
    "by = [{ expr = \"x\" }]",
    "missing-key",
    "`cohorts[0].by[0].name` is missing"
)]
#[case::unknown_metric("metric = \"rmse\"", "metric = \"rsme\"", "unknown-metric", "did you mean `rmse`")]
#[case::unknown_window(
    "window = \"rolling 6h\"",
    "window = \"rolling 5h\"",
    "unknown-window",
    "use one of `rolling 6h`, `tumbling 1d`"
)]
#[case::no_condition("above = 5.0\n", "", "no-condition", "there is no condition")]
#[case::always("above = 5.0", "above = 5.0\nbelow = 6.0", "always-in-breach", "every value is")]
#[case::infinite("above = 5.0", "above = inf", "bad-limit", "not a finite number")]
#[case::bad_for("above = 5.0", "above = 5.0\nfor = 0", "bad-for", "0 is not a number of windows")]
#[case::bad_samples("above = 5.0", "above = 5.0\nmin_samples = 0", "bad-min-samples", "`min_samples` is 0")]
#[case::bad_coverage("above = 5.0", "above = 5.0\nmin_coverage = 90.0", "bad-min-coverage", "from 0 to 1")]
#[case::bad_cohorts("above = 5.0", "above = 5.0\ncohorts = \"every\"", "unknown-value", "\"each\"")]
#[case::unknown_cohort(
    "above = 5.0",
    "above = 5.0\ncohorts = { tier = \"1\" }",
    "unknown-cohort",
    "declares no cohorts by `tier`"
)]
#[case::no_version("version = \"version\"", "", "no-version", "declares no model version")]
#[case::no_runbook("runbook = \"https://runbooks.example.org/hourly\"\n", "", "no-runbook", "has no runbook")]
#[case::unknown_receiver("notify = [\"hook\"]", "notify = [\"hok\"]", "unknown-receiver", "did you mean `hook`")]
#[case::repeated_rule(
    "[[alerts]]",
    "[[alerts]]\nname = \"high\"\nmetric = \"mse\"\nwindow = \"rolling 6h\"\nabove = 1\n[[alerts]]",
    "repeated-entry",
    "two rules are named"
)]
#[case::metric_needs(
    "[windows]",
    "[metrics]\ninclude = [\"rmse\", \"huber\"]\n[windows]",
    "metric-needs",
    "`huber` needs `huber_delta`"
)]
#[case::bad_worst("[windows]", "[residuals]\nworst = 101\n[windows]", "out-of-range", "`worst` is 101")]
#[case::bad_trim("[windows]", "[metrics]\ntrim = 1.0\n[windows]", "out-of-range", "1 is not a share")]
#[case::bad_tolerance(
    "[windows]",
    "[metrics]\ntolerance = -1.0\n[windows]",
    "out-of-range",
    "-1 is not a positive number"
)]
#[case::custom_expression(
    "[windows]",
    "[[metrics.custom]]\nname = \"c\"\nsum = \"pg_sleep(1)\"\n[windows]",
    "bad-expression",
    "`pg_sleep` is not allowed"
)]
#[case::custom_name(
    "[windows]",
    "[[metrics.custom]]\nname = \"rmse\"\nsum = \"error\"\n[windows]",
    "repeated-entry",
    "a metric `rmse` already exists"
)]
#[case::for_text("above = 5.0", "above = 5.0\nfor = \"10 m\"", "bad-duration", "`10 m` is not a duration")]
#[case::of_three("above = 5.0", "above = 5.0\nof = [4, 3]", "bad-of", "two of the last three")]
#[case::for_ever("above = 5.0", "above = 5.0\nfor = \"400d\"", "too-long", "longer than the rule looks back")]
#[case::for_and_of("above = 5.0", "above = 5.0\nfor = 2\nof = [2, 3]", "two-persistences", "are mutually exclusive")]
#[case::clears_above_its_limit("above = 5.0", "above = 5.0\nclear_below = 5.1", "clears-never", "wrong side")]
#[case::clears_on_the_other_side("above = 5.0", "above = 5.0\nclear_above = 4.0", "clears-never", "at least `below`")]
#[case::limit_and_baseline(
    "above = 5.0",
    "above = 5.0\nabove_baseline = \"20%\"",
    "two-conditions",
    "a list `all` or `any`"
)]
#[case::unused_baseline("above = 5.0", "above = 5.0\nbaseline = { windows = 9 }", "unused-baseline", "above_baseline")]
#[case::distance("above = 5.0", "above_baseline = \"20 percent\"", "bad-distance", "3 mad")]
#[case::distance_twice("above = 5.0", "above_baseline = [\"20%\", \"30%\"]", "bad-distance", "one of each")]
#[case::baseline_key("above = 5.0", "above_baseline = 1\nbaseline = { weeks = 3 }", "unused-key", "has no effect")]
#[case::baseline_of_nothing(
    "above = 5.0",
    "above_baseline = 1\nbaseline = { windows = 5, min = 6 }",
    "never-enough",
    "there are at most 5 windows"
)]
#[case::mad_of_one(
    "above = 5.0",
    "above_baseline = \"3 mad\"\nbaseline = { kind = \"fixed\", value = 1.0 }",
    "no-deviation",
    "rolling"
)]
#[case::range(
    "above = 5.0",
    "above_baseline = 1\nbaseline = { exclude = [{ from = \"2024\", to = \"2025\" }] }",
    "bad-range",
    "the earlier time first"
)]
#[case::validation(
    "above = 5.0",
    "above_baseline = 1\nbaseline = { kind = \"validation\" }",
    "version-needed",
    "versions = \"each\""
)]
#[case::no_metric("metric = \"rmse\"", "", "missing-key", "has no condition")]
#[case::one_condition(
    "metric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 5.0",
    "window = \"rolling 6h\"\nall = [{ metric = \"rmse\", above = 5.0 }]",
    "two-conditions",
    "two or more"
)]
#[case::unknown_rule(
    "metric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 5.0",
    "window = \"rolling 6h\"\nany = [\"nope\", { metric = \"mae\", above = 1.0 }]",
    "unknown-rule",
    "no rule `nope`"
)]
#[case::significant_count(
    "metric = \"rmse\"",
    "significant = true\nmetric = \"predictions\"",
    "no-interval",
    "`predictions` has no"
)]
#[case::built_in_name("name = \"high\"", "name = \"run-late\"", "reserved-name", "the name of a built-in rule")]
#[case::built_in_off("off = [\"all\"]", "off = [\"label-stopped\"]", "unknown-rule", "did you mean `labels-stopped`")]
#[case::objective(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 1.0\nperiod = \"30d\"\n[windows]",
    "bad-objective",
    "no error budget"
)]
#[case::no_indicator(
    "[windows]",
    "[[slos]]\nname = \"s\"\nobjective = 0.9\nperiod = \"30d\"\n[windows]",
    "no-indicator",
    "does not define good events"
)]
#[case::overlapping(
    "[windows]",
    "[[slos]]\nname = \"s\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nbelow = 3.0\nobjective = 0.9\nperiod = \"30d\"\n[windows]",
    "windows-overlap",
    "tumbling"
)]
#[case::unreachable(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.9\nperiod = \"30d\"\nburn = [{ long = \"1d\", factor = 14.4, severity = \"ticket\" }]\n[windows]",
    "never-fires",
    "the largest is 10"
)]
#[case::unreachable_preset(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.9\nperiod = \"30d\"\nburn = \"multiwindow\"\n[windows]",
    "never-fires",
    "a stricter objective"
)]
#[case::one_day(
    "[windows]",
    "[[slos]]\nname = \"s\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nbelow = 3.0\nobjective = 0.9\nperiod = \"30d\"\nburn = [{ long = \"1d\", short = \"1d\", factor = 2.0, severity = \"ticket\" }]\n[windows]",
    "fires-on-one",
    "fire the alert by itself"
)]
#[case::two_of_a_length(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.99\nperiod = \"30d\"\nburn = [{ long = \"6h\", short = \"1h\", factor = 6.0, severity = \"ticket\" }, { long = \"6h\", factor = 9.0, severity = \"page\" }]\n[windows]",
    "repeated-entry",
    "alerts are named after it"
)]
#[case::too_short(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.99\nperiod = \"30d\"\nburn = [{ long = \"6h\", short = \"30m\", factor = 6.0, severity = \"ticket\" }]\n[windows]",
    "too-short",
    "shorter than the 1h between evaluations"
)]
#[case::good(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"pg_sleep(1)\"\nobjective = 0.99\nperiod = \"30d\"\n[windows]",
    "bad-expression",
    "is not allowed"
)]
#[case::two_dimensions(
    "by = [\"region\"]",
    "by = [\"region\"]\n[[cohorts]]\nby = [{ name = \"region\", expr = \"upper(region)\" }]",
    "ambiguous-dimension",
    "has two definitions"
)]
#[case::bad_factor(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.99\nperiod = \"30d\"\nburn = [{ long = \"6h\", factor = 0.0, severity = \"ticket\" }]\n[windows]",
    "bad-factor",
    "0 is not a burn rate"
)]
#[case::long_short(
    "[windows]",
    "[[slos]]\nname = \"s\"\ngood = \"error < 1\"\nobjective = 0.99\nperiod = \"30d\"\nburn = [{ long = \"6h\", short = \"12h\", factor = 6.0, severity = \"ticket\" }]\n[windows]",
    "bad-windows",
    "within the long one"
)]
#[case::nothing_fires(
    "[windows]",
    "[[slos]]\nname = \"s\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nbelow = 3.0\nobjective = 0.5\nperiod = \"2d\"\nburn = \"auto\"\n[windows]",
    "no-burn",
    "no burn rate fits"
)]
#[case::clears_what(
    "metric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 5.0",
    "window = \"rolling 6h\"\nclear_below = 4.0\nany = [{ metric = \"rmse\", above = 5.0 }, { metric = \"mae\", above = 1.0 }]",
    "clears-what",
    "no single value for a clearing limit"
)]
#[case::no_arrival("arrived_at = \"seen\"\n[labels]", "[labels]", "no-arrived-at", "re-reads the whole horizon")]
#[case::each_of_none(
    "[[cohorts]]\nby = [\"region\"]\n[[alerts]]\n",
    "[[alerts]]\ncohorts = \"each\"\n",
    "no-cohorts",
    "declares no cohorts"
)]
#[case::no_key("id = \"id\"", "id = []", "no-key", "the key has no column")]
#[case::no_metrics("[windows]", "[metrics]\ninclude = []\n[windows]", "no-metrics", "the job has no metrics")]
#[case::no_owner("owner = \"team@example.org\"\n", "", "no-owner", "has no owner")]
#[case::short_window(
    "rolling = [\"6h\"]",
    "rolling = [\"6h\", \"30m\"]\nbucket = \"30m\"",
    "short-window",
    "shorter than the 1h between two runs"
)]
#[case::ticket_alone(
    "runbook = \"https://runbooks.example.org/hourly\"\n",
    "",
    "ticket-without-runbook",
    "has no runbook"
)]
#[case::weeks_of_weeks(
    "metric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 5.0",
    "metric = \"rmse\"\nwindow = \"rolling 14d\"\nabove_baseline = \"20%\"\nbaseline = { kind = \"seasonal\" }",
    "window-too-long",
    "overlap those of past weeks"
)]
#[case::metric_of_classes(
    "[[alerts]]",
    "[metrics]\ninclude = [\"rmse\", \"auc\"]\n[[alerts]]",
    "metric-of-another-task",
    "the task \"binary\""
)]
#[case::metric_of_numbers(
    "[windows]",
    "[metrics]\ninclude = [\"mse\"]\n[model]\ntask = \"binary\"\n[windows]",
    "metric-of-another-task",
    "brier score"
)]
#[case::threshold_of_numbers("[windows]", "[model]\nthreshold = 0.5\n[windows]", "needs-classes", "set the task")]
#[case::negative_alone(
    "[windows]",
    "[model]\ntask = \"binary\"\nnegative = \"good\"\n[windows]",
    "needs-classes",
    "say which labels are positive"
)]
#[case::no_positive_label(
    "[windows]",
    "[model]\ntask = \"binary\"\npositive = []\n[windows]",
    "no-positive-label",
    "no label is positive"
)]
#[case::two_decisions(
    "[windows]",
    "[model]\ntask = \"binary\"\nthreshold = 0.5\ndecision = \"region\"\n[windows]",
    "two-decisions",
    "keep the one"
)]
#[case::threshold_out_of_range(
    "[windows]",
    "[model]\ntask = \"binary\"\nthreshold = 50.0\n[windows]",
    "out-of-range",
    "no score reaches 50"
)]
#[case::cost_of_nothing(
    "[windows]",
    "[metrics]\ninclude = [\"cost\"]\n[model]\ntask = \"binary\"\n[windows]",
    "metric-needs",
    "`model.cost`"
)]
#[case::groups_of_numbers(
    "[windows]",
    "[[fairness]]\nby = \"region\"\n[windows]",
    "needs-classes",
    "decisions about two classes"
)]
#[case::groups_that_are_no_cohorts(
    "[windows]",
    "[model]\ntask = \"binary\"\n[[fairness]]\nby = \"gender\"\n[windows]",
    "no-cohorts",
    "lists `gender` by itself"
)]
#[case::unknown_comparison(
    "[windows]",
    "[model]\ntask = \"binary\"\n[[fairness]]\nby = \"region\"\nmetrics = [\"tprgap\"]\n[windows]",
    "unknown-metric",
    "did you mean `tpr_gap`"
)]
#[case::threshold_of_several_classes(
    "[windows]",
    "[model]\ntask = \"multiclass\"\nthreshold = 0.5\n[windows]",
    "key-of-another-task",
    "a key of the task \"binary\""
)]
#[case::worst_of_classes(
    "[windows]",
    "[model]\ntask = \"multiclass\"\n[residuals]\nworst = 5\n[windows]",
    "needs-numbers",
    "no size"
)]
#[case::no_probabilities(
    "[windows]",
    "[model]\ntask = \"multiclass\"\n[metrics]\ninclude = [\"log_loss\"]\n[windows]",
    "metric-needs",
    "`model.probabilities`"
)]
#[case::page_on_proxy("value = \"actual\"", "value = \"actual\"\nproxy = true", "page-on-proxy", "a second condition")]
#[case::rows_have_no_label(
    "[windows]",
    "[[metrics.custom]]\nname = \"x\"\nsum = \"error\"\nover = \"rows\"\n[windows]",
    "bad-expression",
    "without a label"
)]
#[case::bad_shrink(
    "rolling = [\"6h\"]",
    "rolling = [\"6h\"]\nshrink = 10.0",
    "out-of-range",
    "`shrink` is not a share"
)]
fn a_mistake_is_named_at_its_place(#[case] right: &str, #[case] wrong: &str, #[case] code: &str, #[case] words: &str) {
    let mut toml = good();
    if code == "no-version" {
        toml = toml.replace("above = 5.0", "above = 5.0\nversions = \"each\"");
    }
    if code == "window-too-long" {
        toml = toml.replace("rolling = [\"6h\"]", "rolling = [\"6h\", \"14d\"]");
    }
    if code == "no-runbook" || code == "page-on-proxy" {
        toml = toml.replace("above = 5.0", "above = 5.0\nseverity = \"page\"");
    }
    assert!(toml.contains(right), "`{right}` is not in the job");
    let broken = toml.replacen(right, wrong, 1);
    let findings = findings(&broken);
    let shown: Vec<String> = findings.iter().map(|f| f.render("job.toml", &broken, false)).collect();
    // The whole output, one snapshot per mistake.
    let case = case_name();
    insta::assert_snapshot!(case, shown.join("\n\n"));
    let found = findings.iter().position(|finding| finding.code == code);
    let place = found.unwrap_or_else(|| panic!("no finding `{code}` in\n{}", shown.join("\n")));
    assert!(shown[place].contains(words), "`{words}` is not in\n{}", shown[place]);
    assert!(shown[place].contains("job.toml:"), "file and line are shown");
    let written = wrong.lines().last().unwrap_or_default();
    let (line, _) = findings[place].position(&broken);
    let first =
        broken.lines().position(|text| !wrong.is_empty() && text.contains(wrong.lines().next().unwrap_or_default()));
    hints::try_all(&broken, &findings[place], self::findings);
    // The finding is at or near the change, never at the top of the file by default.
    if let (Some(first), false) = (first, written.is_empty()) {
        let distance = line.abs_diff(first + 1);
        assert!(distance <= 8, "the mistake is in line {}, and the finding in line {line}", first + 1);
    }
}

/// The check of hints can fail.
#[test]
#[should_panic(expected = "`2 days` of `write `2 days`` does not help")]
fn a_hint_that_does_not_help_is_noticed() {
    let broken = good().replace("\"1d\"", "\"1 day\"");
    let mut finding = findings(&broken).remove(0);
    finding.hint = Some("write `2 days`".to_owned());
    hints::try_all(&broken, &finding, findings);
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let broken = good()
        .replace("every = \"1h\"", "every = \"1 hour\"")
        .replace("table = \"public.p\"", "table = \"p\"")
        .replace("by = [\"region\"]", "by = []")
        .replace("\"1d\"", "\"1 day\"");
    let codes: Vec<&str> = findings(&broken).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["bad-duration", "bad-table", "bad-window", "bad-dimensions"]);
    let unknown = good().replace("above = 5.0", "abov = 5.0").replace("every", "evry");
    assert_eq!(findings(&unknown).iter().map(|f| f.code).collect::<Vec<_>>(), ["unknown-key", "unknown-key"]);
}

/// Codes that the sources use: `"code-in-kebab-case"` where a finding is made.
/// A rule on such a name would judge the count of every job, and not the metric of this one.
#[test]
fn a_metric_of_the_job_cannot_have_the_name_of_a_count() {
    let names =
        ["predictions", "labeled", "coverage", "received", "duplicates", "ambiguous", "excluded", "failed_expressions"];
    for name in names {
        let custom = format!("[[metrics.custom]]\nname = \"{name}\"\nsum = \"error\"\n[windows]");
        let found = findings(&good().replacen("[windows]", &custom, 1));
        let words = format!("a metric `{name}` already exists");
        let taken = found.iter().any(|finding| finding.code == "repeated-entry" && finding.message == words);
        assert!(taken, "{name}: {found:?}");
    }
    let custom = "[[metrics.custom]]\nname = \"duplicate\"\nsum = \"error\"\n[windows]";
    assert!(findings(&good().replacen("[windows]", custom, 1)).is_empty());
}

fn used_codes() -> std::collections::BTreeSet<String> {
    let mut used = std::collections::BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            if entry.path().ends_with("spec/codes.rs") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            for (place, _) in text.match_indices('"') {
                let rest = &text[place + 1..];
                let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                if word.contains('-') && rest[word.len()..].starts_with('"') {
                    used.insert(word);
                }
            }
        }
    }
    used
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    use trueup::spec::codes::{self, CODES};
    assert!(CODES.is_sorted_by_key(|code| code.name), "in alphabetical order");
    let used = used_codes();
    let unused: Vec<&str> = CODES.iter().map(|code| code.name).filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no finding has these: {unused:?}");
    let is_sentence = |text: &str, least: usize| text.len() > least && text.ends_with('.');
    let unexplained = CODES.iter().filter(|code| !is_sentence(code.means, 10) || !is_sentence(code.mend, 5));
    assert_eq!(unexplained.map(|code| code.name).collect::<Vec<_>>(), Vec::<&str>::new(), "two whole sentences");
    // Whatever a broken file can bring about has a page.
    let mut seen = 0;
    for (right, wrong) in [
        ("[windows]", "[window]"),
        ("above = 5.0", ""),
        ("table = \"public.p\"", "table = \"p\""),
        ("every = \"1h\"", "every = 1h"),
    ] {
        for finding in findings(&good().replacen(right, wrong, 1)) {
            assert!(codes::find(finding.code).is_some(), "`{}` has no page", finding.code);
            seen += 1;
        }
    }
    assert!(seen >= 4);
    let shipped = include_str!("../../docs/errors.md");
    assert!(shipped.trim() == codes::page().trim(), "`trueup explain --errors > docs/errors.md` brings it up to date");
}

/// Settings that are right in every line.
const SETTINGS: &str = r#"[web]
listen = "127.0.0.1:9187"
[database]
max_connections = 10
[receivers.mail]
type = "email"
to = ["oncall@example.org"]
from = "trueup@example.org"
smtp = { host = "mail.example.org", username = "u", password = { env = "SMTP_PASSWORD" } }
[receivers.hook]
type = "webhook"
url = "https://hooks.example.org/"
[[routes]]
match = { severity = "ticket" }
notify = ["mail"]
hours = { days = ["mon", "tue"], from = "09:00", to = "17:00" }
"#;

#[rstest]
#[case::address("\"oncall@example.org\"", "\"oncall\"", "bad-address", "`oncall` is not a mail address")]
#[case::listen("127.0.0.1:9187", "localhost", "bad-listen", "not an address and a port")]
#[case::base_url(
    "127.0.0.1:9187\"",
    "127.0.0.1:9187\"\nbase_url = \"example.org\"",
    "bad-base-url",
    "`example.org` is not the address"
)]
#[case::unlisted(
    "127.0.0.1:9187\"",
    "127.0.0.1:9187\"\nbase_url = \"https://t.example.org\"",
    "bad-base-url",
    "which `hosts` does not list"
)]
#[case::login("127.0.0.1:9187\"", "127.0.0.1:9187\"\nlogin = \"token\"", "bad-login", "there is no token")]
#[case::proxy("127.0.0.1:9187\"", "127.0.0.1:9187\"\nlogin = \"proxy\"", "bad-login", "there is no `proxy`")]
#[case::origin(
    "127.0.0.1:9187\"",
    "127.0.0.1:9187\"\nembed = [\"portal\"]",
    "bad-origin",
    "`portal` is not the origin"
)]
#[case::web_zone(
    "127.0.0.1:9187\"",
    "127.0.0.1:9187\"\ntimezone = \"Europe/Berlim\"",
    "unknown-timezone",
    "is not a time zone"
)]
#[case::open("127.0.0.1:9187", "0.0.0.0:9187", "open-web", "can be reached from other machines")]
#[case::connections("max_connections = 10", "max_connections = 1", "bad-max-connections", "`max_connections` is 1")]
#[case::network("url = \"https", "allow_networks = [\"10.0.0.0/40\"]\nurl = \"https", "bad-network", "10.0.0.0/40")]
#[case::secret("{ env = \"SMTP_PASSWORD\" }", "{ env = \"A\", file = \"/b\" }", "bad-secret", "exactly one of `env`")]
#[case::half(", password = { env = \"SMTP_PASSWORD\" }", "", "half-credentials", "must be set together")]
#[case::days("days = [\"mon\", \"tue\"]", "days = []", "no-days", "this route would never send")]
#[case::sender("from = \"trueup@example.org\"\n", "", "no-sender", "has no `from`")]
#[case::no_smtp(
    "smtp = { host = \"mail.example.org\", username = \"u\", password = { env = \"SMTP_PASSWORD\" } }\n",
    "",
    "no-smtp",
    "has no `smtp`"
)]
#[case::url("url = \"https://hooks.example.org/\"\n", "", "no-url", "has no `url`")]
#[case::unprotected(
    "host = \"mail.example.org\"",
    "host = \"mail.example.org\", tls = \"none\"",
    "tls-required",
    "would be sent unencrypted"
)]
#[case::retention("[database]", "[retention]\nrolling = \"3d\"\n[database]", "short-retention", "kept for 3d")]
#[case::function("max_connections = 10", "allow_functions = [\"to_mw\"]", "bad-function", "`to_mw` is not a function")]
fn a_mistake_in_the_settings_is_named_at_its_place(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] code: &str,
    #[case] words: &str,
) {
    assert!(SETTINGS.contains(right), "`{right}` is not in the settings");
    let broken = SETTINGS.replacen(right, wrong, 1);
    let folder = Folder::new("settings-mistakes");
    folder.write("trueup.toml", &broken).write("jobs/hourly.toml", &hourly("[windows]\nrolling = [\"6h\"]\n"));
    let checked = folder.run(&["check"]);
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    let case = case_name();
    insta::assert_snapshot!(format!("settings_{case}"), checked.stdout);
    let found = checked.stdout.split("\n\n").find(|finding| finding.contains(&format!("[{code}]")));
    let found = found.unwrap_or_else(|| panic!("no finding `{code}` in\n{}", checked.stdout));
    assert!(found.contains(words) && found.contains("trueup.toml:") && found.contains("= help: "), "{found}");
    let load = |text: &str| {
        folder.write("trueup.toml", text);
        trueup::settings::load(&folder.0.join("trueup.toml"), true).expect("a readable file").findings
    };
    let findings = load(&broken);
    let finding = findings.iter().find(|finding| finding.code == code).expect("the finding");
    hints::try_all(&broken, finding, load);
}

/// A code that no test brings about may never come, or come with words that nobody has read.
#[test]
fn every_code_is_brought_about_by_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut shown = String::new();
    for folder in [root.clone(), root.join("snapshots")] {
        for entry in std::fs::read_dir(folder).expect("the tests").flatten() {
            if entry.path().is_file() {
                shown += &std::fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
    }
    let codes = trueup::spec::codes::CODES.iter().map(|code| code.name);
    // As it is printed: `error[bad-name]`.
    let missing: Vec<&str> = codes.filter(|name| !shown.contains(&format!("[{name}]"))).collect();
    assert!(missing.is_empty(), "no test brings about {missing:?}");
}
