-- Classes: histograms of scores by class, predicted and actual classes, pairs whose label is no class, and views of what is measured.

-- Scores of pairs with a positive and with a negative label, and of all predictions: bins, and how many are in each.
alter table trueup.bucket
    add column positive_bins integer[], add column positive_counts bigint[],
    add column negative_bins integer[], add column negative_counts bigint[],
    add column score_bins integer[], add column score_counts bigint[],
    -- Predicted and actual class of pairs, where there are several.
    add column confusion_bins bigint[], add column confusion_counts bigint[];

-- Names of classes, which residuals and measurements have as codes.
create table trueup.class (
    job_id bigint not null references trueup.job (id),
    code   bigint not null,
    name   text not null,
    primary key (job_id, code)
);

-- Kind of prediction, which says what the numbers of its measurements are.
alter table trueup.plan add column task text not null default 'regression';

-- 9: the label is neither a positive nor a negative class.
alter table trueup.residual drop constraint residual_class_is_known;
alter table trueup.residual add constraint residual_class_is_known check (class between 0 and 9) not valid;

create or replace view trueup.residual_history as
select j.name as job, r.key as prediction_key, nullif(r.model_version, '') as model_version, r.event_at,
       jsonb_object(p.dimensions, c.dimensions) as dimensions, r.predicted, r.actual,
       case when r.class = 0 and p.task <> 'multiclass' then r.predicted - r.actual end as error,
       case r.class when 0 then 'pair' when 1 then 'unlabeled' when 2 then 'null value' when 3 then 'not finite'
            when 4 then 'out of range' when 5 then 'duplicate prediction' when 6 then 'ambiguous label'
            when 8 then 'filter failed' when 9 then 'unknown class' end as outcome,
       r.label_at, r.copies, r.plan_id, r.as_of, r.bucket_start,
       coalesce(p.row_by_row and r.extras[array_upper(r.extras, 1)] = 1, false) as expression_failed,
       predicted.name as predicted_class, actual.name as actual_class
from trueup.residual r
-- Its plan again: joined with the plan of another job, its dimensions would not have as many names as values.
join trueup.cell c on c.id = r.cell_id and c.plan_id = r.plan_id
join trueup.plan p on p.id = r.plan_id
join trueup.job j on j.id = p.job_id
left join trueup.class predicted
    on predicted.job_id = p.job_id and predicted.code = case when p.task = 'multiclass' then r.predicted::bigint end
left join trueup.class actual on actual.job_id = p.job_id and actual.code = case when p.task = 'multiclass' then r.actual::bigint end
where r.class <> 7;
comment on column trueup.residual_history.predicted is 'The predicted value, in the target unit; of two classes the score of the positive one; of several the code of the class.';
comment on column trueup.residual_history.actual is 'The label that counts, in the target unit; of two classes 1 for positive and 0 for negative; of several the code of the class. Null while there is none.';
comment on column trueup.residual_history.error is 'predicted - actual. Null unless the pair is averaged, and of several classes.';
comment on column trueup.residual_history.predicted_class is 'The predicted class, where there are several.';
comment on column trueup.residual_history.actual_class is 'The class that is the label, where there are several.';
comment on column trueup.residual_history.outcome is 'pair (averaged), unlabeled, null value, not finite, out of range, duplicate prediction, ambiguous label, filter failed or unknown class (a label that is neither positive nor negative).';

-- What a number of a measurement is about, by metric.
alter table trueup.measurement add column notes jsonb;

-- The bins of a calibration curve are numbers of a measurement, but not metrics to list.
create or replace view trueup.metric_revisions as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.model_version,
       metric.key as metric, m.numbers[(metric.value -> 0)::int] as value,
       m.numbers[(metric.value -> 1)::int] as ci_low, m.numbers[(metric.value -> 2)::int] as ci_high,
       m.labeled, case when m.predictions > 0 then m.labeled::float8 / m.predictions end as coverage,
       case when w.finalized_at is null or m.superseded_as_of <= w.finalized_at then 'provisional' else 'final' end as status,
       m.revision, m.computed_at, m.as_of, m.superseded_as_of, m.removed, m.revision = 1 as first_reported, w.finalized_at,
       m.as_of - m.window_end as label_age, w.source_gone_at, m.predictions, m.run_id, m.notes ->> metric.key as note
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
cross join lateral jsonb_each(s.places) as metric(key, value)
where metric.key not like 'calibration\_%\_%';
comment on column trueup.metric_revisions.note is 'What the number is about: the groups that a gap is between.';

create or replace view trueup.metric_history as
select job, window_name, window_start, window_end, cohort, model_version, metric, value, ci_low, ci_high, labeled, coverage,
       status, revision, computed_at, as_of, label_age, source_gone_at, predictions, run_id, note
from trueup.metric_revisions
where superseded_as_of is null and not removed;
comment on column trueup.metric_history.note is 'What the number is about: the groups that a gap is between.';

comment on column trueup.window_revisions.extra is 'Metrics without a column of their own, by name: those of the job''s own expressions, and those of classes (see classification_history).';
comment on column trueup.window_history.extra is 'Metrics without a column of their own, by name: those of the job''s own expressions, and those of classes (see classification_history).';

create view trueup.classification_history as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.cohort_values, t.model_version,
       case when w.finalized_at is null then 'provisional' else 'final' end as status,
       m.revision, m.computed_at, m.as_of, m.run_id, m.predictions, m.labeled, coalesce(m.excluded, 0) as excluded,
       case when m.predictions > 0 then m.labeled::float8 / m.predictions end as coverage,
       m.numbers[(s.places -> 'accuracy' -> 0)::int] as accuracy,
       m.numbers[(s.places -> 'accuracy' -> 1)::int] as accuracy_ci_low,
       m.numbers[(s.places -> 'accuracy' -> 2)::int] as accuracy_ci_high,
       m.numbers[(s.places -> 'balanced_accuracy' -> 0)::int] as balanced_accuracy,
       m.numbers[(s.places -> 'precision' -> 0)::int] as precision,
       m.numbers[(s.places -> 'precision' -> 1)::int] as precision_ci_low,
       m.numbers[(s.places -> 'precision' -> 2)::int] as precision_ci_high,
       m.numbers[(s.places -> 'recall' -> 0)::int] as recall,
       m.numbers[(s.places -> 'recall' -> 1)::int] as recall_ci_low,
       m.numbers[(s.places -> 'recall' -> 2)::int] as recall_ci_high,
       m.numbers[(s.places -> 'specificity' -> 0)::int] as specificity,
       m.numbers[(s.places -> 'specificity' -> 1)::int] as specificity_ci_low,
       m.numbers[(s.places -> 'specificity' -> 2)::int] as specificity_ci_high,
       m.numbers[(s.places -> 'f1' -> 0)::int] as f1,
       m.numbers[(s.places -> 'fpr' -> 0)::int] as fpr,
       m.numbers[(s.places -> 'fpr' -> 1)::int] as fpr_ci_low,
       m.numbers[(s.places -> 'fpr' -> 2)::int] as fpr_ci_high,
       m.numbers[(s.places -> 'fnr' -> 0)::int] as fnr,
       m.numbers[(s.places -> 'fnr' -> 1)::int] as fnr_ci_low,
       m.numbers[(s.places -> 'fnr' -> 2)::int] as fnr_ci_high,
       m.numbers[(s.places -> 'mcc' -> 0)::int] as mcc,
       m.numbers[(s.places -> 'base_rate' -> 0)::int] as base_rate,
       m.numbers[(s.places -> 'base_rate' -> 1)::int] as base_rate_ci_low,
       m.numbers[(s.places -> 'base_rate' -> 2)::int] as base_rate_ci_high,
       m.numbers[(s.places -> 'cost' -> 0)::int] as cost,
       m.numbers[(s.places -> 'cost' -> 1)::int] as cost_ci_low,
       m.numbers[(s.places -> 'cost' -> 2)::int] as cost_ci_high,
       m.numbers[(s.places -> 'true_positives' -> 0)::int] as true_positives,
       m.numbers[(s.places -> 'false_positives' -> 0)::int] as false_positives,
       m.numbers[(s.places -> 'false_negatives' -> 0)::int] as false_negatives,
       m.numbers[(s.places -> 'true_negatives' -> 0)::int] as true_negatives,
       m.numbers[(s.places -> 'auc' -> 0)::int] as auc,
       m.numbers[(s.places -> 'auc' -> 1)::int] as auc_ci_low,
       m.numbers[(s.places -> 'auc' -> 2)::int] as auc_ci_high,
       m.numbers[(s.places -> 'gini' -> 0)::int] as gini,
       m.numbers[(s.places -> 'gini' -> 1)::int] as gini_ci_low,
       m.numbers[(s.places -> 'gini' -> 2)::int] as gini_ci_high,
       m.numbers[(s.places -> 'pr_auc' -> 0)::int] as pr_auc,
       m.numbers[(s.places -> 'ks_separation' -> 0)::int] as ks_separation,
       m.numbers[(s.places -> 'precision_at_top' -> 0)::int] as precision_at_top,
       m.numbers[(s.places -> 'lift_at_top' -> 0)::int] as lift_at_top,
       m.numbers[(s.places -> 'loss_share' -> 0)::int] as loss_share,
       m.numbers[(s.places -> 'positive_rate' -> 0)::int] as positive_rate,
       m.numbers[(s.places -> 'positive_rate' -> 1)::int] as positive_rate_ci_low,
       m.numbers[(s.places -> 'positive_rate' -> 2)::int] as positive_rate_ci_high,
       m.numbers[(s.places -> 'score_mean' -> 0)::int] as score_mean,
       m.numbers[(s.places -> 'score_mean' -> 1)::int] as score_mean_ci_low,
       m.numbers[(s.places -> 'score_mean' -> 2)::int] as score_mean_ci_high,
       m.numbers[(s.places -> 'score_entropy' -> 0)::int] as score_entropy,
       m.numbers[(s.places -> 'coverage_of_positive' -> 0)::int] as coverage_of_positive,
       m.numbers[(s.places -> 'coverage_of_positive' -> 1)::int] as coverage_of_positive_ci_low,
       m.numbers[(s.places -> 'coverage_of_positive' -> 2)::int] as coverage_of_positive_ci_high,
       m.numbers[(s.places -> 'coverage_of_negative' -> 0)::int] as coverage_of_negative,
       m.numbers[(s.places -> 'coverage_of_negative' -> 1)::int] as coverage_of_negative_ci_low,
       m.numbers[(s.places -> 'coverage_of_negative' -> 2)::int] as coverage_of_negative_ci_high,
       m.numbers[(s.places -> 'score_p05' -> 0)::int] as score_p05,
       m.numbers[(s.places -> 'score_p25' -> 0)::int] as score_p25,
       m.numbers[(s.places -> 'score_p50' -> 0)::int] as score_p50,
       m.numbers[(s.places -> 'score_p75' -> 0)::int] as score_p75,
       m.numbers[(s.places -> 'score_p95' -> 0)::int] as score_p95,
       m.numbers[(s.places -> 'unusable_scores' -> 0)::int] as unusable_scores,
       m.numbers[(s.places -> 'log_loss' -> 0)::int] as log_loss,
       m.numbers[(s.places -> 'log_loss' -> 1)::int] as log_loss_ci_low,
       m.numbers[(s.places -> 'log_loss' -> 2)::int] as log_loss_ci_high,
       m.numbers[(s.places -> 'brier' -> 0)::int] as brier,
       m.numbers[(s.places -> 'brier' -> 1)::int] as brier_ci_low,
       m.numbers[(s.places -> 'brier' -> 2)::int] as brier_ci_high,
       m.numbers[(s.places -> 'brier_skill' -> 0)::int] as brier_skill,
       m.numbers[(s.places -> 'ece' -> 0)::int] as ece,
       m.numbers[(s.places -> 'ece_by_chance' -> 0)::int] as ece_by_chance,
       m.numbers[(s.places -> 'mce' -> 0)::int] as mce,
       m.numbers[(s.places -> 'calibration_slope' -> 0)::int] as calibration_slope,
       m.numbers[(s.places -> 'calibration_intercept' -> 0)::int] as calibration_intercept,
       m.numbers[(s.places -> 'calibration_z' -> 0)::int] as calibration_z,
       m.numbers[(s.places -> 'macro_precision' -> 0)::int] as macro_precision,
       m.numbers[(s.places -> 'macro_recall' -> 0)::int] as macro_recall,
       m.numbers[(s.places -> 'macro_f1' -> 0)::int] as macro_f1,
       m.numbers[(s.places -> 'weighted_precision' -> 0)::int] as weighted_precision,
       m.numbers[(s.places -> 'weighted_recall' -> 0)::int] as weighted_recall,
       m.numbers[(s.places -> 'weighted_f1' -> 0)::int] as weighted_f1,
       m.as_of - m.window_end as label_age, w.source_gone_at
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
join trueup.plan p on p.id = s.plan_id and p.task <> 'regression'
where m.superseded_as_of is null and not m.removed;
comment on view trueup.classification_history is 'The latest revision of each measurement of classes, one wide row: decisions, ranking, calibration, and scores before any label is there.';

create view trueup.confusion_history as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.cohort_values, t.model_version,
       case when w.finalized_at is null then 'provisional' else 'final' end as status,
       m.revision, m.as_of, cell.label, cell.decision, m.numbers[(s.places -> cell.metric -> 0)::int]::bigint as pairs, m.labeled
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
join trueup.plan p on p.id = s.plan_id and p.task = 'binary'
cross join (values
    ('positive', 'positive', 'true_positives'), ('negative', 'positive', 'false_positives'),
    ('positive', 'negative', 'false_negatives'), ('negative', 'negative', 'true_negatives')
) as cell(label, decision, metric)
where m.superseded_as_of is null and not m.removed and s.places ? cell.metric
union all
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.cohort_values, t.model_version,
       case when w.finalized_at is null then 'provisional' else 'final' end as status,
       m.revision, m.as_of, coalesce(actual.name, cell.codes ->> 1), coalesce(predicted.name, cell.codes ->> 0),
       (cell.codes ->> 2)::bigint, m.labeled
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
join trueup.plan p on p.id = s.plan_id and p.task = 'multiclass'
cross join lateral jsonb_array_elements(m.notes -> 'confusion') as cell(codes)
left join trueup.class predicted on predicted.job_id = p.job_id and predicted.code = (cell.codes ->> 0)::bigint
left join trueup.class actual on actual.job_id = p.job_id and actual.code = (cell.codes ->> 1)::bigint
where m.superseded_as_of is null and not m.removed;
comment on view trueup.confusion_history is 'The confusion matrix of each measurement of classes: one row for each label and decision; of several classes those that occur.';

create view trueup.calibration_history as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.cohort_values, t.model_version,
       case when w.finalized_at is null then 'provisional' else 'final' end as status,
       m.revision, m.as_of, bin.number as bin, (bin.number - 1) / 10.0::float8 as score_from, bin.number / 10.0::float8 as score_to,
       m.numbers[(s.places -> ('calibration_count_' || bin.number) -> 0)::int]::bigint as pairs,
       m.numbers[(s.places -> ('calibration_all_' || bin.number) -> 0)::int]::bigint as predictions,
       m.numbers[(s.places -> ('calibration_score_' || bin.number) -> 0)::int] as mean_score,
       m.numbers[(s.places -> ('calibration_rate_' || bin.number) -> 0)::int] as observed_rate
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
join trueup.plan p on p.id = s.plan_id and p.task = 'binary'
cross join generate_series(1, 10) as bin(number)
where m.superseded_as_of is null and not m.removed and s.places ? 'calibration_count_1';
comment on view trueup.calibration_history is 'The calibration curve of each measurement: pairs, mean score and share of positive labels for each tenth of the range of scores.';

do $$
declare
    described record;
begin
    for described in
        select c.relname, a.attname, d.text
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        join (values
        ('job', 'Name of the job, as in its file.'),
        ('window_name', 'Kind and length: `rolling 24h`, `tumbling 1d`.'),
        ('window_start', 'Start of the window in event time, inclusive.'),
        ('window_end', 'End of the window in event time, exclusive.'),
        ('cohort', '`all`, or dimension=value pairs such as `region=north, tier=2`; `other` where only the top cohorts are kept.'),
        ('cohort_values', 'The cohort as an object: dimension to value. Empty for `all`.'),
        ('model_version', 'Version of the model. Null means all versions together.'),
        ('status', '`provisional` until the labels had label_wait to arrive, then `final`.'),
        ('revision', '1 is what was reported first; each later recomputation that differed counts up.'),
        ('computed_at', 'When it was computed, by the database clock.'),
        ('as_of', 'What had arrived by then counts.'),
        ('run_id', 'The run that computed it; see run_history, which keeps runs for 13 months.'),
        ('predictions', 'Predictions in the window.'),
        ('labeled', 'Pairs of a usable score with a label of either class.'),
        ('excluded', 'Pairs that do not count: NULL, not finite, out of range, unknown class, duplicate or ambiguous.'),
        ('coverage', 'labeled / predictions, from 0 to 1.'),
        ('label_age', 'as_of - window_end: how old the window was.'),
        ('source_gone_at', 'When a run found that the source no longer has what was measured here.'),
        ('label', 'The label: positive or negative; of several classes its name.'),
        ('decision', 'What was decided: positive or negative; of several classes the name of the predicted one.'),
        ('pairs', 'Number of pairs.'),
        ('bin', 'Tenth of the range of scores, from 1.'),
        ('score_from', 'Least score of the bin, inclusive.'),
        ('score_to', 'Greatest score of the bin, exclusive; inclusive in the last one.'),
        ('mean_score', 'Mean score of its pairs. Null without pairs.'),
        ('observed_rate', 'Share of positive labels of its pairs: the mean score, if scores are calibrated. Null without pairs.'),
        ('accuracy', 'Share of decisions that are the label: (tp + tn) / n (a ratio, 1 is the whole). Of several classes: Share of predicted classes that are the label (a ratio, 1 is the whole).'),
        ('accuracy_ci_low', 'Lower bound of the 95 % interval of accuracy; pairs are taken as independent.'),
        ('accuracy_ci_high', 'Upper bound of the 95 % interval of accuracy; pairs are taken as independent.'),
        ('balanced_accuracy', 'Mean of recall and specificity (a ratio, 1 is the whole).'),
        ('precision', 'Share of positive decisions with a positive label: tp / (tp + fp); none without a positive decision (a ratio, 1 is the whole).'),
        ('precision_ci_low', 'Lower bound of the 95 % interval of precision; pairs are taken as independent.'),
        ('precision_ci_high', 'Upper bound of the 95 % interval of precision; pairs are taken as independent.'),
        ('recall', 'Share of positive labels with a positive decision: tp / (tp + fn); none without a positive label (a ratio, 1 is the whole).'),
        ('recall_ci_low', 'Lower bound of the 95 % interval of recall; pairs are taken as independent.'),
        ('recall_ci_high', 'Upper bound of the 95 % interval of recall; pairs are taken as independent.'),
        ('specificity', 'Share of negative labels with a negative decision: tn / (tn + fp) (a ratio, 1 is the whole).'),
        ('specificity_ci_low', 'Lower bound of the 95 % interval of specificity; pairs are taken as independent.'),
        ('specificity_ci_high', 'Upper bound of the 95 % interval of specificity; pairs are taken as independent.'),
        ('f1', 'Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn) (a ratio, 1 is the whole).'),
        ('fpr', 'Share of negative labels with a positive decision: fp / (fp + tn) (a ratio, 1 is the whole).'),
        ('fpr_ci_low', 'Lower bound of the 95 % interval of fpr; pairs are taken as independent.'),
        ('fpr_ci_high', 'Upper bound of the 95 % interval of fpr; pairs are taken as independent.'),
        ('fnr', 'Share of positive labels with a negative decision: fn / (fn + tp) (a ratio, 1 is the whole).'),
        ('fnr_ci_low', 'Lower bound of the 95 % interval of fnr; pairs are taken as independent.'),
        ('fnr_ci_high', 'Upper bound of the 95 % interval of fnr; pairs are taken as independent.'),
        ('mcc', 'Matthews correlation of decision and label, from -1 to 1; none with one class of either (a number).'),
        ('base_rate', 'Share of positive labels (a ratio, 1 is the whole).'),
        ('base_rate_ci_low', 'Lower bound of the 95 % interval of base_rate; pairs are taken as independent.'),
        ('base_rate_ci_high', 'Upper bound of the 95 % interval of base_rate; pairs are taken as independent.'),
        ('cost', 'Mean cost of a decision: (fp * false_positive + fn * false_negative) / n (in its own unit).'),
        ('cost_ci_low', 'Lower bound of the 95 % interval of cost; pairs are taken as independent.'),
        ('cost_ci_high', 'Upper bound of the 95 % interval of cost; pairs are taken as independent.'),
        ('true_positives', 'Positive labels with a positive decision (a count).'),
        ('false_positives', 'Negative labels with a positive decision (a count).'),
        ('false_negatives', 'Positive labels with a negative decision (a count).'),
        ('true_negatives', 'Negative labels with a negative decision (a count).'),
        ('auc', 'Area under the ROC curve: chance that a positive label has a higher score than a negative one, a tie counting half; none with one class (a ratio, 1 is the whole).'),
        ('auc_ci_low', 'Lower bound of the 95 % interval of auc; pairs are taken as independent.'),
        ('auc_ci_high', 'Upper bound of the 95 % interval of auc; pairs are taken as independent.'),
        ('gini', '2 * auc - 1 (a ratio, 1 is the whole).'),
        ('gini_ci_low', 'Lower bound of the 95 % interval of gini; pairs are taken as independent.'),
        ('gini_ci_high', 'Upper bound of the 95 % interval of gini; pairs are taken as independent.'),
        ('pr_auc', 'Average precision: precision at each score, weighted by the recall gained there (a ratio, 1 is the whole).'),
        ('ks_separation', 'Greatest difference of the two classes'' shares of scores below any value (a ratio, 1 is the whole).'),
        ('precision_at_top', 'Share of positive labels among the `top` share of scores, ties taken in part (a ratio, 1 is the whole).'),
        ('lift_at_top', 'Precision_at_top / base_rate (a number).'),
        ('loss_share', 'Log loss of the cohort / log loss of the whole window; of wrong decisions where scores are no probabilities (a ratio, 1 is the whole). Of several classes: Wrong classes of the cohort / wrong classes of the whole window (a ratio, 1 is the whole).'),
        ('positive_rate', 'Share of predictions, labeled or not, with a positive decision (a ratio, 1 is the whole).'),
        ('positive_rate_ci_low', 'Lower bound of the 95 % interval of positive_rate; pairs are taken as independent.'),
        ('positive_rate_ci_high', 'Upper bound of the 95 % interval of positive_rate; pairs are taken as independent.'),
        ('score_mean', 'Mean score of predictions, labeled or not (a ratio, 1 is the whole).'),
        ('score_mean_ci_low', 'Lower bound of the 95 % interval of score_mean; pairs are taken as independent.'),
        ('score_mean_ci_high', 'Upper bound of the 95 % interval of score_mean; pairs are taken as independent.'),
        ('score_entropy', 'Mean of -(p ln p + (1 - p) ln(1 - p)) over the scores of predictions, in nats: 0 for sure ones, 0.693 for 0.5 (a number).'),
        ('coverage_of_positive', 'Share of predictions with a positive decision that have a usable label: decisions may choose what gets one (a ratio, 1 is the whole).'),
        ('coverage_of_positive_ci_low', 'Lower bound of the 95 % interval of coverage_of_positive; pairs are taken as independent.'),
        ('coverage_of_positive_ci_high', 'Upper bound of the 95 % interval of coverage_of_positive; pairs are taken as independent.'),
        ('coverage_of_negative', 'Share of predictions with a negative decision that have a usable label (a ratio, 1 is the whole).'),
        ('coverage_of_negative_ci_low', 'Lower bound of the 95 % interval of coverage_of_negative; pairs are taken as independent.'),
        ('coverage_of_negative_ci_high', 'Upper bound of the 95 % interval of coverage_of_negative; pairs are taken as independent.'),
        ('score_p05', '5th percentile of the score, within 0.0005 of a probability (a ratio, 1 is the whole).'),
        ('score_p25', '25th percentile of the score, within 0.0005 of a probability (a ratio, 1 is the whole).'),
        ('score_p50', 'Median of the score, within 0.0005 of a probability (a ratio, 1 is the whole).'),
        ('score_p75', '75th percentile of the score, within 0.0005 of a probability (a ratio, 1 is the whole).'),
        ('score_p95', '95th percentile of the score, within 0.0005 of a probability (a ratio, 1 is the whole).'),
        ('unusable_scores', 'Predictions whose score is NULL, not a number, or not a probability where it should be one (a count).'),
        ('log_loss', 'Mean of -ln(probability given to the label), in nats; a probability below 1e-15 counts as 1e-15 (a number). Of several classes: Mean of -ln(probability given to the label), in nats, over pairs whose class has a probability (a number).'),
        ('log_loss_ci_low', 'Lower bound of the 95 % interval of log_loss; pairs are taken as independent.'),
        ('log_loss_ci_high', 'Upper bound of the 95 % interval of log_loss; pairs are taken as independent.'),
        ('brier', 'Mean of (score - label)^2 (a number).'),
        ('brier_ci_low', 'Lower bound of the 95 % interval of brier; pairs are taken as independent.'),
        ('brier_ci_high', 'Upper bound of the 95 % interval of brier; pairs are taken as independent.'),
        ('brier_skill', '1 - brier / (base_rate * (1 - base_rate)): 0 for a constant score, 1 for perfect ones; none with one class (a ratio, 1 is the whole).'),
        ('ece', 'Expected calibration error: sum over 10 equal bins of |sum of scores - positive labels| / n (a ratio, 1 is the whole).'),
        ('ece_by_chance', 'The ece that calibrated scores would have by chance: sum over bins of sqrt(2 / pi * n p (1 - p)) / n (a ratio, 1 is the whole).'),
        ('mce', 'Greatest |mean score - share of positive labels| of 10 equal bins (a ratio, 1 is the whole).'),
        ('calibration_slope', 'Slope of a logistic regression of the label on the log-odds of the score: below 1 where scores are too extreme (a number).'),
        ('calibration_intercept', 'Intercept of that regression: above 0 where scores are too low (a number).'),
        ('calibration_z', 'Spiegelhalter''s z: beyond 1.96 on either side, scores are not calibrated (a number).'),
        ('macro_precision', 'Mean of the precision of each class; 0 for a class that is never predicted (a ratio, 1 is the whole).'),
        ('macro_recall', 'Mean of the recall of each class, also called balanced accuracy (a ratio, 1 is the whole).'),
        ('macro_f1', 'Mean of the f1 of each class (a ratio, 1 is the whole).'),
        ('weighted_precision', 'Mean of the precision of each class, by its number of labels (a ratio, 1 is the whole).'),
        ('weighted_recall', 'Mean of the recall of each class, by its number of labels: the accuracy (a ratio, 1 is the whole).'),
        ('weighted_f1', 'Mean of the f1 of each class, by its number of labels (a ratio, 1 is the whole).')
        ) as d(column_name, text) on d.column_name = a.attname
        where c.relnamespace = 'trueup'::regnamespace
          and c.relname in ('classification_history', 'confusion_history', 'calibration_history')
    loop
        execute format('comment on column trueup.%I.%I is %L', described.relname, described.attname, described.text);
    end loop;
    if exists (select from pg_roles where rolname = 'trueup_reader') then
        grant select on trueup.classification_history, trueup.confusion_history, trueup.calibration_history to trueup_reader;
    end if;
end
$$;
